"""The pipeline as people run it: real dvc and stage processes, on tiny data, in copies of the project."""

import csv
import json
import math
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from projects import (
    CLASSIFIERS,
    ENVIRONMENT,
    EVALUATIONS,
    LAST,
    REPRODUCTIONS,
    RESULTS,
    STAGES,
    SWEPT,
    TRAINED,
    TRAININGS,
    VARIANTS,
    clone,
    commit,
    executed,
    git,
    ran,
    run,
    set_parameters,
    set_sweep,
    succeed,
)
from vaebench.tracking import recorded

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from vaebench.device import Workers

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

REPORTED = [f"{loss}_loss" for loss in ("kl", "reconstruction", "combined")]
LOSSES = [*REPORTED, *(f"test_{loss}" for loss in REPORTED)]
TEXTS = ["model", "recipe", "training_precision"]  # columns of the table that are no numbers
SCORES = ["inception_score", "fid", "legible_share", "nll_bound", "training_seconds"]

# The project, and what can be read of it.


def working_tree(root: Path) -> dict[str, bytes]:
    """Every file that git tracks or would track, and every model."""
    names = git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    models = (path.relative_to(root).as_posix() for path in (root / "models").rglob("*.*"))
    return {name: (root / name).read_bytes() for name in [*names, *models] if (root / name).is_file()}


@contextmanager
def edited(code: Path, addition: str) -> Iterator[None]:
    """Add to a file for as long as the block runs."""
    original = code.read_text()
    code.write_text(original + addition)
    try:
        yield
    finally:
        code.write_text(original)


@pytest.fixture(scope="module")
def published(project: Path) -> Path:
    """The project with its results committed, the models in the remote among them."""
    commit(project)
    succeed(project, "dvc", "push")
    commit(project)
    return project


