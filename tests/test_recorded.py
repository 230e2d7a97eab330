"""`make record`: the committed benchmark in MLflow, from the committed files alone."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from projects import BESIDE, DIMENSIONS, KEYS, ROOT, commit, git
from projects import recorded as recorded_result
from test_tracking import children, open_client, parents, statuses
from vaebench.pipeline.files import md5
from vaebench.pipeline.params import PANELS
from vaebench.pipeline.stage import StageError
from vaebench.tracking import recorded
from vaebench.tracking.records import Model, Record, send
from vaebench.tracking.store import Store
from vaebench.tracking.track import track

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def folder_md5(folder: Path) -> str:
    """As DVC has it: the test of the project holds that against DVC's own."""
    listed = [{"md5": md5(path), "relpath": path.name} for path in sorted(folder.iterdir())]
    return f"{hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest()}.dir"


def test_folder_is_known_by_the_hash_that_dvc_gave_it(tmp_path: Path) -> None:
    lock = YAML(typ="safe").load(ROOT / "dvc.lock")
    [known] = lock["stages"]["train_vae@5-0"]["outs"]
    names = ("curve.csv", "training.json", "weights.safetensors")
    for name in names:
        shutil.copy(recorded_result(f"models/vae/d5-s0/{name}"), tmp_path / name)
    assert recorded._is(tmp_path, known["md5"])
    (tmp_path / names[0]).write_text("other")
    assert not recorded._is(tmp_path, known["md5"])


CLASSIFIERS = {f"train_classifier@{panel}-{seed}" for panel in PANELS for seed in range(3)}
MODELS = len(DIMENSIONS) + len(BESIDE) + len(CLASSIFIERS)
STAGES = MODELS + 2 * len(DIMENSIONS) + 3  # reproductions and evaluations; the references and the last two


@pytest.fixture
def benchmark(repo: Path, made: Path) -> Path:
    """The committed benchmark of this repository in one of its own, with models that its lock names."""
    for name in ("metrics", "plots"):
        shutil.copytree(ROOT / name, repo / name)
    (repo / ".gitignore").write_text("/data/\n/models/\n/ml*\n")
    for name in ("models", "data"):
        shutil.copytree(made / name, repo / name)
    outs = [
        {"path": str(path.relative_to(repo)), "md5": folder_md5(path)} for path in repo.glob("models/*/*")
    ]
    with (repo / "dvc.lock").open("w") as lock:
        YAML().dump({"stages": {"train": {"outs": outs}}}, lock)
    commit(repo)
    return repo


