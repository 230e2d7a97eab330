"""What every stage script shares: its command line, its one-line errors, its progress lines."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import NoReturn

import typer

from vaebench.pipeline.files import UnusableFileError
from vaebench.pipeline.origin import git
from vaebench.pipeline.paths import DATASET, REPORT, RESULT_FOLDERS, output, writer
from vaebench.pipeline.process import Terminated, terminable
from vaebench.pipeline.secrets import public

# What the disk of a file may lack, and what to do then.
_DISK_REMEDIES = {
    errno.ENOSPC: "; make room and run it again",
    errno.EDQUOT: "; make room, or have the quota raised, and run it again",
    errno.EFBIG: "; allow larger files (`ulimit -f`) and run it again",
    errno.EROFS: "; mount it writable and run it again",
    errno.EIO: "; check that disk and run it again",
}


class StageError(Exception):
    """Something the user can put right. The message is one line: what is wrong, where, and what to do."""


def run_stage(main: Callable[..., None]) -> NoReturn:
    """Run `main` as a command line; bad input ends in one line on stderr and exit code 2.

    SIGTERM, and the end of the dvc that runs this stage, end it in one line too, and in exit code 143.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

    @app.command()
    @wraps(main)
    def stage(**options: object) -> None:
        require_history()
        require_writable(RESULT_FOLDERS)
        main(**options)

    try:
        with terminable():
            sys.exit(app(standalone_mode=False) or 0)
    except Terminated as end:
        with suppress(OSError):  # the terminal may be gone
            say(f"error: {end}")
        sys.exit(end.exit_code)
    except StageError as error:
        _fail(str(error))
    except typer.TyperException as error:
        _fail(error.format_message())
    except UnusableFileError as error:
        _fail(f"{error}{_remedy(error.path)}")
    except OSError as error:
        remedy = _DISK_REMEDIES.get(error.errno or 0, "")
        if error.filename is None and not remedy:
            _crash()
        place = error.filename2 or error.filename
        _fail(f"{f'{place}: ' if place else ''}{error.strerror}{remedy}")
    except Exception:
        _crash()


def require(path: Path) -> Path:
    """Return `path` if the file exists.

    Raises:
        StageError: it does not; the message names the stage that writes it.
    """
    if not path.is_file():
        raise StageError(f"{path}: not found; `dvc repro {writer(path)}` writes it")
    return path


def require_result(path: Path) -> Path:
    """Return `path` if the file exists: a result that the remote may have.

    Raises:
        StageError: it does not; the message says how to get it, or which stage writes it.
    """
    if not path.is_file():
        raise StageError(f"{path}: not found; `dvc pull` fetches it, or `dvc repro {writer(path)}` writes it")
    return path


def require_writable(folders: Iterable[Path]) -> None:
    """Check, before any work, that results can be written.

    Raises:
        StageError: a folder cannot be made or written; the message names what is in the way.
    """
    for folder in folders:
        standing = next(path for path in (folder, *folder.parents) if path.exists())
        if not (standing.is_dir() and os.access(standing, os.W_OK)):
            raise StageError(f"{standing}: must be a folder that can be written; results go to {folder}")


def require_history() -> None:
    """Check, before any work, that DVC can keep the experiment that this is part of.

    `--temp` and the queue run it in a folder of its own, from which DVC brings nothing back to a shallow
    clone, without a word.

    Raises:
        StageError: the repository that the experiment was started in is such a clone.
    """
    root = os.environ.get("DVC_ROOT")
    if root is None or Path(root, ".dvc/tmp").resolve() not in Path.cwd().parents:
        return
    if git("-C", root, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise StageError(
            f"{root}: a shallow clone, where DVC loses an experiment of `--temp` or the queue;"
            " fetch the rest: git fetch --unshallow"
        )


def _remedy(path: Path) -> str:
    """Return how to get a result again that is not what its place promises, to be added to what is wrong."""
    stage = writer(path)
    anew = f"`dvc repro {stage}` makes it anew"
    if path == DATASET:
        return f"; {anew}"
    back = f"`git checkout -- {path}` brings back the committed one"
    if path == REPORT:
        return f"; {back}"
    if path.parts[:1] in (("models",), ("data",)):
        back = f"`dvc pull --force {output(path) or path}` brings back the recorded one"
    return f"; {back}, {anew}" if stage else ""


def say(message: str) -> None:
    """Print one line of progress, without a password."""
    # In one write, even where Python does not buffer: stages side by side share the stream.
    sys.stderr.write(f"{public(message)}\n")
    sys.stderr.flush()


def _fail(message: str) -> NoReturn:
    say(f"error: {' '.join(public(message).split())}")
    sys.exit(2)


def _crash() -> NoReturn:
    """End as Python does at an error that nobody foresaw; its text may hold an address with a password."""
    say(traceback.format_exc().rstrip())
    sys.exit(1)
