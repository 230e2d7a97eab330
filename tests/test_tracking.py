import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from disks import no_room
from vaebench.data.dataset import Dataset, Images, save_dataset
from vaebench.data.download import make_digits
from vaebench.findings.table import HEADLINE
from vaebench.pipeline import process
from vaebench.pipeline.params import load_params
from vaebench.pipeline.process import PROCESS_TAG, Terminated
from vaebench.pipeline.stage import StageError
from vaebench.tracking import track as tracking
from vaebench.tracking.history import attach
from vaebench.tracking.store import open_store, store_uri
from vaebench.tracking.track import StageRun, track
from vaebench.tracking.unsent import Outbox
from vaebench.tracking.views import TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

SOURCES = Path(__file__).parents[1] / "src"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def open_client(root: Path) -> "MlflowClient":
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def read_runs(root: Path) -> "list[Run]":
    """All runs of the experiment, the oldest first."""
    client = open_client(root)
    experiment = client.get_experiment_by_name("vaebench")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def parents(root: Path) -> "list[Run]":
    return [run for run in read_runs(root) if "mlflow.parentRunId" not in run.data.tags]


def children(root: Path) -> "list[Run]":
    return [run for run in read_runs(root) if "mlflow.parentRunId" in run.data.tags]


def statuses(runs: "list[Run]") -> list[str]:
    return [run.info.status for run in runs]


def execute(stage: str) -> None:
    with track(stage, params={}):
        pass


def test_importing_the_module_does_not_import_mlflow() -> None:
    code = "import sys, vaebench.tracking.track; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(SOURCES)})


def test_stage_is_a_child_of_its_execution(repo: Path) -> None:
    with track("train_vae@5", params={"vae.epochs": 3, "data": "mnist"}, device="cuda"):
        assert statuses(read_runs(repo)) == ["RUNNING", "RUNNING"]
    [parent], [child] = parents(repo), children(repo)
    commit = git(repo, "rev-parse", "HEAD")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    name = f"repro {commit[:7]}"
    assert (parent.info.run_name, child.info.run_name) == (name, f"train_vae@5 · {commit[:7]}")
    assert statuses([parent, child]) == ["FINISHED", "FINISHED"]
    assert child.data.params == {"vae.epochs": "3", "data": "mnist"}
    assert child.data.tags["dvc.stage"] == "train_vae@5"
    assert child.data.tags["device"] == "cuda"
    assert child.data.tags["mlflow.source.name"] == sys.argv[0]
    assert parent.data.tags["mlflow.source.name"] == "dvc.yaml"
    for run in (parent, child):
        assert run.data.tags["mlflow.source.git.commit"] == commit
        assert run.data.tags["mlflow.user"]
        assert "dvc.exp" not in run.data.tags


def test_nothing_is_logged_into_the_default_experiment(repo: Path) -> None:
    execute("prepare")
    assert open_client(repo).search_runs(["0"]) == []


def test_experiment_has_views_of_what_is_recorded(repo: Path) -> None:
    client = open_client(repo)
    older = client.create_experiment("vaebench")  # before there were any
    execute("prepare")
    tags = client.get_experiment(older).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    views = {key: json.loads(value) for key, value in tags.items() if key.startswith(TAG)}
    assert [view["name"] for view in views.values()] == ["Benchmark", "Training curves"]
    recorded = {f"params.`{name}`" for name in parents(repo)[0].data.params}
    recorded |= {f"params.`{name}`" for name in ("recipe", "epochs", "seed")}  # of a training
    recorded |= {f"tags.`{name}`" for name in ("dvc.exp", "device")}
    recorded |= {f"metrics.`{name}`" for name in HEADLINE}
    for view in views.values():
        columns = json.loads(view["state"])["selectedColumns"]
        assert [column for column in columns if column not in recorded] == []
    before = dict(tags)
    execute("train")
    assert client.get_experiment(older).tags == before


def test_metrics_have_steps_and_the_headline_is_on_the_parent(repo: Path) -> None:
    with track("aggregate", params={}) as run:
        run.log_metrics({"loss": 2.0, "kl": 1.0}, step=1)
        run.log_metrics({"loss": 1.0}, step=2)
        run.log_headline({"d5/fid": 7.0})
    [parent], [child] = parents(repo), children(repo)
    history = open_client(repo).get_metric_history(child.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 1.0)]
    assert child.data.metrics == {"loss": 1.0, "kl": 1.0}
    assert parent.data.metrics == {"d5/fid": 7.0}


