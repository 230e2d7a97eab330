"""The pages as people open them: a real Chromium, and nothing leaves the machine."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import torch
from torch import Generator

from projects import DIMENSIONS, ENVIRONMENT, ROOT, STAGES, TRAININGS, commit, git, run, succeed
from servers import QUIET, free_port, wait_for
from vaebench.pipeline import recorded
from vaebench.pipeline.tracking import track
from vaebench.vae import load_vae

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

PIXEL = 1e-3  # what a pixel may differ by from PyTorch's
CRITERIA = 14
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


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is found: none of {', '.join(names)} is on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


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


# The report page.


@pytest.fixture(scope="module")
def report(project: Path) -> Path:
    said = succeed(project, "python", "-m", "vaebench.page", "--output", "report.html")
    assert re.fullmatch(r"report\.html: \d\.\d MB; open it in a browser\n", said)
    return project / "report.html"


def open_report(visit: Visit, report: Path) -> "Page":
    visit.page.goto(report.as_uri())
    visit.page.evaluate("Promise.all([window.chartsReady, window.vaebench.ready]).then(() => null)")
    return visit.page


@pytest.fixture
def visit(browser: "Browser", report: Path) -> Iterator[Visit]:
    """The report on a desktop; when the test ends, nothing has left the machine or gone wrong."""
    with visiting(browser) as visit:
        open_report(visit, report)
        yield visit
        assert visit.outside() == []
        assert visit.errors == []


def picture(page: "Page", selector: str = "#picture") -> list[int]:
    """The grey values of a canvas."""
    read = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]
        .filter((_, index) => index % 4 === 0)"""
    found: list[int] = page.locator(selector).evaluate(read)
    return found


def settled(page: "Page") -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def choose(page: "Page", latent_dim: int) -> None:
    page.get_by_role("radio", name=str(latent_dim), exact=True).check()
    settled(page)


def test_report_is_one_small_file(report: Path) -> None:
    assert report.stat().st_size < 10_000_000
    markup = report.read_text().partition("<script")[0]  # after it come scripts and their data alone
    assert not re.search(r"""(?:src|href)=["'](?!data:|#|http)""", markup)  # no other file
    assert not re.search(r"""<(?:link|img)[^>]+(?:src|href)=["']http""", markup)


def test_charts_have_their_series(visit: Visit) -> None:
    page = visit.page
    places = page.locator(".chart").count()
    assert places == page.locator(".chart svg").count() == 3 + 2 + CRITERIA
    for loss in ("combined", "reconstruction", "kl"):  # training and test
        assert page.locator(f"#chart-{loss}_loss .mark-line path").count() == 2 * len(DIMENSIONS)
    assert page.locator("#chart-report .mark-line path").count() == 2  # other digits: the report has none
    named = page.locator("#chart-rate-distortion .mark-text.role-mark text").all_text_contents()
    assert sorted(map(int, named)) == sorted([*DIMENSIONS, *DIMENSIONS])
    assert page.locator("#chart-fid .mark-line path").count() == 2  # VAE and PCA
    assert (
        page.locator("#chart-fid .mark-rule.role-mark line").count() == 2 * len(DIMENSIONS) + 1
    )  # and test images
    assert page.locator("#chart-nll_bound .mark-line path").count() == 1


def test_pictures_are_there_and_say_what_they_show(visit: Visit) -> None:
    images = visit.page.locator("img")
    assert images.count() == 5 * len(DIMENSIONS) + 3
    for image in images.all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert len(image.get_attribute("alt") or "") > 20


def test_numbers_lead_to_what_made_them(visit: Visit, project: Path) -> None:
    links = visit.page.locator("td a.n")
    assert links.count() > 100
    targets = {str(link.get_attribute("href")) for link in links.all()}
    assert {f"#made-evaluate-{dimension}" for dimension in DIMENSIONS} <= targets
    for target in targets:
        assert visit.page.locator(f"tr{target}").count() == 1
    row = visit.page.locator("#made-evaluate-5").inner_text()
    assert "metrics/evaluation/d5.json" in row
    run_link = visit.page.locator("#made-evaluate-5 a").last.get_attribute("href") or ""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    made_by = client.get_run(run_link.rpartition("/")[2])
    assert made_by.data.tags["dvc.stage"] == "evaluate@5"