@pytest.fixture(scope="module")
def pulled(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of that, made somewhere else, with the models but without the data set."""
    root = clone(published, tmp_path_factory.mktemp("elsewhere") / "pulled")
    succeed(root, "dvc", "pull")
    return root


@pytest.fixture
def prepared(template: Path, project: Path, tmp_path: Path) -> Path:
    """A clone without results that has the data set."""
    root = clone(template, tmp_path / "prepared")
    (root / "data").mkdir()
    shutil.copy(project / "data/dataset.safetensors", root / "data")
    return root


ONE = ("--latent-dim", "2", "--seed", "0")


# The record in MLflow.


@dataclass(frozen=True)
class Execution:
    parent: "Run"
    stages: "dict[str, Run]"


def open_client(root: Path) -> "MlflowClient":
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def executions(root: Path) -> dict[str, Execution]:
    """Every execution of the pipeline by its name, the oldest first."""
    client = open_client(root)
    experiment = client.get_experiment_by_name("vaebench")
    assert experiment is not None
    assert client.search_runs(["0"]) == []
    runs = list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))
    found = {}
    for parent in (each for each in runs if "mlflow.parentRunId" not in each.data.tags):
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert parent.info.run_name not in found
        found[str(parent.info.run_name)] = Execution(
            parent, {str(run.data.tags["dvc.stage"]): run for run in children}
        )
        assert len(found[str(parent.info.run_name)].stages) == len(children)
    return found


def artifact(root: Path, run: "Run", path: str) -> Path:
    """A file that a run has recorded, where the local store keeps it."""
    [found] = (root / "mlartifacts").glob(f"**/{run.info.run_id}/artifacts/{path}")
    return found


def statuses(execution: Execution) -> set[str]:
    return {run.info.status for run in (execution.parent, *execution.stages.values())}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_table(root: Path) -> dict[int, dict[str, float]]:
    """The VAEs' numbers in metrics/benchmark.csv, by dimension."""
    return {
        int(row["latent_dim"]): {
            name: float(cell) if cell else math.nan for name, cell in row.items() if name not in TEXTS
        }
        for row in read_rows(root / "metrics/benchmark.csv")
        if row["model"] == "VAE"
    }


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def read_model(root: Path) -> dict[str, float]:
    return read_json(root / "metrics/model.json")


# dvc repro.


def test_everything_that_is_declared_is_written(project: Path) -> None:
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    assert set(lock) == STAGES
    written = [out["path"] for stage in lock.values() for out in stage.get("outs", [])]
    plots = yaml.safe_load((project / "dvc.yaml").read_text())["plots"]
    shown = [plot for plot in plots if isinstance(plot, str)]
    shown += [file for plot in plots if plot not in shown for chart in plot.values() for file in chart["y"]]
    assert len(shown) >= len(plots)
    assert [path for path in [*written, *shown] if not (project / path).exists()] == []
    drawn = {path.name for path in (project / "plots/benchmark").iterdir()}
    for kind in ("confusion", "interpolations", "latent", "losses", "overlap", "reconstructions", "samples"):
        assert {f"{kind}-d{latent_dim}.png" for latent_dim in SWEPT} <= drawn
    together = ("criteria", "kl_spectra", "losses", "overlaps", "rate_distortion", "recipes")
    assert {f"{kind}.png" for kind in together} <= drawn


def test_table_has_every_dimension(project: Path) -> None:
    table = read_table(project)
    assert tuple(table) == SWEPT
    report = {f"report_{loss}" for loss in REPORTED}
    for row in table.values():
        assert {"latent_dim", *LOSSES, *report, *SCORES} <= set(row)
        # The report's losses are those of MNIST, and these are other digits.
        assert {name for name, value in row.items() if not math.isfinite(value)} == report
        reproduction = read_json(project / f"models/reproduction/d{row['latent_dim']:.0f}-s0/training.json")
        for loss in REPORTED:
            assert row[f"reproduced_{loss}"] == reproduction[loss] != row[loss]
    rows = read_rows(project / "metrics/benchmark.csv")
    kinds = [(row["model"], row["latent_dim"]) for row in rows]
    by_dimension = [(kind, str(latent_dim)) for kind in ("VAE", "PCA") for latent_dim in SWEPT]
    assert kinds == [*by_dimension, ("test images", ""), ("pixel noise", "")]
    for texts in (row for row in rows if row["model"] == "VAE"):
        training = read_json(project / f"models/vae/d{texts['latent_dim']}-s0/training.json")
        assert texts["recipe"] == training["recipe"] == "fast"
        assert texts["training_precision"] == training["training_precision"]
        assert texts["threads"] == str(training["threads"])
    fit, samples = (project / "metrics/benchmark.md").read_text().split("\n\n")
    for part, others in ((fit, []), (samples, ["test images", "pixel noise"])):
        names = [line.split("|")[1].strip() for line in part.splitlines()[2:]]
        assert names == [*map(str, table), *(f"PCA {latent_dim}" for latent_dim in table), *others]


def test_findings_decide_every_claim(project: Path) -> None:
    page = (project / "metrics/findings.md").read_text()
    assert len(re.findall(r"^## \d\. ", page, re.MULTILINE)) == 6
    verdicts = re.findall(r"^\*\*Verdict: (.+)\.\*\*$", page, re.MULTILINE)
    assert len(verdicts) == 6
    known = {"supported", "not supported", "mixed", "not tested"}
    assert {re.sub(r" \(\d of \d parts open\)", "", found) for found in verdicts} <= known
    assert "nan" not in page.split()


def test_model_under_study_is_a_row_of_the_table(project: Path) -> None:
    model, row = read_model(project), read_table(project)[5]
    assert (model["latent_dim"], model.pop("seed")) == (5, 0)
    assert {"combined_loss", "test_combined_loss", *SCORES} <= set(model) <= set(row)
    assert model == {name: row[name] for name in model}


def test_record_is_one_execution_with_every_stage(project: Path) -> None:
    commit_id = git(project, "rev-list", "--max-parents=0", "HEAD")  # nothing was committed before it ran
    execution = executions(project)[f"repro {commit_id[:7]}"]
    assert set(execution.stages) == executed(STAGES)
    assert statuses(execution) == {"FINISHED"}
    for name, child in execution.stages.items():
        assert child.data.tags["mlflow.source.git.commit"] == commit_id
        assert child.info.run_name == f"{name} · {commit_id[:7]}"
        assert child.data.tags["device"]
        assert "dvc.exp" not in child.data.tags

    digests = set()
    for one in (execution.parent, *execution.stages.values()):
        assert one.inputs is not None
        [used] = one.inputs.dataset_inputs
        assert (used.dataset.name, json.loads(used.dataset.profile or "")["num_rows"]) == ("digits", 1797)
        digests.add(used.dataset.digest)
    assert len(digests) == 1
    params = execution.parent.data.params
    assert (params["data.dataset"], params["latent_dim"], params["vae.recipe"]) == ("digits", "5", "fast")


def test_record_of_a_training_has_its_curve_and_its_model(project: Path) -> None:
    client = open_client(project)
    execution = next(iter(executions(project).values()))
    for latent_dim in SWEPT:
        child = execution.stages[f"train_vae@{latent_dim}-0"]
        assert (child.data.params["latent_dim"], child.data.params["seed"]) == (str(latent_dim), "0")
        assert child.data.params["epochs"] == "1"
        assert (child.data.params["recipe"], child.data.params["optimizer"]) == ("fast", "muon")
        [row] = read_rows(project / f"models/vae/d{latent_dim}-s0/curve.csv")
        assert row["epoch"] == "1"
        for loss in LOSSES:
            history = client.get_metric_history(child.info.run_id, loss)
            assert [(metric.step, metric.value) for metric in history] == [(1, float(row[loss]))]
        assert child.outputs is not None
        [output] = child.outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        assert model.status == "READY"
        scores = read_json(project / f"data/evaluation/d{latent_dim}-s0/scores.json")["vae"]
        assert {score.key: score.value for score in model.metrics or []} == scores
        for name in ("samples", "reconstructions"):
            drawn = project / f"plots/benchmark/{name}-d{latent_dim}.png"
            assert artifact(project, child, drawn.name).read_bytes() == drawn.read_bytes()
        weights = "weights.safetensors"
        [kept] = (project / "mlartifacts").glob(f"**/{output.model_id}/**/{weights}")
        assert kept.read_bytes() == (project / f"models/vae/d{latent_dim}-s0" / weights).read_bytes()


def test_record_of_a_reproduction_has_its_curve_and_no_model(project: Path) -> None:
    client = open_client(project)
    execution = next(iter(executions(project).values()))
    for latent_dim in SWEPT:
        child = execution.stages[f"reproduce_report@{latent_dim}-0"]
        found = read_json(project / f"models/reproduction/d{latent_dim}-s0/training.json")
        assert found["latent_dim"] == latent_dim
        assert (found["recipe"], found["optimizer"], found["learning_rate"]) == ("report", "adam", 5e-4)
        for name in ("latent_dim", "recipe", "optimizer", "learning_rate", "epochs", "training_precision"):
            assert child.data.params[name] == str(found[name])
        [row] = read_rows(project / f"models/reproduction/d{latent_dim}-s0/curve.csv")
        for loss in REPORTED:  # of the epoch, and then of the model that it left
            values = [metric.value for metric in client.get_metric_history(child.info.run_id, loss)]
            assert sorted(values) == sorted([float(row[loss]), found[loss]])
        assert child.outputs is None or child.outputs.model_outputs == []


def test_record_has_the_pictures_and_the_headline_numbers(project: Path) -> None:
    execution = next(iter(executions(project).values()))
    for folder in ("benchmark", "model"):
        written = {path.name: path.read_bytes() for path in (project / "plots" / folder).iterdir()}
        recorded = artifact(project, execution.stages["render"], folder)
        assert {path.name: path.read_bytes() for path in recorded.iterdir()} == written
    for name in ("benchmark.csv", "benchmark.md", "trainings.csv", "findings.md"):
        table = artifact(project, execution.parent, name)
        assert table.read_bytes() == (project / "metrics" / name).read_bytes()
    headline = execution.parent.data.metrics
    model = {name: value for name, value in read_model(project).items() if name in headline}
    assert {"combined_loss", *SCORES} <= set(model)
    assert {name: headline[name] for name in model} == model
    for latent_dim, row in read_table(project).items():
        for name in model:
            assert headline[f"d{latent_dim}/{name}"] == row[name]


def contents(root: Path, run: "Run") -> list[Any]:
    """What a run says, but for its times and ids."""
    client = open_client(root)
    assert run.inputs is not None
    data = [(used.dataset.name, used.dataset.digest) for used in run.inputs.dataset_inputs]
    files = [file.path for file in client.list_artifacts(run.info.run_id)]
    made = f"source_run_id = '{run.info.run_id}'"
    models = client.search_logged_models([run.info.experiment_id], made)
    known = [
        (model.name, model.params, {score.key: score.value for score in model.metrics or []})
        for model in models
    ]
    return [run.data.params, run.data.metrics, data, files, known]


def test_committed_results_are_recorded_as_the_stages_did(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = clone(project, tmp_path / "copy")
    for name in ("params.yaml", "dvc.lock", "metrics", "plots", "models", "data"):
        source = project / name
        if source.is_dir():
            shutil.copytree(source, copy / name, dirs_exist_ok=True)
        else:
            shutil.copy(source, copy / name)
    commit(copy)
    monkeypatch.chdir(copy)
    recorded.main()
    [found] = executions(copy).values()
    own = next(iter(executions(project).values()))
    assert set(found.stages) == set(own.stages) - {"download"}  # nothing says what it found but its file
    assert found.parent.data.params == own.parent.data.params
    assert found.parent.data.metrics == own.parent.data.metrics
    for stage, made in found.stages.items():
        said = contents(project, own.stages[stage])
        if stage in CLASSIFIERS:
            del said[1]["cross_entropy"]  # the curve of a classifier is in no file
        if stage in TRAININGS | VARIANTS:
            said[3].remove("epochs.png")  # nor what a model made while it learnt
        assert contents(copy, made) == said


def test_second_repro_runs_nothing(project: Path) -> None:
    before = list(executions(project))
    output = succeed(project, "dvc", "repro")
    assert ran(output) == []
    assert "Data and pipelines are up to date." in output
    assert list(executions(project)) == before


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("src/vaebench/figures/style.py", {"render@all"}),
        ("src/vaebench/findings/table.py", LAST),
        ("src/vaebench/evaluation/inception.py", EVALUATIONS | {"evaluate_references"}),
        ("src/vaebench/training/train_vae.py", CLASSIFIERS | TRAININGS | VARIANTS | REPRODUCTIONS),
        ("src/vaebench/networks/mlp.py", VARIANTS),
        ("src/vaebench/objectives/elbo.py", TRAININGS | VARIANTS | REPRODUCTIONS | EVALUATIONS),
    ],
)
def test_edit_runs_only_what_uses_it(project: Path, code: str, again: set[str]) -> None:
    with edited(project / code, "\n# Another remark.\n"):
        output = succeed(project, "dvc", "repro", "--dry")
    assert set(ran(output)) == again


