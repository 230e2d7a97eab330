"""What a stage could not send is kept, and a replay brings it in once."""

import hashlib
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

from vaebench.data.dataset import Dataset, Images
from vaebench.pipeline.stage import StageError
from vaebench.tracking import records, replay
from vaebench.tracking import track as tracking
from vaebench.tracking.records import Record
from vaebench.tracking.store import Store, open_store, store_uri
from vaebench.tracking.track import track
from vaebench.tracking.unsent import Outbox, find_unsent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

IMAGES = Images(torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=torch.int64))
DATASET = Dataset("digits", "0123456789abcdef", IMAGES, IMAGES)
RECORDS = 11  # of `train`: all kinds of them


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
        run.log_scores(Path("weights.safetensors"), {"fid": 7.0})
        run.log_picture(Path("plots/grid.png"), Path("weights.safetensors"))
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
    for name in ("tables/curve.csv", "plots/grid.png", "grid.png"):
        [stored] = (root / "mlartifacts").glob(f"**/{run_id}/artifacts/{name}")
        assert stored.read_text() == ("plots/grid.png" if stored.suffix == ".png" else "curve.csv")
    [model] = client.search_logged_models([child.info.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("vae-d5", "READY", run_id)
    digest = hashlib.md5(b"weights.safetensors").hexdigest()
    assert model.params == {"latent_dim": "5", "weights_md5": digest}
    [score] = model.metrics or []
    assert (score.key, score.value, score.dataset_digest) == ("fid", 7.0, DATASET.digest)
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


def lose(root: Path, monkeypatch: pytest.MonkeyPatch, *stages: str) -> dict[str, str]:
    """Run stages whose records all wait: a loss, a file and the end. Return the ids of their runs."""
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "send", fail)
        for stage in stages:
            with track(stage, params={}) as run:
                run.log_metrics({"loss": 1.0}, step=1)
                run.log_artifact(Path("params.yaml"))
    client = open_client(root)
    experiment = client.get_experiment_by_name("vaebench")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found = {run.data.tags.get("dvc.stage", ""): str(run.info.run_id) for run in runs}
    return {stage: found[stage] for stage in stages}


def replay_in_vain() -> str:
    with pytest.raises(StageError) as caught:
        replay.main()
    return str(caught.value)


SET_ASIDE = (
    "{} records are refused and set aside in mlflow.unsent/refused, with the reasons; "
    "a folder that is moved back to mlflow.unsent is tried again"
)


def test_what_is_refused_is_set_aside_and_the_rest_is_sent(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = lose(repo, monkeypatch, "deleted", "damaged", "headless", "whole")
    capfd.readouterr()
    unsent = repo / "mlflow.unsent"
    client = open_client(repo)
    client.delete_run(ids["deleted"])
    (unsent / ids["damaged"] / "000001.json").write_text('{"kind": "Met')
    shutil.rmtree(unsent / ids["damaged"] / "000002")
    store = (unsent / ids["headless"] / "store.json").read_text()
    (unsent / ids["headless"] / "store.json").write_text("")
    assert replay_in_vain() == SET_ASIDE.format(7)  # all of the first but its file, two, and three

    said = capfd.readouterr().err.splitlines()
    assert f"replayed run {ids['whole']}: 3 records" in said
    assert f"replayed run {ids['damaged']}: 1 records" in said
    for stage, counts in {"deleted": [2], "damaged": [1, 1], "headless": [3]}.items():
        lines = [line for line in said if line.startswith(f"refused of run {ids[stage]}: ")]
        assert [int(line.split()[4]) for line in lines] == counts
    found = {name: client.get_run(run_id) for name, run_id in ids.items()}
    assert (found["whole"].info.status, found["whole"].data.metrics) == ("FINISHED", {"loss": 1.0})
    assert (found["damaged"].info.status, found["damaged"].data.metrics) == ("FINISHED", {})
    assert found["headless"].info.status == "RUNNING"
    assert [path.name for path in unsent.iterdir()] == ["refused"]
    reasons = (unsent / "refused" / ids["deleted"] / "reasons.txt").read_text()
    assert "000001.json: " in reasons
    assert "must be in the 'active' state" in reasons

    replay.main()  # which finds nothing
    assert capfd.readouterr().err == "nothing to replay\n"
    (unsent / "refused" / ids["headless"] / "store.json").write_text(store)
    client.restore_run(ids["deleted"])
    for stage in ("headless", "deleted"):
        (unsent / "refused" / ids[stage]).rename(unsent / ids[stage])
    replay.main()
    for stage in ("headless", "deleted"):
        run = client.get_run(ids[stage])
        assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 1.0})
    [parent] = client.search_runs([run.info.experiment_id], "tags.`mlflow.source.name` = 'dvc.yaml'")
    assert parent.info.status == "FINISHED"


def test_execution_of_a_deleted_stage_ends(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with track("first", params={}):
        pass
    [run_id] = lose(repo, monkeypatch, "last").values()
    client = open_client(repo)
    parent_id = client.get_run(run_id).data.tags["mlflow.parentRunId"]
    assert client.get_run(parent_id).info.status == "RUNNING"
    client.delete_run(run_id)
    replay_in_vain()
    assert client.get_run(parent_id).info.status == "FINISHED"


def test_store_that_fails_for_one_run_gets_the_records_of_the_others(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = lose(repo, monkeypatch, "first", "second")
    before = kept(repo)

    def send(store: Store, record: Record) -> None:
        if record.run_id == ids["first"]:
            raise ConnectionError("no answer")
        records.send(store, record)

    monkeypatch.setattr(replay, "send", send)
    assert replay_in_vain().startswith(f"MLflow at sqlite:///{repo}/mlflow.db cannot be used (no answer); ")
    left = {name: content for name, content in before.items() if ids["first"] in name}
    assert kept(repo) == left


def test_database_that_was_moved_away_is_not_made_anew(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(repo, monkeypatch, "train")
    before = kept(repo)
    (repo / "mlflow.db").rename(repo / "away.db")
    assert "there is no such database" in replay_in_vain()
    assert kept(repo) == before
    assert not (repo / "mlflow.db").exists()


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
    store = replace(open_store(store_uri(repo), repo), uri="http://me:s3@cret@127.0.0.1:5000")
    Outbox(repo, store, "a-run").close()
    [unsent] = find_unsent(repo)
    assert (unsent.run_id, unsent.store()[0]) == ("a-run", "http://127.0.0.1:5000")


def test_record_that_cannot_be_kept_does_not_stop_the_stage(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (repo / "mlflow.unsent").write_text("mine")
    train(monkeypatch, fail)
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith(" is kept: `make replay` sends it")
    assert second.startswith("warning: it cannot be kept (")
    assert second.endswith("; the stage goes on without its record")