@pytest.mark.parametrize("latent_dim", DIMENSIONS)
@torch.no_grad()
def test_page_computes_what_pytorch_computes(visit: Visit, project: Path, latent_dim: int) -> None:
    vae = load_vae(project / f"models/vae/d{latent_dim}.safetensors")
    latents = 2 * torch.randn(8, latent_dim, generator=Generator().manual_seed(0))
    ask = """([dimension, latents]) => {
        const { model } = window.vaebench.load(dimension);
        const images = model.decode(Float32Array.from(latents));
        const { mean, logVar } = model.encode(images);
        return [images, mean, logVar].map((values) => [...values]);
    }"""
    images, mean, log_var = visit.page.evaluate(ask, [latent_dim, latents.flatten().tolist()])
    expected = vae.decode(latents)
    torch.testing.assert_close(torch.tensor(images).view_as(expected), expected, rtol=0, atol=PIXEL)
    for found, own in zip((mean, log_var), vae.encode(expected), strict=True):
        torch.testing.assert_close(torch.tensor(found).view_as(own), own, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_exploring_changes_the_picture(visit: Visit, project: Path) -> None:
    page = visit.page
    for latent_dim in DIMENSIONS:
        choose(page, latent_dim)
        assert page.locator("#sliders input").count() == latent_dim
        vae = load_vae(project / f"models/vae/d{latent_dim}.safetensors")
        latents = torch.zeros(1, latent_dim)
        for value in (0.0, 1.5):
            page.locator("#z0").evaluate(
                "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
                value,
            )
            settled(page)
            latents[0, 0] = value
            shown = torch.tensor(picture(page)) / 255
            torch.testing.assert_close(shown, vae.decode(latents).flatten(), rtol=0, atol=PIXEL + 0.5 / 255)


def test_plane_follows_mouse_and_keys(visit: Visit) -> None:
    page = visit.page
    choose(page, 2)

    def values() -> list[float]:
        return [float(text) for text in page.locator("#sliders output").all_text_contents()]

    assert sorted(values()) == [0, 0]
    plane = page.locator("#plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    assert box is not None
    at_zero = picture(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.2 * box["height"], steps=4)
    page.mouse.up()
    settled(page)
    assert all(abs(value) > 0.2 for value in values())
    assert picture(page) != at_zero
    before = values()
    plane.focus()
    page.keyboard.press("ArrowLeft")
    settled(page)
    assert values() != before


def test_drawn_digit_is_reconstructed_by_every_model(visit: Visit) -> None:
    page = visit.page
    pad = page.locator("#drawing")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.8 * box["height"], steps=6)
    page.mouse.up()
    settled(page)
    assert "squared error" in page.locator("#status").inner_text()
    assert page.locator("#comparison figure").count() == 1 + len(DIMENSIONS)
    read = torch.tensor(picture(page, "#comparison figure:first-child canvas"), dtype=torch.float64)
    read = read.view(28, 28)
    place = torch.arange(28, dtype=torch.float64)
    for axis in (0, 1):  # centred by its mass, in a box of 20
        assert float((read.sum(1 - axis) * place).sum() / read.sum()) == pytest.approx(13.5, abs=0.6)
        assert 3 <= int((read.sum(1 - axis) > 30).sum()) <= 21
    by_hand = picture(page)
    page.get_by_role("button", name=re.compile("test digit 1,")).click()
    settled(page)
    assert picture(page) != by_hand
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#status").inner_text() == ""


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_report_fits_the_screen(browser: "Browser", report: Path, viewport: dict[str, int]) -> None:
    with visiting(browser, viewport=viewport) as visit:
        page = open_report(visit, report)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        widths = page.locator("canvas, .chart svg").evaluate_all(
            "shown => shown.map(each => each.getBoundingClientRect().right)"
        )
        assert max(widths) <= viewport["width"]


def test_report_is_light_dark_and_printable(browser: "Browser", report: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with visiting(browser, color_scheme="dark") as visit:
        page = open_report(visit, report)
        dark = page.evaluate(paper)
        page.get_by_role("button", name="Switch between light and dark").click()
        light = page.evaluate(paper)
        assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 22, 26)")
        page.emulate_media(media="print")
        assert not page.locator("#explore").is_visible()
        assert page.locator("#scores table").is_visible()
        assert len(page.pdf()) > 100_000


def test_report_can_be_used_by_keyboard(visit: Visit) -> None:
    page = visit.page
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "theme", "plane", "sample", "origin", "clear", "sample-all", "z0", "z1"} <= reached


