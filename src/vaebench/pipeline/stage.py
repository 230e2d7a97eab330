"""What every stage script shares: its command line, its one-line errors, its progress lines."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import typer


class StageError(Exception):
    """Something the user can put right. The message is one line: what is wrong, where, and what to do."""


def run_stage(main: Callable[..., None]) -> NoReturn:
    """Run `main` as a command line; bad input ends in one line on stderr and exit code 2."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except StageError as error:
        _fail(str(error))
    except typer.TyperException as error:
        _fail(error.format_message())
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename2 or error.filename}: {error.strerror}")


def require(path: Path, stage: str) -> Path:
    """Return `path` if the file exists.

    Raises:
        StageError: it does not; the message names the stage that writes it.
    """
    if not path.is_file():
        raise StageError(f"{path}: not found; `dvc repro {stage}` writes it")
    return path


def say(message: str) -> None:
    """Print one line of progress."""
    print(message, file=sys.stderr, flush=True)


def _fail(message: str) -> NoReturn:
    say(f"error: {' '.join(message.split())}")
    sys.exit(2)
