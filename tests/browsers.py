"""Pages as people open them: a real Chromium, and what goes on behind a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@dataclass
class Visit:
    """A page, and what went on behind it."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def outside(self) -> list[str]:
        """What was asked of other places than this machine."""
        own = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost")
        return [url for url in self.requests if not url.startswith(own)]


@contextmanager
def visiting(browser: "Browser", **options: Any) -> Iterator[Visit]:
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    context.set_default_timeout(60_000)
    visit = Visit(context.new_page())
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("console", lambda line: visit.errors.append(line.text) if line.type == "error" else None)
    yield visit
    context.close()


def open_report(visit: Visit, report: Path, state: str = "") -> "Page":
    """Open a report page, at a state that its address keeps, and wait until it is ready."""
    visit.page.goto(report.as_uri() + state)
    visit.page.evaluate("Promise.all([window.chartsReady, window.vaebench.ready]).then(() => null)")
    return visit.page
