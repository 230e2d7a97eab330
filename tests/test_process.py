"""A stage is told to end, or left alone by its dvc: it cleans up and says so in one line."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from vaebench.pipeline import process
from vaebench.pipeline.process import (
    Terminated,
    identity,
    is_dead,
    outcome,
    running_dvc,
    terminable,
    uninterrupted,
)

SOURCES = Path(__file__).parents[1] / "src"
SECONDS = 60  # for what takes one on an idle machine

# A stage that works until it finds a file `go`.
STAGE = """
import time
from pathlib import Path
from vaebench.pipeline.files import whole_file
from vaebench.pipeline.stage import run_stage, say

def main() -> None:
    with whole_file(Path("scores.json")) as temporary:
        temporary.write_text("{}")
        say("working")
        while not Path("go").exists():
            time.sleep(0.01)
    say("done")

run_stage(main)
"""
# As much of dvc as running a stage takes.
DVC = """
import os, subprocess, sys
os.environ["DVC_STAGE"] = "train_vae@5"
subprocess.run(["/bin/sh", "-c", sys.argv[1]], check=False)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc").write_text(DVC)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> "Iterator[Callable[..., subprocess.Popen[bytes]]]":
    """Start a command whose messages, and those of what it starts, go to the file `log`."""
    started = []

    def start(*command: str) -> "subprocess.Popen[bytes]":
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment | {"PYTHONPATH": str(SOURCES)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        wait_for(lambda: "working" in said(folder))
        return process

    yield start
    for each in started:
        for left in (*children(each.pid), each.pid):
            if psutil.pid_exists(left):
                os.kill(left, signal.SIGKILL)
        each.wait()


def children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def said(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["SIGTERM", "SIGHUP"]
)
def test_stage_that_is_told_to_end_says_so_and_leaves_nothing(
    folder: Path, start: "Callable[..., subprocess.Popen[bytes]]", number: signal.Signals, code: int
) -> None:
    stage = start(sys.executable, "stage.py")
    stage.send_signal(number)
    assert stage.wait(SECONDS) == code
    assert said(folder) == ["working", f"error: ended by {number.name}"]
    assert files(folder) == ["dvc", "log", "stage.py"]


def test_stage_outlives_its_terminal_under_nohup(
    folder: Path, start: "Callable[..., subprocess.Popen[bytes]]"
) -> None:
    stage = start("nohup", sys.executable, "stage.py")
    stage.send_signal(signal.SIGHUP)
    (folder / "go").touch()
    assert stage.wait(SECONDS) == 0
    assert said(folder)[-1] == "done"


@pytest.mark.parametrize("command", ["exec {}", "{}; exit $?"], ids=["exec", "shell"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stage_ends_after_its_dvc(
    folder: Path, start: "Callable[..., subprocess.Popen[bytes]]", command: str, number: signal.Signals
) -> None:
    dvc = start(sys.executable, "dvc", command.format(f"{sys.executable} stage.py"))
    stages = children(dvc.pid)
    dvc.send_signal(number)
    wait_for(lambda: len(said(folder)) == 2)
    assert said(folder)[1] == "error: ended by SIGTERM, as the dvc that ran this stage is gone"
    wait_for(lambda: not any(psutil.pid_exists(pid) and lives(pid) for pid in stages))
    assert files(folder) == ["dvc", "log", "stage.py"]


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("command", ["{python} stage.py", "{python} dvc '{python} stage.py'"])
def test_stage_outlives_the_shell_that_it_was_started_from(
    folder: Path, start: "Callable[..., subprocess.Popen[bytes]]", command: str
) -> None:
    shell = start("/bin/sh", "-c", f"{command.format(python=sys.executable)} & wait")
    pids = children(shell.pid)
    shell.kill()
    shell.wait()
    time.sleep(2 * process.WATCH_SECONDS)
    assert said(folder) == ["working"]
    (folder / "go").touch()
    wait_for(lambda: len(said(folder)) == 2)
    assert said(folder)[1] == "done"
    wait_for(lambda: not any(psutil.pid_exists(pid) and lives(pid) for pid in pids))


# In this process.


@pytest.fixture(autouse=True)
def _no_dvc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    running_dvc.cache_clear()
    yield
    running_dvc.cache_clear()


def test_handlers_are_put_back() -> None:
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_second_signal_does_not_cut_the_cleaning_up_short() -> None:
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGHUP)
            cleaned.append(True)

    with pytest.raises(Terminated, match=r"^ended by SIGTERM$"), terminable():
        work()
    assert cleaned


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (ValueError("a bug"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_record_is_closed_before_the_process_ends(error: BaseException | None, status: str) -> None:
    closed = []

    def close(status: str) -> None:
        signal.raise_signal(signal.SIGTERM)
        closed.append(status)

    def work() -> None:
        with outcome(close):
            if error:
                raise error

    with pytest.raises(Terminated), terminable():
        work()
    assert closed == [status]


def test_end_is_not_put_off_after_the_block() -> None:
    def work() -> None:
        with uninterrupted():
            pass
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it goes on")

    with pytest.raises(Terminated), terminable():
        work()


def test_stage_that_ends_after_its_dvc_is_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(process, "orphaned", lambda: True)
    with outcome(closed.append):
        pass
    assert closed == ["KILLED"]


def test_processes_are_told_apart() -> None:
    host, number, started = identity().rsplit(" ", 2)
    assert not is_dead(identity())
    assert is_dead(f"{host} {number} {float(started) - 3600:.2f}")  # the number was given again
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
        assert is_dead(f"{host} {gone.pid} {started}")
        assert not is_dead(f"not-{platform.node()} {gone.pid} {started}")