def test_every_stage_is_there_with_what_it_found(benchmark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = git(benchmark, "rev-parse", "HEAD")
    recorded.main()
    short = f"the benchmark of commit {head[:7]}"
    made = capsys.readouterr().err
    [parent], stages = parents(benchmark), {run.data.tags["dvc.stage"]: run for run in children(benchmark)}
    of_models = {
        f"{kind}@{key.item}" for kind in ("train_vae", "reproduce_report", "evaluate") for key in KEYS
    }
    of_models |= {f"train_variant@{key.item}" for key in BESIDE}
    assert set(stages) == of_models | CLASSIFIERS | {"evaluate_references", "aggregate", "render"}
    assert made == f"recorded {short}: {len(stages)} stages; `make ui` shows them\n"
    assert set(statuses([parent, *stages.values()])) == {"FINISHED"}
    assert parent.info.run_name == "benchmark"
    for run in (parent, *stages.values()):
        assert run.data.tags["vaebench.record"] == run.data.tags["mlflow.source.git.commit"] == head
    assert parent.data.tags["mlflow.note.content"].startswith(
        f"The benchmark of commit {head}, recorded from"
    )
    assert parent.data.params["vae.fast.epochs"] == "10"
    model = json.loads((benchmark / "metrics/model.json").read_text())
    for name, value in parent.data.metrics.items():
        assert name.startswith("d") or model[name] == value

    client = open_client(benchmark)
    training = stages["train_vae@5-0"]
    assert training.info.run_name == "train_vae@5-0 · benchmark"
    curve = list(pd.read_csv(benchmark / "models/vae/d5-s0/curve.csv")["combined_loss"])
    history = client.get_metric_history(training.info.run_id, "combined_loss")
    assert [(each.step, each.value) for each in history] == list(enumerate(curve, start=1))
    held = {file.path for file in client.list_artifacts(training.info.run_id)}
    assert held == {"curve.csv", "samples-d5.png", "reconstructions-d5.png"}
    tables = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert tables == {"benchmark.csv", "benchmark.md", "trainings.csv", "findings.md"}

    by_fid = [{"field_name": "metrics.fid", "ascending": True}]
    models = client.search_logged_models([parent.info.experiment_id], order_by=by_fid)
    assert [model.name for model in models[: len(DIMENSIONS)]] == [
        f"vae-d{latent_dim}-s0" for latent_dim in (10, 30, 5, 4, 3, 2)
    ]
    assert len(models) == MODELS


def test_it_is_there_once_whatever_else_is_committed(
    benchmark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with track("download", params={}):  # as in a fresh clone
        pass
    recorded.main()
    before = len(children(benchmark))
    (benchmark / "README.md").write_text("More words.\n")
    commit(benchmark)
    recorded.main()
    assert capsys.readouterr().err.splitlines()[-1].endswith(" is recorded already")
    assert (len(parents(benchmark)), len(children(benchmark))) == (2, before)


def test_what_a_kill_left_is_recorded_anew(benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def interrupted(store: Store, record: Record) -> None:
        sent.append(record)
        if len(sent) > 40:
            raise KeyboardInterrupt
        send(store, record)

    with monkeypatch.context() as patch:
        patch.setattr(recorded, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recorded.main()
    assert any(isinstance(record, Model) for record in sent)
    assert statuses(parents(benchmark)) == ["KILLED"]
    recorded.main()
    [parent] = parents(benchmark)
    assert parent.info.status == "FINISHED"
    assert len(children(benchmark)) == STAGES
    models = open_client(benchmark).search_logged_models([parent.info.experiment_id])
    assert len(models) == MODELS


def test_models_that_are_not_pulled_or_not_of_the_commit_are_left_out(
    benchmark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in benchmark.glob("models/classifier/*/*.safetensors"):
        file.unlink()
    (benchmark / "models/vae/d5-s0/weights.safetensors").write_bytes(b"trained since")
    recorded.main()
    said = capsys.readouterr().err
    left_out = f"without {len(CLASSIFIERS) + 1} of {MODELS} models"
    assert f": {STAGES} stages, {left_out}, which `dvc pull --force` brings; `make ui` " in said
    [parent] = parents(benchmark)
    models = open_client(benchmark).search_logged_models([parent.info.experiment_id])
    kept = {f"vae-d{latent_dim}-s0" for latent_dim in (2, 3, 4, 10, 30)}
    assert {model.name for model in models} == kept | {f"vae-{key}" for key in BESIDE}
    assert parent.data.metrics["d5/fid"] > 0


@pytest.mark.parametrize("name", ["params.yaml", "metrics/benchmark.csv"])
def test_results_that_are_not_committed_are_not_recorded_as_those_of_a_commit(
    benchmark: Path, name: str
) -> None:
    with (benchmark / name).open("a") as file:
        file.write("\n")
    message = f"^{name}: not as committed; commit the results, or put them back, first$"
    with pytest.raises(StageError, match=message):
        recorded.main()
    assert not (benchmark / "mlflow.db.lock").exists()


def test_repository_without_results_is_one_line(repo: Path) -> None:
    with pytest.raises(
        StageError, match=r"^metrics/benchmark\.csv: not found; `dvc repro aggregate` writes it$"
    ):
        recorded.main()