@pytest.mark.parametrize(
    ("section", "values", "again"),
    [
        (
            "vae",
            {"recipe": "report"},
            TRAININGS | VARIANTS | {"render@all"},
        ),  # the reproductions are there; a legend is not
        ("vae.fast", {"epochs": 2}, TRAININGS | VARIANTS),
        ("vae.report", {"epochs": 2}, REPRODUCTIONS),
    ],
)
def test_parameter_runs_only_what_uses_it(
    project: Path, section: str, values: dict[str, object], again: set[str]
) -> None:
    with edited(project / "params.yaml", ""):
        set_parameters(project, {section: values})
        output = succeed(project, "dvc", "repro", "--dry")
    assert set(ran(output)) == again


def test_store_that_is_down_stops_a_training_before_it_starts(project: Path) -> None:
    outputs = [f"models/vae/d2-s0/{name}" for name in ("weights.safetensors", *TRAINED)]
    before = {name: ((project / name).read_bytes(), (project / name).stat().st_mtime_ns) for name in outputs}
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{bound.getsockname()[1]}"
        started = time.monotonic()
        done = run(project, "python", "stages/train_vae.py", *ONE, MLFLOW_TRACKING_URI=uri)
    assert time.monotonic() - started < 60
    assert (done.returncode, done.stdout.count("\n")) == (2, 1)
    assert done.stdout.startswith(f"error: MLflow at {uri} cannot be used (")
    assert before == {
        name: ((project / name).read_bytes(), (project / name).stat().st_mtime_ns) for name in outputs
    }


