"""Locks that processes of one repository wait for: with a word, and in the end with who holds them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vaebench.pipeline.stage import StageError, say

LOCK_SECONDS = 120
QUIET_SECONDS = 60  # before a word: a new database takes each of several stages many


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Hold a lock in the block.

    Raises:
        StageError: it could not be had in the lock's own time.
    """
    file = Path(lock.lock_file)
    try:
        lock.acquire(timeout=QUIET_SECONDS)
    except Timeout:
        say(waiting(file))
        try:
            lock.acquire(timeout=LOCK_SECONDS - QUIET_SECONDS)
        except Timeout as error:
            raise StageError(gave_up(file)) from error
    try:
        yield
    finally:
        lock.release()


def waiting(file: Path) -> str:
    """Return the word that is said."""
    return f"{file} is locked{_by(file)}; waiting for it"


def gave_up(file: Path) -> str:
    """Return what is wrong, and what to do."""
    return f"{file} stayed locked for {LOCK_SECONDS} s{_by(file)}; let that end, or end it, and start again"


def _by(file: Path) -> str:
    """Return the other processes that have the file open, as far as this user may see them."""
    import psutil

    path, found = str(file.resolve()), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and path in [each.path for each in process.open_files()]:
                found.append(f"{process.pid} ({process.name()})")  # its command line may hold a password
        except (psutil.Error, OSError):  # it has ended, or is another user's
            continue
    return f" (open in process {', '.join(found)})" if found else ""
