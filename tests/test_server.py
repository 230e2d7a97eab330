"""The same stages with a real MLflow server, which keeps the record and serves artifacts, and its death."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml

from projects import ENVIRONMENT, ROOT
from servers import SECONDS, Server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EPOCHS = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, folder / "server.db")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with scikit-learn's digits, which one stage has fetched."""
    root = tmp_path_factory.mktemp("project")
    (root / ".dvc").mkdir()
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["dataset"] = "digits"
    params["vae"]["fast"]["epochs"] = EPOCHS
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    succeed(root, server, str(ROOT / "stages/download.py"))
    return root


def start(root: Path, server: Server, *command: str) -> "subprocess.Popen[str]":
    variables = {
        "PYTHONPATH": str(ROOT / "src"),
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=root,
        env=ENVIRONMENT | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def succeed(root: Path, server: Server, *command: str) -> str:
    process = start(root, server, *command)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    return output


def open_client(server: Server) -> "MlflowClient":
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    return MlflowClient(server.uri)


def read_runs(server: Server) -> "dict[str, Run]":
    """The runs of the experiment by their stages; that of the execution is `repro`."""
    client = open_client(server)
    experiment = client.get_experiment_by_name("vaebench")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    found = {str(run.data.tags.get("dvc.stage", "repro")): run for run in runs}
    assert len(found) == len(runs)
    return found


def losses(root: Path, latent_dim: int) -> list[float]:
    return list(pd.read_csv(root / f"models/vae/d{latent_dim}-s0/curve.csv")["combined_loss"])


def assert_arrived(server: Server, root: Path, latent_dim: int) -> None:
    """All that a training has to say is in the store, once."""
    client = open_client(server)
    run = read_runs(server)[f"train_vae@{latent_dim}-0"]
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run_id, "combined_loss")
    assert [each.step for each in history] == list(range(1, EPOCHS + 1))
    assert [each.value for each in history] == losses(root, latent_dim)
    times = [each.timestamp for each in history]
    assert run.info.start_time <= times[0]
    assert times == sorted(times)
    assert times[-1] <= run.info.end_time
    assert run.data.params["epochs"] == str(EPOCHS)

    assert run.inputs is not None
    [used] = run.inputs.dataset_inputs
    assert used.dataset.name == "digits"
    assert run.outputs is not None
    [output] = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.status, model.source_run_id) == ("READY", run_id)

    weights = "weights.safetensors"
    assert [file.path for file in client.list_logged_model_artifacts(model.model_id)] == [weights]
    assert [file.path for file in client.list_artifacts(run_id)] == ["curve.csv", "epochs.png"]
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    for owner, written in ((model.model_id, weights), (run_id, "curve.csv")):
        [stored] = (server.folder / "artifacts").glob(f"**/{owner}/**/{written}")
        assert stored.read_bytes() == (root / f"models/vae/d{latent_dim}-s0" / written).read_bytes()


def test_stage_logs_to_the_server_that_one_variable_names(server: Server, project: Path) -> None:
    succeed(project, server, str(ROOT / "stages/train_vae.py"), "--latent-dim", "2", "--seed", "0")
    assert_arrived(server, project, 2)
    runs = read_runs(server)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    [parent] = (run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags)
    assert runs["train_vae@2-0"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert not list(project.glob("mlartifacts"))
    assert not list(project.glob("mlflow.db"))


def read_until(pattern: str, stream: IO[str]) -> str:
    """Return what comes up to and with the first line that has `pattern`."""
    lines = []
    for line in stream:
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    pytest.fail("".join(lines))


def test_training_survives_the_server_and_its_record_is_replayed(server: Server, project: Path) -> None:
    training = start(project, server, str(ROOT / "stages/train_vae.py"), "--latent-dim", "3", "--seed", "0")
    try:
        assert training.stdout is not None
        read_until("epoch 2", training.stdout)
        server.kill()
        rest, _ = training.communicate(timeout=SECONDS)
    finally:
        training.kill()
    assert training.returncode == 0, rest
    [warning] = [line for line in rest.splitlines() if line.startswith("warning: ")]
    assert warning.startswith(f"warning: MLflow at {server.uri} failed (")
    assert warning.endswith("; the rest of the record is kept: `make replay` sends it")
    assert "Traceback" not in rest
    assert len(losses(project, 3)) == EPOCHS
    ended = time.time() * 1000

    replay = ("-m", "vaebench.tracking.replay")
    process = start(project, server, *replay)
    refusal, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, refusal.count("\n")) == (2, 1), refusal
    assert refusal.startswith(f"error: MLflow at {server.uri} cannot be used (")
    assert refusal.endswith("; start the server and replay again: mlflow.unsent keeps what is left\n")

    server.start()
    run = read_runs(server)["train_vae@3-0"]
    assert run.info.status == "RUNNING"
    assert 0 < len(open_client(server).get_metric_history(run.info.run_id, "combined_loss")) < EPOCHS
    output = succeed(project, server, *replay)
    assert re.fullmatch(rf"replayed run {run.info.run_id}: \d+ records\n", output)
    assert_arrived(server, project, 3)
    runs = read_runs(server)
    [parent] = (each for each in runs.values() if "mlflow.parentRunId" not in each.data.tags)
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time == runs["train_vae@3-0"].info.end_time <= ended
    assert succeed(project, server, *replay) == "nothing to replay\n"
    assert not (project / "mlflow.unsent").exists()