def test_execution_has_all_parameters_and_says_what_it_is(repo: Path) -> None:
    execute("prepare")
    [parent] = parents(repo)
    params = load_params()
    assert parent.data.params["latent_dim"] == str(params.latent_dim)
    assert parent.data.params["data.dataset"] == params.data.dataset
    assert parent.data.params["vae.fast.learning_rate"] == str(params.vae.fast.learning_rate)
    assert parent.data.params["variants.models.beta.beta"] == "4"
    sections = (params.data, params.classifier, params.vae.fast, params.vae.report, params.evaluate)
    names = sum((list(section.model_dump()) for section in sections), ["seed", "latent_dim", "precision"])
    names += ["vae.network", "vae.recipe", "variants.latent_dim"]
    of_variants = sum(
        len(each) for each in params.model_dump(exclude_none=True)["variants"]["models"].values()
    )
    assert len(parent.data.params) == len(names) + of_variants
    assert parent.data.tags["mlflow.note.content"].startswith("One execution of the pipeline: ")


def test_any_number_of_parameters_is_recorded(repo: Path) -> None:
    """MLflow takes a hundred at once; every variant of params.yaml brings some."""
    params = {f"variants.models.v{number}.beta": number for number in range(205)}
    with track("prepare", params=params):
        pass
    [run] = children(repo)
    assert run.data.params == {name: str(value) for name, value in params.items()}


def assert_inputs(run: "Run", dataset: Dataset) -> None:
    assert run.inputs is not None
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == (dataset.name, dataset.digest)
    sizes = {"train_size": len(dataset.train), "test_size": len(dataset.test)}
    assert json.loads(used.dataset.profile or "") == {"num_rows": sum(sizes.values()), **sizes}


def test_data_set_is_recorded(repo: Path) -> None:
    train, test = (Images(torch.zeros(n, 1, 28, 28), torch.zeros(n, dtype=torch.int64)) for n in (15, 3))
    dataset = Dataset("digits", "0123456789abcdef", train, test)
    for stage in ("train_vae@2", "train_vae@3"):
        with track(stage, params={}) as run:
            run.log_dataset(dataset)
    for recorded in read_runs(repo):
        assert_inputs(recorded, dataset)


def test_data_set_of_a_stage_that_reads_none_is_the_one_that_is_there(repo: Path, digits: Dataset) -> None:
    (repo / "data").mkdir()
    save_dataset(repo / "data/dataset.safetensors", "digits", make_digits())
    execute("aggregate")
    for recorded in read_runs(repo):
        assert_inputs(recorded, digits)


def test_artifacts_are_under_the_repository(repo: Path) -> None:
    (repo / "grid.png").write_bytes(b"png")
    with track("evaluate@5", params={}) as run:
        run.log_artifact(Path("grid.png"), "plots")
    [child] = children(repo)
    assert [file.path for file in open_client(repo).list_artifacts(child.info.run_id, "plots")] == [
        "plots/grid.png"
    ]
    [stored] = (repo / "mlartifacts").rglob("grid.png")
    assert stored.read_bytes() == b"png"


def test_model_is_linked_to_its_run_and_comes_back_unchanged(repo: Path, tmp_path: Path) -> None:
    weights = tmp_path / "d5.safetensors"
    weights.write_bytes(bytes(range(256)) * 100)
    with track("train_vae@5", params={}) as run:
        run.log_model(weights, "vae-d5", {"latent_dim": 5})
    client = open_client(repo)
    [child] = children(repo)
    assert child.outputs is not None
    [output] = child.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    about = {"latent_dim": "5", "weights_md5": hashlib.md5(weights.read_bytes()).hexdigest()}
    assert (model.name, model.status, model.params) == ("vae-d5", "READY", about)
    assert model.source_run_id == child.info.run_id
    [file] = client.list_logged_model_artifacts(output.model_id)
    assert file.path == weights.name
    [stored] = (repo / "mlartifacts").rglob(weights.name)
    assert stored.read_bytes() == weights.read_bytes()


def test_stages_share_their_execution_and_a_second_one_is_new(repo: Path) -> None:
    for stage in ("prepare", "train", "prepare", "train"):
        execute(stage)
    first, second = parents(repo)
    expected = [first, first, second, second]
    assert [run.data.tags["mlflow.parentRunId"] for run in children(repo)] == [
        run.info.run_id for run in expected
    ]


