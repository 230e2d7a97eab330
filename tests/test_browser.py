"""The pages of the tools as people open them: a real Chromium, and nothing leaves the machine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from browsers import PHONE, Visit, open_report, visiting
from projects import DIMENSIONS, ENVIRONMENT, KEYS, ROOT, commit, git, run, succeed
from servers import QUIET, free_port, wait_for
from vaebench.tracking import recorded
from vaebench.tracking.track import track

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
        row = page.locator("#made-evaluate-5-0")
        assert "metrics/trainings.csv" in row.inner_text()
        link = row.locator("a").last.get_attribute("href") or ""
        assert visit.outside() == visit.errors == []
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    parent = client.get_run(link.rpartition("/")[2]).data.tags["mlflow.parentRunId"]
    [kept] = (project / "mlartifacts").glob(f"**/{parent}/artifacts/report.html")
    assert kept.read_bytes() == (project / "report.html").read_bytes()
    assert client.get_run(link.rpartition("/")[2]).data.tags["dvc.stage"] == "evaluate@5-0"


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


WIDE = {"width": 1400, "height": 900}
LOSS_CHARTS = ("Combined_loss", "Squared_error", "KL_divergence")


def open_plots(visit: Visit, compared: Path) -> "Page":
    visit.page.goto(compared.as_uri())
    visit.page.wait_for_function("document.querySelectorAll('.vega-embed canvas').length === 4")
    return visit.page


def test_plots_page_compares_two_models(browser: "Browser", compared: Path) -> None:
    with visiting(browser) as visit:
        page = open_plots(visit, compared)
        assert page.locator("img").count() == 2 * 6
        for image in page.locator("img").all():
            image.scroll_into_view_if_needed()
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        text = page.locator("body").inner_text()
        assert "HEAD" in text
        assert "workspace" in text
        assert "plots/" not in text  # titles are words
        assert "Label distributions" in text
        alts = {image.get_attribute("alt") for image in page.locator("img").all()}
        assert {"Samples, HEAD", "Samples, workspace"} <= alts
        assert len(alts) == 2 * 6
        assert visit.outside() == []
        assert visit.errors == []


def test_plots_page_has_a_chart_a_loss_with_units(compared: Path) -> None:
    text = compared.read_text()
    specs = {
        chart: json.loads(re.findall(rf"var spec = (.+);\s+vegaEmbed\('#{chart}'", text)[0])
        for chart in (*LOSS_CHARTS, "Confusion")
    }
    columns = dict(zip(LOSS_CHARTS, ("combined_loss", "reconstruction_loss", "kl_loss"), strict=True))
    units = [specs[chart]["encoding"]["y"]["axis"]["title"] for chart in LOSS_CHARTS]
    assert units == ["squared error + KL", "summed over pixels", "nats"]
    for chart in LOSS_CHARTS:
        line, points = (layer["encoding"] for layer in specs[chart]["layer"])
        assert {line["color"]["field"], points["color"]["field"], points["shape"]["field"]} == {"rev"}
        assert line["color"]["scale"] == points["color"]["scale"]
        loss = columns[chart]
        assert {each["field"] for each in specs[chart]["data"]["values"]} == {loss, f"test_{loss}"}
    assert "DVC_METRIC" not in json.dumps(specs)
    # A share of the true digit, of all of which there are as many as were scored.
    cells = specs["Confusion"]["data"]["values"]
    assert len(cells) == 2 * 100
    for rev in ("HEAD", "workspace"):
        assert sum(int(cell["digits"]) for cell in cells if cell["rev"] == rev) == 300


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
def test_pairs_of_pictures_fit_or_stack(browser: "Browser", compared: Path, viewport: dict[str, int]) -> None:
    with visiting(browser, viewport=viewport) as visit:
        page = open_plots(visit, compared)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        boxes = page.locator("img, .vega-embed canvas").evaluate_all(
            "shown => shown.map(each => { const box = each.getBoundingClientRect(); "
            "return [box.left, box.right, box.top]; })"
        )
        assert all(left >= 0 and right <= viewport["width"] for left, right, _ in boxes)
        tops = [
            [
                image.evaluate("image => image.getBoundingClientRect().top")
                for image in pair.locator("img").all()
            ]
            for pair in page.locator("main > div:has(img)").all()
        ]
        assert len(tops) == 6
        beside = viewport is WIDE
        assert all((first == second) == beside for first, second in tops)


def test_first_epoch_does_not_decide_the_scale(browser: "Browser", compared: Path) -> None:
    """Of three epochs, the first far above the others; of one, that one is shown."""
    template = json.loads((ROOT / ".dvc/plots/losses.json").read_text())
    for losses in ([900.0, 30.0, 28.0], [900.0]):
        values = [
            {"epoch": str(epoch), "loss": str(loss), "rev": rev, "field": field}
            for epoch, loss in enumerate(losses, 1)
            for rev in ("HEAD", "workspace")
            for field in ("loss", "test_loss")
        ]
        names = {"X": "epoch", "Y": "loss", "TITLE": "Loss", "X_LABEL": "epoch", "Y_LABEL": "nats"}
        text = json.dumps({**template, "data": {"values": values}})
        for name, value in names.items():
            text = text.replace(f"<DVC_METRIC_{name}>", value)
        with visiting(browser) as visit:
            page = open_plots(visit, compared)
            low, high = page.evaluate(
                """async spec => {
                    const place = document.createElement('div');
                    document.querySelector('main').append(place);
                    return (await draw(place, spec)).view.scale('y').domain();
                }""",
                json.loads(text),
            )
            assert low <= losses[-1] <= high
            assert (high < 900) == (len(losses) > 1)


# MLflow's own pages.


@pytest.fixture(scope="module")
def records(schema: Path, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the committed benchmark and one more training in its store."""
    root = tmp_path_factory.mktemp("records")
    (root / ".dvc").mkdir()
    shutil.copytree(made, root, dirs_exist_ok=True)
    shutil.copytree(ROOT / "plots", root / "plots")
    for name in ("params.yaml", "dvc.lock", ".gitignore"):
        shutil.copy(ROOT / name, root)
    shutil.copy(schema, root / "mlflow.db")
    git(root, "init", "--quiet")
    commit(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        recorded.main()
        patch.setenv("DVC_EXP_NAME", "wide")
        with track("train_vae@5-0", params={"latent_dim": 5}) as run:
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
            [sys.executable, "-m", "vaebench.tracking.ui", "--port", str(port)],
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
    page.get_by_role("link", name="train_vae@30-0 · benchmark", exact=True).first.wait_for()
    shown = set(page.get_by_role("link").all_text_contents())
    kinds = ("train_vae", "reproduce_report", "evaluate")
    stages = [f"{kind}@{key.item}" for kind in kinds for key in KEYS] + ["aggregate", "render"]
    assert shown >= {f"{stage} · benchmark" for stage in stages}


def assert_curves(page: "Page") -> None:
    """The curves of all trainings are drawn, and say of which execution each is."""
    traces = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)
        .filter(trace => trace.metricKey === 'combined_loss').map(trace => trace.name)"""
    page.wait_for_function(f"({traces})().length > {len(DIMENSIONS)}")
    assert set(page.evaluate(traces)) == {
        *(f"train_vae@{key.item} · benchmark" for key in KEYS),
        "train_vae@5-0 · wide",
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
        ("train_vae@5-0", "samples-d5.png"),
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
