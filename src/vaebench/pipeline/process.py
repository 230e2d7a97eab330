"""The process of a stage: how it is told to end, which dvc runs it, and whether that of a run still lives."""

import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psutil import Process

PROCESS_TAG = "vaebench.process"

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
WATCH_SECONDS = 1.0
# By how much two processes may differ in when a third one started: the clock may have been set meanwhile.
CLOCK_SECONDS = 5.0


class Terminated(BaseException):
    """This process is told to end. Like KeyboardInterrupt no Exception: it only cleans up on its way out."""

    def __init__(self, number: int) -> None:
        why = ", as the dvc that ran this stage is gone" if orphaned() else ""
        super().__init__(f"ended by {signal.Signals(number).name}{why}")
        self.exit_code = 128 + number


class _State:
    """What the handler of signals and the main thread, in which it runs, tell each other."""

    told: Terminated | None = None
    held = False


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP, and the end of the dvc that runs this stage, raise `Terminated` in the block.

    So files that are half written are removed, and runs end. A signal that is ignored, as under `nohup`,
    stays so; a second one does not cut the cleaning up short.
    """
    _State.told = None
    default = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in default:
        signal.signal(number, _end)
    over = threading.Event()
    if dvc := running_dvc():
        threading.Thread(target=_watch, args=(dvc, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for number in default:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off to its end what would end the block."""
    before, _State.held = _State.told, True
    try:
        yield
    finally:
        _State.held = False
        if _State.told is not before and _State.told:
            raise _State.told


@contextmanager
def outcome(close: Callable[[str], None]) -> Iterator[None]:
    """Call `close` with how the block ended, in MLflow's words.

    A stage that outlives its dvc is not finished: its outputs are in no dvc.lock, and it will run again.
    """
    status = "FAILED"
    try:
        yield
        status = "KILLED" if orphaned() else "FINISHED"
    except (KeyboardInterrupt, Terminated):
        status = "KILLED"
        raise
    finally:
        with uninterrupted():
            close(status)


@cache
def running_dvc() -> "Process | None":
    """Return the dvc that runs this process as a stage, maybe through a shell; there may be none."""
    if "DVC_STAGE" not in os.environ:
        return None
    import psutil

    with suppress(psutil.Error):
        for ancestor in psutil.Process().parents():
            if any(Path(word).name == "dvc" for word in ancestor.cmdline()[:4]):  # python -m dvc ...
                return ancestor
    return None


def orphaned() -> bool:
    """Return whether the dvc that ran this stage is gone."""
    dvc = running_dvc()
    return dvc is not None and not _lives(dvc)


def identity(process: "Process | None" = None) -> str:
    """Return a name of a process, by default this one, that no other has: its host, number and start."""
    import psutil

    process = process or psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def is_dead(name: str) -> bool:
    """Return whether the process of this `identity` was on this host and is no more."""
    import psutil

    host, number, started = name.rsplit(" ", 2)
    if host != platform.node():
        return False
    try:
        process = psutil.Process(int(number))
        return abs(process.create_time() - float(started)) > CLOCK_SECONDS or not _lives(process)
    except psutil.Error:  # it is gone, or it is another user's and hidden
        return not psutil.pid_exists(int(number))


def _lives(process: "Process") -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end(number: int, _frame: FrameType | None) -> None:
    if _State.told is None:
        _State.told = Terminated(number)
        if not _State.held:
            raise _State.told


def _watch(dvc: "Process", over: threading.Event) -> None:
    while not over.wait(WATCH_SECONDS):
        if not _lives(dvc):
            # To the main thread: it is that one's waiting which has to end.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            return