# Committed results, in a fresh clone.


def test_only_results_are_there_to_commit(template: Path, published: Path) -> None:
    start = git(template, "rev-parse", "HEAD")
    new = git(published, "diff", "--name-only", start, "HEAD").splitlines()
    assert [name for name in new if not name.startswith(RESULTS)] == []
    assert [kind for kind in RESULTS if not any(name.startswith(kind) for name in new)] == []


def test_fresh_clone_has_nothing_to_run(published: Path, tmp_path: Path) -> None:
    output = succeed(clone(published, tmp_path / "fresh"), "dvc", "repro", "--allow-missing", "--dry")
    assert ran(output) == []
    assert "Data and pipelines are up to date." in output


def test_models_are_pulled(project: Path, pulled: Path) -> None:
    names = sorted(path.relative_to(project) for path in (project / "models").rglob("*.safetensors"))
    assert len(names) == len(CLASSIFIERS) + len(SWEPT) + len(VARIANTS)
    for name in names:
        assert (pulled / name).read_bytes() == (project / name).read_bytes()


def test_studying_another_model_of_the_benchmark_trains_nothing(pulled: Path) -> None:
    table = (pulled / "metrics/benchmark.csv").read_bytes()
    assert set(ran(succeed(pulled, "dvc", "exp", "run", "-S", "latent_dim=30"))) == LAST | {
        "download"  # which the remote does not have
    }
    model, row = read_model(pulled), read_table(pulled)[30]
    assert model.pop("seed") == 0
    assert model == {name: row[name] for name in model}
    assert (pulled / "metrics/benchmark.csv").read_bytes() == table
    curve = (pulled / "models/vae/d30-s0/curve.csv").read_bytes()
    assert (pulled / "plots/model/curve.csv").read_bytes() == curve
    picture = (pulled / "plots/benchmark/latent-d30.png").read_bytes()
    assert (pulled / "plots/model/latent.png").read_bytes() == picture


