"""What a stage could not send is kept, and a replay brings it in once."""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from vaebench.data import Dataset, Images
from vaebench.pipeline import records, replay, tracking
from vaebench.pipeline.records import Record
from vaebench.pipeline.stage import StageError
from vaebench.pipeline.store import Store, open_store, store_uri
from vaebench.pipeline.tracking import track
from vaebench.pipeline.unsent import Outbox, find_unsent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

IMAGES = Images(torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=torch.int64))
DATASET = Dataset("digits", "0123456789abcdef", IMAGES, IMAGES)
RECORDS = 9  # of `train`: all kinds of them


def fail(store: Store, record: Record) -> None:
    raise ConnectionError("no answer")


def fail_late(store: Store, record: Record) -> None:
    """As a request that times out, and is carried out."""
    records.send(store, record)
    raise ConnectionError("no answer in time")


def train(monkeypatch: pytest.MonkeyPatch, send: Callable[[Store, Record], None]) -> None:
    """A stage whose store fails after the first epoch. The files that it names are gone afterwards."""
    Path("plots").mkdir()
    for name in ("weights.safetensors", "curve.csv", "plots/grid.png"):
        Path(name).write_text(name)
    with track("train_vae@5", params={"epochs": 3}) as run:
        run.log_metrics({"loss": 3.0, "kl": 1.0}, step=1)
        monkeypatch.setattr(tracking, "send", send)
        run.log_metrics({"loss": 2.0, "kl": math.nan}, step=2)
        run.log_metrics({"loss": 2.0, "kl": 1.0}, step=3)
        run.log_dataset(DATASET)
        run.log_artifact(Path("curve.csv"), "tables")
        run.log_artifact(Path("plots"))
        run.log_model(Path("weights.safetensors"), "vae-d5", {"latent_dim": 5})
        run.log_headline({"d5/fid": 7.0})
    monkeypatch.setattr(tracking, "send", records.send)
    for name in ("weights.safetensors", "curve.csv"):
        Path(name).unlink()
    shutil.rmtree("plots")


def open_client(root: Path) -> "MlflowClient":
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def read_runs(root: Path) -> "tuple[Run, Run]":
    """The parent and its child."""
    client = open_client(root)
    experiment = client.get_experiment_by_name("vaebench")
    assert experiment is not None
    child, parent = sorted(
        client.search_runs([experiment.experiment_id]), key=lambda run: "dvc.stage" not in run.data.tags
    )
    return parent, child


