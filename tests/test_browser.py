"""The pages of the tools as people open them: a real Chromium, and nothing leaves the machine."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsers import Visit, open_report, visiting
from projects import DIMENSIONS, ROOT, STAGES, TRAININGS, commit, git, run, succeed
from servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


# The report page of a pipeline that ran here. `test_page_browser.py` looks at what can be done with one.


def test_report_is_made_and_its_numbers_lead_to_their_runs(browser: "Browser", project: Path) -> None:
    from mlflow import MlflowClient

    said = succeed(project, "python", "-m", "vaebench.page", "--output", "report.html")
    assert re.fullmatch(r"report\.html: \d+\.\d MB; open it in a browser\n", said)
    with visiting(browser) as visit:
        page = open_report(visit, project / "report.html")
        assert "and the run that computed it" in page.locator("header").inner_text()
        row = page.locator("#made-evaluate-5")
        assert "metrics/evaluation/d5.json" in row.inner_text()
        link = row.locator("a").last.get_attribute("href") or ""
        assert visit.outside() == visit.errors == []
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    assert client.get_run(link.rpartition("/")[2]).data.tags["dvc.stage"] == "evaluate@5"


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
def ui(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What `make ui` starts, on the record of the project."""
    server = Server(tmp_path_factory.mktemp("ui"), project / "mlflow.db")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def runs(browser: "Browser", ui: Server) -> "Iterator[Visit]":
    with visiting(browser, viewport={"width": 1500, "height": 1600}) as visit:
        yield visit
        assert visit.outside() == []


def open_runs(visit: Visit, ui: Server, query: str) -> None:
    """Open MLflow's page of runs by a link that `make ui` prints."""
    makefile = (ROOT / "Makefile").read_text()
    [path] = re.findall(r"^RUNS = http://127\.0\.0\.1:\$\(PORT\)(.+)$", makefile, re.MULTILINE)
    assert query in makefile
    visit.page.goto(ui.uri + path.replace("\\#", "#") + query, wait_until="commit")


def execution_name(project: Path) -> str:
    """The first execution's; nothing was committed before it ran."""
    return f"repro {git(project, 'rev-list', '--max-parents=0', 'HEAD')[:7]}"


def test_executions_unfold_to_their_stages(runs: Visit, ui: Server, project: Path) -> None:
    page = runs.page
    open_runs(runs, ui, "&viewStateShareKey=benchmark")
    parent = page.get_by_role("link", name=execution_name(project))
    parent.wait_for()
    columns = page.locator("[role=columnheader][col-id]").evaluate_all(
        "headers => headers.map(header => header.getAttribute('col-id'))"
    )
    for metric in ("combined_loss", "fid", "inception_score", "legible_share", "test_combined_loss"):
        assert f"metrics.`{metric}`" in columns
    page.locator("[role=gridcell]").filter(has=parent).locator("button").first.click()
    page.get_by_role("link", name="train_vae@30", exact=True).first.wait_for()
    assert set(page.get_by_role("link").all_text_contents()) >= STAGES - {"download"}


def test_training_curves_lie_over_each_other(runs: Visit, ui: Server) -> None:
    page = runs.page
    open_runs(runs, ui, "&viewStateShareKey=curves&compareRunsMode=CHART")
    traces = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)
        .filter(trace => trace.metricKey === 'combined_loss').map(trace => trace.name)"""
    page.wait_for_function(f"({traces})().length >= {len(DIMENSIONS)}")
    assert set(page.evaluate(traces)) == TRAININGS


def test_pictures_and_tables_open_as_artifacts(runs: Visit, ui: Server, project: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    page = runs.page
    for stage, file in (("render", "benchmark/samples-d5.png"), ("aggregate", "benchmark.md")):
        experiment = client.get_experiment_by_name("vaebench")
        assert experiment is not None
        made_by = client.search_runs([experiment.experiment_id], f"tags.`dvc.stage` = '{stage}'")[0]
        page.goto("about:blank")
        page.goto(
            f"{ui.uri}/#/experiments/1/runs/{made_by.info.run_id}/artifacts/{file}", wait_until="commit"
        )
        if file.endswith(".png"):
            shown = page.locator("img[src^='blob:'], img[src*='samples-d5']").first
            shown.wait_for()
            assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        else:
            page.get_by_role("columnheader", name="combined", exact=True).first.wait_for()