@pytest.mark.parametrize("value", ["0", "abc"])
def test_dimension_that_there_cannot_be_is_one_line(pulled: Path, value: str) -> None:
    before = working_tree(pulled)
    done = run(pulled, "dvc", "exp", "run", "-S", f"latent_dim={value}")
    after = working_tree(pulled)
    (pulled / "params.yaml").write_bytes(before["params.yaml"])
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    [message] = re.findall(r"^error: (.+)$", done.stdout, re.MULTILINE)
    assert re.search(r"\blatent.dim\b", message)
    assert re.search(rf"must be an integer from 1 to 512, got '?{value}'?$", message)
    assert after | {"params.yaml": b""} == before | {"params.yaml": b""}


WIDE = """
from torch import nn

from vaebench.models.posterior import Heads
from vaebench.models.vae import Network


def linear(latent_dim: int) -> Network:
    encoder = nn.Sequential(nn.Flatten(), Heads(784, latent_dim))
    return Network(encoder, nn.Sequential(nn.Linear(latent_dim, 784), nn.Unflatten(1, (1, 28, 28))))
"""


def test_line_of_a_variant_and_function_of_a_network_train_one_more(published: Path, tmp_path: Path) -> None:
    root = clone(published, tmp_path / "extended")
    succeed(root, "dvc", "pull")
    succeed(root, "dvc", "repro", "download")
    (root / "src/vaebench/networks/linear.py").write_text(WIDE)
    line: dict[str, object] = {
        "flat": {"network": "linear", "objective": "beta_vae", "beta": 2.5, "epochs": 2}
    }
    set_parameters(root, {"variants.models": line})
    output = succeed(root, "dvc", "repro", "train_variant@flat", "train_variant@mlp", "train_vae@5-0")
    assert ran(output) == ["train_variant@flat"]
    training = read_json(root / "models/vae/flat/training.json")
    assert (training["network"], training["beta"], training["epochs"]) == ("linear", 2.5, 2)
    assert (training["latent_dim"], training["parameters"]) == (10, 2 * 7_850 + 8_624)
    assert len(read_rows(root / "models/vae/flat/curve.csv")) == 2


# dvc exp run.