def test_curves_of_two_executions_are_told_apart(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        execute("train_vae@5")
    monkeypatch.setenv("DVC_EXP_NAME", "demo")
    execute("train_vae@5")
    name = f"repro {git(repo, 'rev-parse', 'HEAD')[:7]}"
    names = [name, f"{name} (2)", f"{name} (3)", "demo"]
    assert [run.info.run_name for run in parents(repo)] == names
    assert [run.info.run_name for run in children(repo)] == [
        f"train_vae@5 · {each.removeprefix('repro ')}" for each in names
    ]
    assert {run.data.tags["dvc.stage"] for run in children(repo)} == {"train_vae@5"}


def test_model_has_its_scores_and_models_sort_by_them(repo: Path, digits: Dataset) -> None:
    weights = {latent_dim: repo / f"d{latent_dim}.safetensors" for latent_dim in (2, 3, 5)}
    for latent_dim, file in weights.items():
        file.write_bytes(bytes([latent_dim]))
    for latent_dim in (2, 3):
        with track(f"train_vae@{latent_dim}", params={}) as run:
            run.log_model(weights[latent_dim], f"vae-d{latent_dim}", {"latent_dim": latent_dim})
    change_parameters(repo, 7)  # another execution, in which training is cached
    for latent_dim, fid in ((2, 9.0), (3, 4.0), (5, 1.0)):
        with track(f"evaluate@{latent_dim}", params={}) as run:
            run.log_dataset(digits)
            run.log_scores(weights[latent_dim], {"fid": fid})
    client = open_client(repo)
    [experiment] = client.search_experiments(filter_string="name = 'vaebench'")
    models = client.search_logged_models(
        [experiment.experiment_id], order_by=[{"field_name": "metrics.fid", "ascending": True}]
    )
    assert [model.name for model in models] == ["vae-d3", "vae-d2"]
    [score] = models[0].metrics or []
    assert (score.key, score.value) == ("fid", 4.0)
    assert (score.dataset_name, score.dataset_digest) == ("digits", digits.digest)
    evaluations = [run for run in children(repo) if run.data.tags["dvc.stage"].startswith("evaluate")]
    assert [run.data.metrics for run in evaluations] == [{"fid": 9.0}, {"fid": 4.0}, {"fid": 1.0}]


def test_page_goes_to_the_newest_execution_with_its_numbers(repo: Path) -> None:
    page, uri = Path("report.html"), f"sqlite:///{repo / 'mlflow.db'}"
    for fid in (3.0, 4.0, 3.0):
        with track("aggregate", params={}) as run:
            run.log_headline({"fid": fid, "kid": 1.0})
    for content, fid in (("first", 3.0), ("second", 3.0), ("other", 5.0)):
        page.write_text(content)
        attach(uri, page, {"fid": fid})
    client = open_client(repo)
    held = [[file.path for file in client.list_artifacts(run.info.run_id)] for run in parents(repo)]
    assert held == [[], [], ["report.html"]]
    [kept] = repo.glob("mlartifacts/**/report.html")
    assert kept.read_text() == "second"
    attach("sqlite:////nowhere/mlflow.db", page, {})  # no store is made


def test_training_holds_pictures_and_its_execution_tables(repo: Path) -> None:
    weights, strange = repo / "d5.safetensors", repo / "d7.safetensors"
    weights.write_bytes(b"weights")
    strange.write_bytes(b"other weights")
    for name in ("samples-d5.png", "samples-d7.png", "benchmark.md"):
        (repo / name).write_text(name)
    with track("train_vae@5", params={}) as run:
        run.log_model(weights, "vae-d5", {})
    with track("render", params={}) as run:
        run.log_picture(repo / "samples-d5.png", weights)
        run.log_picture(repo / "samples-d7.png", strange)  # whose training the store does not know
        run.log_picture(repo / "samples-d7.png", repo / "absent")
        run.log_table(repo / "benchmark.md")
    client = open_client(repo)
    held = {
        run.info.run_name: [file.path for file in client.list_artifacts(run.info.run_id)]
        for run in read_runs(repo)
    }
    name = f"repro {git(repo, 'rev-parse', 'HEAD')[:7]}"
    assert held == {
        name: ["benchmark.md"],
        f"train_vae@5 · {name[6:]}": ["samples-d5.png"],
        f"render · {name[6:]}": ["benchmark.md"],
    }


def change_parameters(repo: Path, latent_dim: int) -> None:
    params = (repo / "params.yaml").read_text()
    (repo / "params.yaml").write_text(
        re.sub(r"^latent_dim: \d+", f"latent_dim: {latent_dim}", params, flags=re.M)
    )


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DVC_EXP_NAME": "again", "DVC_EXP_BASELINE_REV": "abc"},  # dvc exp run --force --name again
        {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"},
    ],
    ids=["git", "experiment", "checkout of somebody else"],
)
def test_changed_parameters_are_another_execution(
    repo: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    execute("prepare")
    change_parameters(repo, 7)
    execute("train")
    execute("evaluate")
    assert [parent.data.params["latent_dim"] for parent in parents(repo)] == ["5", "7"]


def test_missing_commit_is_said_once_with_its_remedy(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    execute("prepare")
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    execute("prepare")
    execute("train")
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: the record has no commit, as Git does not tell it (fatal: ")
    assert re.search(rf"git config --global --add safe.directory '?{re.escape(str(repo))}'?\)$", line)


def test_no_setting_of_git_changes_what_an_execution_is(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = (repo / "params.yaml").read_text()
    (repo / "params.yaml").write_text(params.replace("latent_dim: 5", "latent_dim: 7"))
    execute("prepare")
    settings = repo / "gitconfig"
    settings.write_text("[color]\nui = always\n[diff]\nnoprefix = true\ncontext = 1\nexternal = false\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    execute("train")
    assert len(parents(repo)) == 1
    settings.write_text('[diff "yaml"]\ntextconv = wc -l\n')
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/attributes").write_text("*.yaml diff=yaml\n")
    (repo / "params.yaml").write_text(params.replace("latent_dim: 5", "latent_dim: 8"))
    execute("evaluate")
    assert [parent.data.params["latent_dim"] for parent in parents(repo)] == ["7", "8"]


def test_queued_experiment_has_its_own_parent(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute("prepare")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    monkeypatch.setenv("DVC_EXP_NAME", "wide-o'hara")
    execute("train")
    execute("evaluate")
    _, experiment = parents(repo)
    assert experiment.info.run_name == "wide-o'hara"
    assert experiment.data.tags["vaebench.execution"].startswith("exp:abc:wide-o%27hara:")
    assert [run.data.tags.get("dvc.exp") for run in children(repo)] == [None, "wide-o'hara", "wide-o'hara"]
    assert [run.data.tags["mlflow.parentRunId"] for run in children(repo)][1:] == [experiment.info.run_id] * 2


def test_experiment_runs_in_a_clone_and_logs_to_the_main_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    (clone / ".dvc").mkdir(parents=True)
    shutil.copy(repo / "params.yaml", clone)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("DVC_ROOT", str(repo))
    execute("prepare")
    assert len(children(repo)) == 1
    assert not (clone / "mlflow.db").exists()


def test_relative_database_is_that_of_the_main_repository_for_an_experiment_in_a_clone(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "records").mkdir()
    (repo / "mlflow.db").rename(repo / "records/rel.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///records/rel.db")
    clone = tmp_path / "clone"
    (clone / ".dvc").mkdir(parents=True)
    shutil.copy(repo / "params.yaml", clone)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("DVC_ROOT", str(repo))
    with track("prepare", params={}) as run:
        run.log_artifact(Path("params.yaml"))
    assert sorted(path.name for path in clone.iterdir()) == [".dvc", "params.yaml"]
    assert len(list((repo / "mlartifacts").rglob("params.yaml"))) == 1
    (repo / "records/rel.db").rename(repo / "mlflow.db")
    assert len(children(repo)) == 1


def test_root_without_a_repository_is_ignored(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "stages").mkdir()
    shutil.copy("params.yaml", repo / "stages")
    monkeypatch.chdir(repo / "stages")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    execute("prepare")
    assert len(children(repo)) == 1


def test_works_without_git(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(repo / ".git")
    execute("prepare")
    monkeypatch.setenv("PATH", "")
    execute("train")
    [parent] = parents(repo)
    assert parent.info.run_name == "repro"
    assert "mlflow.source.git.commit" not in parent.data.tags


@pytest.mark.parametrize(
    ("error", "status"),
    [(StageError("no data"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (Terminated(15), "KILLED")],
)
def test_error_is_recorded_and_goes_on(repo: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), track("train", params={}):
        raise error
    assert statuses(read_runs(repo)) == [status, status]
    execute("other")
    assert statuses(parents(repo)) == [status]
    execute("train")
    assert statuses(parents(repo)) == ["FINISHED"]
    assert statuses(children(repo)) == [status, "FINISHED", "FINISHED"]


def test_parent_runs_while_any_stage_runs(repo: Path) -> None:
    with track("train_vae@2", params={}):
        with track("train_vae@3", params={}):
            pass
        assert statuses(parents(repo)) == ["RUNNING"]
    assert statuses(parents(repo)) == ["FINISHED"]
    with track("evaluate@2", params={}):
        assert statuses(parents(repo)) == ["RUNNING"]


def test_execution_runs_until_its_last_stage_ends_or_one_fails(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "running_dvc", psutil.Process)  # which lives
    for stage in ("train_vae@5", "evaluate@5", "aggregate"):
        execute(stage)
        assert statuses(parents(repo)) == ["RUNNING"]
    execute("render")
    assert statuses(parents(repo)) == ["FINISHED"]
    execute("train_vae@5")
    with pytest.raises(StageError), track("evaluate@5", params={}):
        raise StageError("no data")
    assert statuses(parents(repo)) == ["FINISHED", "FAILED"]


HERE = platform.node()
KILLED = f"{HERE} {os.getpid()} 1.00"  # the number of this process was another's before


def leave(repo: Path, stage: str, process: str | None = KILLED) -> "AbstractContextManager[StageRun]":
    """Start a stage; its run, and its execution if it is the first of it, are of that process."""
    before = {run.info.run_id for run in read_runs(repo)} if (repo / "mlflow.db.lock").exists() else set()
    record = track(stage, params={})
    record.__enter__()
    client = open_client(repo)
    for run_id in {run.info.run_id for run in read_runs(repo)} - before:
        if process:
            client.set_tag(run_id, PROCESS_TAG, process)
        else:
            client.delete_tag(run_id, PROCESS_TAG)
    return record  # to be kept: a generator that nobody holds is closed


def test_what_a_kill_left_running_is_marked_by_the_next_stage_of_any_execution(repo: Path) -> None:
    execute("prepare")
    left_over = leave(repo, "train")
    change_parameters(repo, 7)
    with track("prepare", params={}):
        assert statuses(children(repo)) == ["FINISHED", "KILLED", "RUNNING"]
        assert statuses(parents(repo)) == ["KILLED", "RUNNING"]
    assert statuses(parents(repo)) == ["KILLED", "FINISHED"]
    change_parameters(repo, 5)
    execute("train")  # in the execution that was killed
    assert statuses(parents(repo)) == ["FINISHED", "FINISHED"]
    del left_over


def test_what_runs_beside_a_stage_is_left_alone(repo: Path) -> None:
    alive = leave(repo, "train", process.identity())
    change_parameters(repo, 7)
    elsewhere = leave(repo, "train", f"not-{HERE} 1 1.00")
    change_parameters(repo, 9)
    unsent = leave(repo, "train")
    [run] = [each for each in children(repo) if each.data.tags[PROCESS_TAG] == KILLED]
    Outbox(repo, open_store(store_uri(repo), repo), run.info.run_id).close()  # its server went away
    change_parameters(repo, 11)
    execute("prepare")
    assert statuses(parents(repo)) == ["RUNNING", "RUNNING", "RUNNING", "FINISHED"]
    assert statuses(children(repo)) == ["RUNNING", "RUNNING", "RUNNING", "FINISHED"]
    del alive, elsewhere, unsent


def test_execution_that_was_killed_before_its_first_stage_is_marked(repo: Path) -> None:
    left_over = leave(repo, "prepare")
    [stage] = children(repo)
    open_client(repo).delete_run(stage.info.run_id)
    change_parameters(repo, 7)
    execute("prepare")
    assert statuses(parents(repo)) == ["KILLED", "FINISHED"]
    del left_over


def test_what_an_older_version_left_running_is_marked_by_the_same_stage(repo: Path) -> None:
    execute("prepare")
    left_over = leave(repo, "train", process=None)
    execute("other")
    assert statuses(children(repo)) == ["FINISHED", "RUNNING", "FINISHED"]
    with track("train", params={}):
        assert statuses(children(repo)) == ["FINISHED", "KILLED", "FINISHED", "RUNNING"]
    assert statuses(parents(repo)) == ["FINISHED"]
    del left_over


def test_stage_that_ends_after_its_dvc_runs_again_in_the_same_execution(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process, "orphaned", lambda: True)
        execute("train")
    assert statuses(children(repo)) == ["KILLED"]
    execute("train")
    assert statuses(parents(repo)) == ["FINISHED"]


@pytest.mark.slow
def test_four_processes_open_a_new_store_at_once(empty_repo: Path) -> None:
    code = "import sys; from vaebench.tracking.track import track\nwith track(sys.argv[1], params={}): pass"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"train_vae@{dim}"],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for dim in range(4)
    ]
    assert [process.communicate()[0] for process in processes] == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert [run.info.status for run in parents(empty_repo)] == ["FINISHED"]
    assert sorted(run.data.tags["dvc.stage"] for run in children(empty_repo)) == [
        f"train_vae@{dim}" for dim in range(4)
    ]
    client = open_client(empty_repo)
    assert sorted(found.name for found in client.search_experiments()) == ["Default", "vaebench"]
    assert client.search_runs(["0"]) == []
    assert sorted(path.name for path in empty_repo.iterdir() if path.name.startswith("ml")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_unreachable_server_stops_the_stage_before_it_starts(
    empty_repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(StageError) as caught, track("train", params={}):
        pytest.fail("the block must not start")
    message = str(caught.value)
    assert message.startswith(f"MLflow at http://127.0.0.1:{port} cannot be used (")
    assert message.endswith("; start the server, or unset MLFLOW_TRACKING_URI to log to the local store")
    assert "\n" not in message
    assert "Connection refused" in message
    assert "secret" not in message
    assert capfd.readouterr() == ("", "")


def test_local_store_that_cannot_be_opened_is_one_line(empty_repo: Path) -> None:
    (empty_repo / "mlflow.db.lock").mkdir()
    with pytest.raises(StageError, match=r"mlflow\.db cannot be used .*; make it and its folder writable$"):
        execute("train")


class Tracker(BaseHTTPRequestHandler):
    """As much of a tracking server as opening a run takes."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.partition("?")[0].rpartition("/2.0/mlflow/")[2]
        info = {"run_id": "0" * 32, "run_uuid": "0" * 32, "experiment_id": "1", "status": "RUNNING"}
        answers = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "vaebench"}},
            "runs/create": {"run": {"info": info, "data": {}}},
        }
        body = json.dumps(answers.get(name, {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serve() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tracker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_server_that_goes_away_costs_one_warning_and_not_the_stage(
    empty_repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serve() as server:
        uri = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        record = track("train", params={"epochs": 2})
        run = record.__enter__()
        run.log_metrics({"loss": 2.0}, step=1)
        assert capfd.readouterr() == ("", "")
    run.log_metrics({"loss": 1.0}, step=2)
    run.log_artifact(Path("params.yaml"))
    run.log_model(Path("params.yaml"), "vae", {})
    run.log_headline({"loss": 1.0})
    record.__exit__(None, None, None)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"warning: MLflow at {uri} failed (")
    assert err.endswith("; the rest of the record is kept: `make replay` sends it\n")
    assert err.count("\n") == 1


def test_full_disk_costs_two_warnings_and_not_the_stage(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "d5.json").write_text("scores" * 1000)
    with track("evaluate@5", params={}) as run:
        run.log_metrics({"loss": 1.0})
        with no_room(0):
            run.log_metrics({"loss": 2.0})
            run.log_artifact(repo / "d5.json")
    failed, lost = capsys.readouterr().err.splitlines()
    assert failed.startswith("warning: MLflow at sqlite:///")
    assert lost.startswith("warning: it cannot be kept (")
    assert "File too large" in lost


@pytest.mark.parametrize("content", [b"", b"no data set", b"\x02\0\0\0\0\0\0\0{}"])
def test_data_set_that_cannot_be_read_costs_a_warning(
    repo: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (repo / "data").mkdir()
    (repo / "data/dataset.safetensors").write_bytes(content)
    execute("render")
    [warning] = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: data/dataset.safetensors: is no data set (")
    assert statuses(children(repo)) == ["FINISHED"]
