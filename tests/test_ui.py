"""`make ui` links to the experiment that is there, and starts MLflow's pages for this machine alone."""

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from test_tracking import KILLED, open_client, parents, statuses
from vaebench.pipeline.process import PROCESS_TAG
from vaebench.pipeline.stage import StageError, run_stage
from vaebench.tracking import track as tracking
from vaebench.tracking import ui
from vaebench.tracking.store import store_uri
from vaebench.tracking.track import track

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

Started = list[tuple[str, list[str]]]
OFFER = "The committed benchmark is not recorded here: `make record` adds it\n"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The programs that this process would have become."""
    programs: Started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: programs.append((program, arguments)))
    for variable in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"):
        monkeypatch.setenv(variable, "")
    return programs


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def links(address: str, number: str) -> str:
    runs = f"{address}/#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey="
    return f"The executions:      {runs}benchmark\nThe training curves: {runs}curves&compareRunsMode=CHART\n"


def test_links_have_the_number_that_the_experiment_has(
    repo: Path, started: Started, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    MlflowClient(store_uri(repo)).create_experiment("mine")  # number 1
    with track("prepare", params={}):
        pass
    capsys.readouterr()
    ui.main(port=port)
    assert capsys.readouterr().err == links(f"http://127.0.0.1:{port}", "2") + OFFER
    [(program, arguments)] = started
    assert (program, arguments[:4]) == (sys.executable, [sys.executable, "-m", "mlflow", "ui"])
    assert " ".join(arguments[4:]) == (
        f"--host 127.0.0.1 --port {port} --workers 1 "
        "--allowed-hosts localhost,localhost:*,127.0.0.1,127.0.0.1:* --app-name vaebench"
    )
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == store_uri(repo)
    assert os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


@pytest.mark.parametrize("name", ["REGISTRY_STORE_URI", "STATIC_PREFIX", "ARTIFACTS_ONLY", "UVICORN_OPTS"])
def test_server_is_set_up_by_nothing_that_is_set_for_another(
    repo: Path, started: Started, port: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"MLFLOW_{name}", "/theirs")
    ui.main(port=port)
    assert f"MLFLOW_{name}" not in os.environ
    assert len(started) == 1


@pytest.mark.parametrize("database", [True, False])
def test_says_when_nothing_is_recorded_yet(
    repo: Path, started: Started, port: int, capsys: pytest.CaptureFixture[str], *, database: bool
) -> None:
    if not database:
        (repo / "mlflow.db").unlink()
    ui.main(port=port)
    assert capsys.readouterr().err == (
        f"Nothing is recorded yet; what `dvc repro` runs will be at http://127.0.0.1:{port}\n{OFFER}"
    )
    assert len(started) == 1
    assert (repo / "mlflow.db").exists() == database


def test_benchmark_is_offered_until_one_is_finished(
    repo: Path,
    started: Started,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def offered() -> bool:
        capsys.readouterr()
        ui.main(port=port)
        return OFFER in capsys.readouterr().err

    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "demo")  # on other digits, maybe
        with track("aggregate", params={}):
            pass
    assert offered()
    with pytest.raises(StageError), track("aggregate", params={}):
        raise StageError("no data")
    assert offered()
    with track("aggregate", params={}):
        assert offered()  # it runs
    assert not offered()


def test_execution_whose_dvc_is_gone_is_ended_before_it_is_shown(
    repo: Path, started: Started, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"]) as dvc:
        monkeypatch.setattr(tracking, "running_dvc", lambda: psutil.Process(dvc.pid))
        with track("download", params={}):
            pass
        [parent] = parents(repo)
        open_client(repo).set_tag(parent.info.run_id, PROCESS_TAG, KILLED)  # of the stage, which has ended
        ui.main(port=port)
        assert statuses(parents(repo)) == ["RUNNING"]
        dvc.kill()
    ui.main(port=port)
    assert statuses(parents(repo)) == ["FINISHED"]


def test_port_that_is_in_use_is_told_before_anything_starts(repo: Path, started: Started) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = rf"^port {port} cannot be had \(.*\); name another: make ui PORT=5001$"
        with pytest.raises(StageError, match=message):
            ui.main(port=port)
    assert started == []


@pytest.mark.parametrize("port", ["five", "0", "70000", ""])
def test_port_that_is_no_number_is_one_line(
    repo: Path,
    started: Started,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ui", "--port", port])
    with pytest.raises(SystemExit) as stopped:
        run_stage(ui.main)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: Invalid value for '--port': ")
    assert started == []


class Tracker(BaseHTTPRequestHandler):
    """As much of a tracking server as the look-up takes; another project has the numbers before 7."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        info = {"run_id": "0" * 32, "run_uuid": "0" * 32, "experiment_id": "7", "status": "RUNNING"}
        answers = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "7", "name": "vaebench"}},
            "runs/search": {"runs": [{"info": info, "data": {}}]},
        }
        body = json.dumps(answers[self.path.partition("?")[0].rpartition("/2.0/mlflow/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_links_of_a_server_have_its_number_and_no_password_and_nothing_is_started(
    empty_repo: Path, started: Started, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Tracker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{server.server_port}/")
        try:
            ui.main(port=1)
        finally:
            server.shutdown()
            thread.join()
    assert capsys.readouterr().err == links(f"http://127.0.0.1:{server.server_port}", "7")
    assert started == []