def test_experiment_trains_the_model_that_is_not_there(published: Path) -> None:
    before = list(executions(published))
    output = succeed(published, "dvc", "exp", "run", "-S", "latent_dim=7")
    assert set(ran(output)) == LAST | {"train_vae@7-0", "reproduce_report@7-0", "evaluate@7-0"}
    assert tuple(read_table(published)) == (2, 5, 7, 30)
    assert read_model(published)["latent_dim"] == 7
    assert math.isnan(read_table(published)[7]["report_combined_loss"])

    [name] = re.findall(r"^Ran experiment\(s\): (.+)$", output, re.MULTILINE)
    assert list(executions(published)) == [*before, name]
    execution = executions(published)[name]
    assert set(execution.stages) == executed(ran(output))
    assert statuses(execution) == {"FINISHED"}
    for one in (execution.parent, *execution.stages.values()):
        assert one.data.tags["dvc.exp"] == name
    assert execution.parent.data.metrics["combined_loss"] == read_model(published)["combined_loss"]


@pytest.fixture
def queue(published: Path) -> Iterator[Path]:
    """The project, whose queue has no worker left when the test ends."""
    yield published
    succeed(published, "dvc", "queue", "stop", "--kill")
    wait_for("Worker status: 0 active, 0 idle", published, seconds=60)


def wait_for(pattern: str, root: Path, seconds: float) -> str:
    """Wait until `dvc queue status` shows `pattern`, and return what it shows then."""
    end = time.monotonic() + seconds
    while not re.search(pattern, status := succeed(root, "dvc", "queue", "status")):
        assert time.monotonic() < end, status
        time.sleep(3)
    return status


# Added to table.py: what its tables end with then.
SIGNED = """
_to_markdown = to_markdown

def to_markdown(*arguments):
    return _to_markdown(*arguments) + "By the snapshot.\\n"
"""


def test_queue_runs_snapshots_side_by_side(queue: Path) -> None:
    others = list(executions(queue))
    before = working_tree(queue)

    with edited(queue / "src/vaebench/findings/table.py", SIGNED):
        output = succeed(queue, "dvc", "exp", "run", "--queue", "-S", "latent_dim=8,16")
    names = re.findall(r"^Queued experiment '(.+)' for future execution\.$", output, re.MULTILINE)
    assert len(names) == 2
    succeed(queue, "dvc", "queue", "start", "--jobs", "2")
    status = wait_for(r"(?s)(Success|Failed).*(Success|Failed)", queue, seconds=400)
    for name in names:
        if not re.search(rf"\b{name}\b.* Success", status):
            pytest.fail(run(queue, "dvc", "queue", "logs", name).stdout)
    assert working_tree(queue) == before

    found = executions(queue)
    assert list(found)[: len(others)] == others
    assert set(found) == {*others, *names}
    for name, latent_dim in zip(names, (8, 16), strict=True):
        execution = found[name]
        assert set(execution.stages) == {
            "download",  # into a folder of its own, where only what is cached or committed is
            f"train_vae@{latent_dim}-0",
            f"reproduce_report@{latent_dim}-0",
            f"evaluate@{latent_dim}-0",
            "render",
            "aggregate",
        }
        assert statuses(execution) == {"FINISHED"}
        assert {run.data.tags["dvc.exp"] for run in execution.stages.values()} == {name}
        [commit_id] = git(queue, "for-each-ref", "--format=%(objectname)", f"refs/exps/**/{name}").split()
        kept = artifact(queue, execution.stages["aggregate"], "benchmark.md").read_text()
        assert kept.rstrip("\n") == git(queue, "show", f"{commit_id}:metrics/benchmark.md")
        assert kept.endswith("By the snapshot.\n")
        assert f"\n| {latent_dim} |" in kept
    assert not list(queue.glob(".dvc/tmp/exps/**/mlflow.db"))


# The two recipes.


