"""The README's screenshots, taken of the committed results: the report, the plots page and MLflow.

Needs Chromium, the models (`dvc pull`), and an execution in MLflow (`dvc repro` or `make record`).
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaebench.pipeline.stage import StageError, run_stage, say
from vaebench.tracking.store import EXPERIMENT
from vaebench.tracking.ui import runs_page
from vaebench.tracking.views import BENCHMARK

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path("docs")
PORT = 5055
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main(
    latent_dim: Annotated[
        int, typer.Option(help="Of the model that the plots page compares with the committed one.")
    ] = 10,
) -> None:
    """Write docs/*.png."""
    if not Path("report.html").is_file():
        raise StageError("report.html: not found; `make report` writes it")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise StageError(
            f"no browser is found: none of {', '.join(BROWSERS)} is on the path; install Chromium"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, mlflow_ui() as executions, plots_page(latent_dim) as plots:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=1.5)
        report(page)
        page.goto(plots.as_uri())
        page.wait_for_selector(".vega-embed svg, .vega-embed canvas")
        shoot(page, "plots")
        page.goto(executions, wait_until="commit")
        named = page.get_by_role("link", name=re.compile("^(repro|benchmark)"))
        parent = page.locator("[role=gridcell]").filter(has=named).first
        parent.locator("button").first.click()
        page.get_by_role("link", name="aggregate").first.wait_for()
        shoot(page, "mlflow")
        browser.close()


def report(page: "Page") -> None:
    """Take the explorer, with a digit in it."""
    page.goto(Path("report.html").resolve().as_uri())
    page.evaluate("Promise.all([window.chartsReady, window.vaebench.ready]).then(() => null)")
    page.locator("#digits button").nth(0).click()
    page.evaluate("document.getElementById('explorer').scrollIntoView()")
    page.wait_for_function("window.vaebench.manifold.done === 225")  # places decoded behind the plane
    shoot(page, "report")


def shoot(page: "Page", name: str) -> None:
    """Take what is seen."""
    page.wait_for_timeout(500)
    page.screenshot(path=FOLDER / f"{name}.png")
    say(f"{FOLDER / name}.png")


@contextmanager
def plots_page(latent_dim: int) -> Iterator[Path]:
    """Make the page of `dvc plots diff` of two models, in a clone, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "vaebench"
        other, setting = f"{latent_dim}-dimensions", f"latent_dim={latent_dim}"
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)  # noqa: S603, S607
        # Nothing trains: the models come from the remote, and the data set is not read.
        for command in (
            ["pull", "--quiet"],
            ["exp", "run", "--quiet", "--allow-missing", "--name", other, "--set-param", setting],
            ["plots", "diff", "HEAD", other],
        ):
            subprocess.run(["dvc", *command], cwd=clone, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607
        yield clone / "dvc_plots/index.html"


@contextmanager
def mlflow_ui() -> Iterator[str]:
    """Run `make ui` for as long as the block runs, and yield its link to the executions."""
    address = f"http://127.0.0.1:{PORT}"
    server = subprocess.Popen(  # noqa: S603
        ["make", "ui", f"PORT={PORT}"],  # noqa: S607
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()  # noqa: S310
                break
            except OSError as error:
                if time.monotonic() > end or server.poll() is not None:
                    raise StageError(f"MLflow's UI does not answer at {address}; try `make ui`") from error
                time.sleep(1)
        query = f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
        with urllib.request.urlopen(query, timeout=60) as answer:  # noqa: S310
            number = json.load(answer)["experiment"]["experiment_id"]
        yield runs_page(address, number, BENCHMARK)
    finally:
        os.killpg(server.pid, 15)
        server.wait()


if __name__ == "__main__":
    run_stage(main)