def test_missing_results_are_named(template: Path) -> None:
    done = run(template, "python", "-m", "vaebench.page")
    remedy = "`dvc pull` fetches it, or `dvc repro aggregate` writes it"
    assert (done.returncode, done.stdout) == (2, f"error: metrics/benchmark.csv: not found; {remedy}\n")


# The page of `dvc plots diff`.


@pytest.fixture(scope="module")
def compared(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that compares the committed model with one of two dimensions, in a copy of the project."""
    root = tmp_path_factory.mktemp("compared") / "project"
    shutil.copytree(project, root)
    commit(root)
    succeed(root, "dvc", "exp", "run", "-S", "latent_dim=2")
    succeed(root, "dvc", "plots", "diff", "HEAD", "workspace")
    return root / "dvc_plots/index.html"


def test_plots_page_compares_two_models(browser: "Browser", compared: Path) -> None:
    with visiting(browser) as visit:
        page = visit.page
        page.goto(compared.as_uri())
        page.wait_for_selector(".vega-embed svg, .vega-embed canvas")
        assert page.locator(".vega-embed").count() >= 2
        assert page.locator("img").count() >= 2 * 6
        for image in page.locator("img").all():
            image.scroll_into_view_if_needed()
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        text = page.locator("body").inner_text()
        assert "HEAD" in text
        assert "workspace" in text
        assert visit.outside() == []
        assert visit.errors == []


# MLflow's own pages.


@pytest.fixture(scope="module")
def records(schema: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the committed benchmark and one more training in its store."""
    root = tmp_path_factory.mktemp("records")
    (root / ".dvc").mkdir()
    for name in ("metrics", "plots"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("params.yaml", "dvc.lock", ".gitignore"):
        shutil.copy(ROOT / name, root)
    shutil.copy(schema, root / "mlflow.db")
    git(root, "init", "--quiet")
    commit(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        recorded.main()
        patch.setenv("DVC_EXP_NAME", "wide")
        with track("train_vae@5", params={"latent_dim": 5}) as run:
            for epoch in (1, 2):
                run.log_metrics({"combined_loss": 40.0 / epoch, "test_combined_loss": 1.0}, step=epoch)
    return root


@pytest.fixture(scope="module")
def links(records: Path) -> Iterator[list[str]]:
    """What `make ui` links to, while it serves."""
    port = free_port()
    log = records / "ui.log"
    with log.open("wb") as output:
        ui = subprocess.Popen(
            [sys.executable, "-m", "vaebench.pipeline.ui", "--port", str(port)],
            cwd=records,
            env=ENVIRONMENT | QUIET | {"PYTHONPATH": str(ROOT / "src")},
            stderr=output,
            stdout=output,
            start_new_session=True,  # so that its workers can be ended with it
        )
    try:
        wait_for(f"http://127.0.0.1:{port}", ui, log)
        yield re.findall(r"http://\S+workflowType\S+", log.read_text())
    finally:
        os.killpg(ui.pid, signal.SIGKILL)
        ui.wait()


@pytest.fixture
def runs(browser: "Browser", links: list[str]) -> "Iterator[Visit]":
    with visiting(browser, viewport={"width": 1500, "height": 1600}) as visit:
        yield visit
        assert visit.outside() == []


def assert_model_training(page: "Page") -> None:
    """The page has the links of Model training, and the assistant's pane is shut."""
    page.get_by_role("link", name="Runs", exact=True).first.wait_for()
    assert page.get_by_role("link", name="Models", exact=True).count() == 1
    assert page.get_by_role("link", name="Judges", exact=True).count() == 0
    assert page.evaluate("localStorage.getItem('mlflow.assistant.panelOpen_v1')") != "true"


def test_page_stays_in_model_training_from_run_to_run(runs: Visit, links: list[str]) -> None:
    page = runs.page
    page.goto(links[0], wait_until="commit")
    page.get_by_role("link", name="benchmark", exact=True).click()
    page.get_by_role("heading", name="benchmark").first.wait_for()
    assert "workflowType" not in page.evaluate("location.href")
    assert_model_training(page)
    page.goto("about:blank")
    page.goto(links[0].partition("#")[0], wait_until="commit")  # as one types it
    page.get_by_text("vaebench", exact=True).first.click()
    assert_model_training(page)


def test_choice_of_the_user_stays(runs: Visit, links: list[str]) -> None:
    page = runs.page
    page.goto(links[0], wait_until="commit")
    key = "mlflow.workflowType_v1"
    read = f"localStorage.getItem('{key}')"
    assert page.evaluate(read) == '"machine_learning"'
    page.evaluate(f"localStorage.setItem('{key}', '\"genai\"')")
    page.reload(wait_until="commit")
    assert page.evaluate(read) == '"genai"'


@pytest.mark.parametrize("path", ["/", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=vaebench"])
@pytest.mark.parametrize(("host", "status"), [("10.evil.example.com", 403), ("localhost", 200)])
def test_other_names_of_this_machine_are_answered_403(
    links: list[str], path: str, host: str, status: int
) -> None:
    address = urlsplit(links[0])
    connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    assert connection.getresponse().status == status
    connection.close()


def test_executions_unfold_to_their_stages(runs: Visit, links: list[str]) -> None:
    page = runs.page
    page.goto(links[0], wait_until="commit")
    parent = page.get_by_role("link", name="benchmark", exact=True)
    parent.wait_for()
    columns = page.locator("[role=columnheader][col-id]").evaluate_all(
        "headers => headers.map(header => header.getAttribute('col-id'))"
    )
    for metric in ("combined_loss", "fid", "inception_score", "legible_share", "test_combined_loss"):
        assert f"metrics.`{metric}`" in columns
    page.locator("[role=gridcell]").filter(has=parent).locator("button").first.click()
    page.get_by_role("link", name="benchmark · train_vae@30", exact=True).first.wait_for()
    shown = set(page.get_by_role("link").all_text_contents())
    assert shown >= {f"benchmark · {stage}" for stage in STAGES - {"download"}}


def assert_curves(page: "Page") -> None:
    """The curves of all trainings are drawn, and say of which execution each is."""
    traces = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)
        .filter(trace => trace.metricKey === 'combined_loss').map(trace => trace.name)"""
    page.wait_for_function(f"({traces})().length > {len(DIMENSIONS)}")
    assert set(page.evaluate(traces)) == {
        *(f"benchmark · {stage}" for stage in TRAININGS),
        "wide · train_vae@5",
    }


def test_training_curves_lie_over_each_other(runs: Visit, links: list[str]) -> None:
    runs.page.goto(links[1], wait_until="commit")
    assert_curves(runs.page)


def test_view_of_the_curves_opens_its_charts(runs: Visit, links: list[str]) -> None:
    page = runs.page
    page.goto(links[0].partition("&")[0], wait_until="commit")
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_text("Training curves", exact=True).first.click()
    assert_curves(page)


def test_pictures_and_tables_open_as_artifacts(runs: Visit, links: list[str], records: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{records / 'mlflow.db'}")
    page = runs.page
    for stage, file in (
        ("train_vae@5", "samples-d5.png"),
        ("render", "benchmark/samples-d5.png"),
        ("aggregate", "benchmark.md"),
    ):
        made_by = client.search_runs(["1"], f"tags.`dvc.stage` = '{stage}'", order_by=["start_time ASC"])[0]
        page.goto("about:blank")
        address = links[0].partition("#")[0]
        page.goto(
            f"{address}#/experiments/1/runs/{made_by.info.run_id}/artifacts/{file}", wait_until="commit"
        )
        if file.endswith(".png"):
            shown = page.locator("img[src^='blob:'], img[src*='samples-d5']").first
            shown.wait_for()
            assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        else:
            page.get_by_role("columnheader", name="combined", exact=True).first.wait_for()