def test_model_trained_by_the_reports_recipe_has_the_reproductions_losses(
    project: Path, prepared: Path
) -> None:
    (prepared / "models").mkdir()
    shutil.copytree(project / "models/classifier", prepared / "models/classifier")
    set_parameters(prepared, {"vae": {"recipe": "report"}})
    succeed(prepared, "python", "stages/train_vae.py", *ONE)
    succeed(prepared, "python", "stages/evaluate.py", *ONE)
    scores = "data/evaluation/d2-s0/scores.json"
    model = read_json(prepared / scores)["vae"]
    reproduction = read_json(project / "models/reproduction/d2-s0/training.json")
    assert {loss: model[loss] for loss in REPORTED} == {loss: reproduction[loss] for loss in REPORTED}
    other = read_json(project / scores)["vae"]
    assert all(other[loss] != model[loss] for loss in LOSSES)  # which `vae.fast` has not
    curve, other_curve = (
        read_rows(root / f"models/{folder}/d2-s0/curve.csv")
        for root, folder in ((prepared, "vae"), (project, "reproduction"))
    )
    ours, theirs = (
        [{name: row[name] for name in ("epoch", "loss", *REPORTED)} for row in rows]
        for rows in (curve, other_curve)
    )
    assert ours == theirs
    assert read_json(prepared / "models/vae/d2-s0/training.json")["recipe"] == "report"


# What a stage refuses, and what it leaves then.


@pytest.mark.parametrize(
    "command",
    [
        "download.py",
        "train_classifier.py --panel plain --seed 0",
        "train_vae.py --latent-dim 5 --seed 0",
        "reproduce_report.py --latent-dim 5 --seed 0",
        "evaluate.py --latent-dim 5 --seed 0",
        "evaluate_references.py",
        "render.py --model 5 --latent-dim 5 --seed 0",
        "aggregate.py --model 5 --latent-dim 5 --seed 0",
    ],
)
def test_unknown_parameter_is_refused(template: Path, tmp_path: Path, command: str) -> None:
    root = clone(template, tmp_path / "misspelt")
    allowed = ", ".join(yaml.safe_load((root / "params.yaml").read_text())["vae"]["fast"])
    set_parameters(root, {"vae.fast": {"learnig_rate": 0.1}})
    before = working_tree(root)
    done = run(root, "python", *shlex.split(f"stages/{command}"))
    message = f"error: params.yaml: unknown key vae.fast.learnig_rate; allowed here: {allowed}\n"
    assert (done.returncode, done.stdout) == (2, message)
    assert working_tree(root) == before


@pytest.mark.parametrize(("stage", "recipe"), [("train_vae", "fast"), ("reproduce_report", "report")])
def test_loss_that_is_not_finite_ends_the_training(prepared: Path, stage: str, recipe: str) -> None:
    set_parameters(prepared, {f"vae.{recipe}": {"optimizer": "adam", "learning_rate": 1.0, "epochs": 3}})
    before = working_tree(prepared)
    done = run(prepared, "python", f"stages/{stage}.py", *ONE)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout
    message = done.stdout.splitlines()[-1]
    assert message.startswith("error: the loss is NaN or infinite in epoch ")
    assert message.endswith(f"; try a lower vae.{recipe}.learning_rate")
    assert working_tree(prepared) == before
    assert not (prepared / "models").exists()
    [execution] = executions(prepared).values()
    assert set(execution.stages) == {f"{stage}@2-0"}
    assert statuses(execution) == {"FAILED"}


def test_output_folder_that_cannot_be_written_is_named(prepared: Path) -> None:
    (prepared / "models").write_text("mine")
    before = working_tree(prepared)
    done = run(prepared, "python", "stages/train_vae.py", *ONE)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout
    [line] = done.stdout.splitlines()  # before any training
    assert line.startswith("error: models: must be a folder")
    assert working_tree(prepared) == before
    assert (prepared / "models").read_text() == "mine"


# Several trainings.