def kept(root: Path) -> dict[str, bytes]:
    files = (path for path in (root / "mlflow.unsent").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def assert_complete(root: Path, closed: int) -> None:
    """Everything that `train` has logged is there once, and both runs ended before the time `closed`."""
    client = open_client(root)
    parent, child = read_runs(root)
    run_id = child.info.run_id
    histories = {name: client.get_metric_history(run_id, name) for name in ("loss", "kl")}
    values = {name: [(each.step, each.value) for each in history] for name, history in histories.items()}
    assert values["loss"] == [(1, 3.0), (2, 2.0), (3, 2.0)]
    assert [step for step, _ in values["kl"]] == [1, 2, 3]
    times = [each.timestamp for each in histories["loss"]]
    assert child.info.start_time <= times[0] <= times[1] <= times[2] <= closed
    for run in (parent, child):
        assert run.inputs is not None
        assert [used.dataset.digest for used in run.inputs.dataset_inputs] == [DATASET.digest]
    for name in ("tables/curve.csv", "plots/grid.png"):
        [stored] = (root / "mlartifacts").glob(f"**/{run_id}/artifacts/{name}")
        assert stored.read_text() == name.removeprefix("tables/")
    [model] = client.search_logged_models([child.info.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("vae-d5", "READY", run_id)
    assert model.params == {"latent_dim": "5"}
    assert child.outputs is not None
    assert [output.model_id for output in child.outputs.model_outputs] == [model.model_id]
    [weights] = (root / "mlartifacts").rglob("weights.safetensors")
    assert weights.read_text() == "weights.safetensors"
    assert [(each.step, each.value) for each in client.get_metric_history(parent.info.run_id, "d5/fid")] == [
        (0, 7.0)
    ]
    assert (child.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    assert times[2] <= child.info.end_time == parent.info.end_time <= closed
    assert kept(root) == {}
    assert not (root / "mlflow.unsent").exists()


def later() -> int:
    """Return the time in milliseconds, when it is over."""
    now = int(time.time() * 1000)
    while int(time.time() * 1000) <= now:
        pass
    return now


def test_what_was_kept_arrives_with_its_own_times(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(monkeypatch, fail)
    closed = later()
    assert capfd.readouterr().err == (
        f"warning: MLflow at sqlite:///{repo}/mlflow.db failed (no answer); "
        "the rest of the record is kept: `make replay` sends it\n"
    )
    assert [run.info.status for run in read_runs(repo)] == ["RUNNING", "RUNNING"]
    replay.main()
    run_id = read_runs(repo)[1].info.run_id
    assert capfd.readouterr().err == f"replayed run {run_id}: {RECORDS} records\n"
    assert_complete(repo, closed)
    replay.main()
    assert capfd.readouterr().err == "nothing to replay\n"
    assert_complete(repo, closed)


def test_replay_goes_on_where_it_broke_off(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, fail_late)
    closed = later()
    left = []
    for broken in range(RECORDS):
        # What the last replay has sent without an answer is sent again, and the next answer is lost.
        answers = iter([records.send, fail_late] if broken else [fail_late])
        monkeypatch.setattr(replay, "send", lambda *sent, answers=answers: next(answers)(*sent))
        with pytest.raises(StageError, match="no answer in time"):
            replay.main()
        left.append(len(list((repo / "mlflow.unsent").glob("*/0*.json"))))
    assert left == list(range(RECORDS, 0, -1))
    monkeypatch.setattr(replay, "send", records.send)
    replay.main()
    assert_complete(repo, closed)


def test_store_that_is_still_away_is_one_line_and_costs_nothing(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(monkeypatch, fail)
    before = kept(repo)
    monkeypatch.setattr(replay, "send", fail)
    with pytest.raises(StageError) as caught:
        replay.main()
    assert str(caught.value) == (
        f"MLflow at sqlite:///{repo}/mlflow.db cannot be used (no answer); "
        "start the server and replay again: mlflow.unsent keeps what is left"
    )
    assert kept(repo) == before


def test_stage_that_is_still_running_is_left_alone(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "send", fail)
    with track("train", params={}) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        before = kept(repo)
        capfd.readouterr()
        replay.main()
        assert capfd.readouterr().err.endswith(" is still going on: replay it when it has ended\n")
        assert kept(repo) == before
    replay.main()
    assert read_runs(repo)[1].data.metrics == {"loss": 1.0}


def test_what_a_kill_cut_short_is_left_out(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "send", fail)
    killed = track("train", params={})
    killed.__enter__().log_metrics({"loss": 1.0}, step=1)
    run_id = read_runs(repo)[1].info.run_id
    folder = repo / "mlflow.unsent" / run_id
    (folder / ".000002-temporary.json").write_text('{"kind": "Met')
    (folder / "000002").mkdir()
    (folder / "lock").unlink()  # as if its holder were gone
    replay.main()
    assert read_runs(repo)[1].data.metrics == {"loss": 1.0}
    assert not folder.exists()


def test_replay_goes_to_where_the_store_is_now(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, fail)
    closed = later()
    moved = repo / "moved.db"
    (repo / "mlflow.db").rename(moved)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved}")
    replay.main()
    moved.rename(repo / "mlflow.db")
    assert_complete(repo, closed)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:///{repo}/mlflow.db"])
def test_record_of_a_repository_that_was_moved_arrives_where_it_is_now(
    repo: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    train(monkeypatch, fail)
    closed = later()
    [place] = (repo / "mlflow.unsent").glob("*/store.json")
    content = json.loads(place.read_text())
    assert content["uri"] == "sqlite:///mlflow.db"
    place.write_text(
        json.dumps(content | {"uri": uri.format(repo=repo)})
    )  # absolute, it is of an older version
    moved = repo.with_name("moved to 100%")
    repo.rename(moved)
    monkeypatch.chdir(moved)
    replay.main()
    moved.rename(moved.with_name("plain"))
    assert_complete(repo.with_name("plain"), closed)
    assert not repo.exists()


def test_password_is_not_kept(repo: Path) -> None:
    store = replace(open_store(store_uri(repo), repo), uri="http://me:secret@127.0.0.1:5000")
    Outbox(repo, store, "a-run").close()
    [unsent] = find_unsent(repo)
    assert (unsent.run_id, unsent.uri) == ("a-run", "http://127.0.0.1:5000")


def test_record_that_cannot_be_kept_does_not_stop_the_stage(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (repo / "mlflow.unsent").write_text("mine")
    train(monkeypatch, fail)
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith(" is kept: `make replay` sends it")
    assert second.startswith("warning: it cannot be kept (")
    assert second.endswith("; the stage goes on without its record")