def test_another_seed_is_trained_alone_and_going_back_trains_nothing(template: Path, tmp_path: Path) -> None:
    """What was trained once comes from DVC's cache: by its run cache, too, when the parameters come back."""
    root = clone(template, tmp_path / "seeds")
    set_sweep(root, ())
    set_parameters(root, {"vae.fast": {"epochs": 1}})
    commit(root)
    first = set(ran(succeed(root, "dvc", "repro")))
    assert {"train_vae@5-0", "evaluate@5-0"} <= first
    table = (root / "metrics/benchmark.csv").read_bytes()

    output = succeed(root, "dvc", "exp", "run", "-S", "seeds=[0, 1]")
    assert set(ran(output)) == LAST | {"train_vae@5-1", "evaluate@5-1"}
    assert read_table(root)[5]["trainings"] == 2
    assert read_table(root)[5]["fid_training_sd"] > 0
    assert read_model(root)["seed"] == 0
    [execution] = [found for name, found in executions(root).items() if not name.startswith("repro")]
    assert execution.stages["train_vae@5-1"].data.params["seed"] == "1"
    assert set(ran(succeed(root, "dvc", "exp", "run", "-S", "seeds=[0]"))) == LAST
    assert (root / "metrics/benchmark.csv").read_bytes() == table

    succeed(root, "dvc", "exp", "run", "-S", "vae.fast.learning_rate=0.002")
    back = ran(succeed(root, "dvc", "exp", "run", "-S", "vae.fast.learning_rate=0.003"))
    assert set(back) <= LAST  # the training and its evaluation are checked out
    assert (root / "metrics/benchmark.csv").read_bytes() == table


# Dvc, killed.


@contextmanager
def training(root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A dvc whose stage is at work."""
    with (root / "log").open("wb") as log:
        dvc = subprocess.Popen(
            ["dvc", "repro", "--single-item", "train_vae@2-0"],
            cwd=root,
            env=ENVIRONMENT | {"DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: "epoch 1:" in (root / "log").read_text())
        yield dvc
    finally:
        with suppress(ProcessLookupError):
            os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait()


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_stage_ends_with_its_dvc_and_runs_again_in_the_same_execution(prepared: Path) -> None:
    set_parameters(prepared, {"vae.fast": {"epochs": 10_000}})
    for number in (signal.SIGKILL, signal.SIGTERM):
        with training(prepared) as dvc:
            started = psutil.Process(dvc.pid).children(recursive=True)
            assert started  # the stage, and what it may ask at that moment
            dvc.send_signal(number)
            dvc.wait()
            _, alive = psutil.wait_procs(started, timeout=120)
            assert not alive
        said = (prepared / "log").read_text().splitlines()
        assert said[-1] == "error: ended by SIGTERM, as the dvc that ran this stage is gone"
    client = open_client(prepared)
    [experiment] = client.search_experiments(filter_string="name = 'vaebench'")
    parent, *stages = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    assert [run.data.tags["dvc.stage"] for run in stages] == ["train_vae@2-0"] * 2
    assert {run.data.tags["mlflow.parentRunId"] for run in stages} == {parent.info.run_id}
    assert [run.info.status for run in (parent, *stages)] == ["KILLED"] * 3
    assert not list(prepared.glob("models/**/*.*"))


# Real digits.


def test_real_digits_are_learnt(template: Path, tmp_path: Path, real_mirror: str, workers: "Workers") -> None:
    from vaebench.data.dataset import load_dataset
    from vaebench.models.objective import load_objective
    from vaebench.models.vae import build_vae
    from vaebench.training.train_vae import train_vae

    root = clone(template, tmp_path / "mnist")
    set_parameters(root, {"data": {"dataset": "mnist"}})
    done = run(root, "python", "stages/download.py", VAEBENCH_MNIST_MIRROR=real_mirror)
    assert done.returncode == 0
    dataset = load_dataset(root / "data/dataset.safetensors")
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("mnist", 60_000, 10_000)

    vae = build_vae(5, seed=0)
    train, test = dataset.train.images[:12_800], dataset.test.images[:2_000]
    [epoch] = train_vae(
        vae.to(workers.device),
        train,
        test,
        objective=load_objective("elbo"),
        epochs=1,
        batch_size=64,
        optimizer="adam",
        learning_rate=1e-3,
        seed=0,
        workers=workers,
    )
    # A model that does not look at its input can do no better than to show the mean image: a loss of 50.5.
    # This one came to 42.3, 41.8, 41.5 and 38.8 with four seeds.
    ignorant = (test - train.mean(0)).square().flatten(1).sum(1).mean().item()
    assert epoch.test
    assert epoch.test.combined_loss < ignorant - 5
