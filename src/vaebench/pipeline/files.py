"""Files that are written whole or not at all, and files that must be what their place promises."""

import csv
import fcntl
import glob
import hashlib
import json
import os
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

UNFINISHED = ".unfinished-"  # in the name of a file that is being written; Git and DVC ignore it


class UnusableFileError(ValueError):
    """A file that is not what its place promises. The message is one line: which file, and what is wrong.

    This module needs no package: it is imported where a registered model is loaded, too.
    """

    def __init__(self, path: Path | str, reason: object) -> None:
        super().__init__(f"{path}: {textwrap.shorten(str(reason), 400, placeholder=' ...')}")
        self.path = Path(path)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block ends without an error.

    What killed writers of the same file have left there is removed.

    Raises:
        OSError: it cannot be written; the error names `path`, wherever the system met it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(path)
        handle, temporary = _open_unfinished(path)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            os.close(handle)  # which gives the lock back
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno and (error.filename is None or UNFINISHED in f"{error.filename2 or error.filename}"):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _open_unfinished(path: Path) -> tuple[int, Path]:
    """Make a file to write, locked for as long as the handle is open: a kill, too, gives the lock back."""
    while True:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}{UNFINISHED}", suffix=path.suffix
        )
        with suppress(OSError):  # a file system without locks: left-overs stay there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another writer took it for a left-over before it was locked


def _remove_left_overs(path: Path) -> None:
    """Remove what was to become `path` and whose writer is gone: nobody holds its lock."""
    for left in path.parent.glob(glob.escape(f".{path.stem}{UNFINISHED}") + "*" + glob.escape(path.suffix)):
        with suppress(OSError), left.open("r+b") as file:  # of a living writer, or another's
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` as indented JSON; NaN and infinity are errors."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write `rows`, which all have the keys of the first, under a header."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def md5(path: Path) -> str:
    """Return the MD5 of a file as `dvc.lock` has it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def read_text(path: Path) -> str:
    """Return what `write_text` wrote.

    Raises:
        UnusableFileError: the file is not there, empty or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UnusableFileError(path, "not found") from error
    except UnicodeDecodeError as error:
        raise UnusableFileError(path, f"is no text ({error})") from error
    if not text.strip():
        raise UnusableFileError(path, "is empty")
    return text


def read_json(path: Path) -> dict[str, Any]:
    """Return what `write_json` wrote.

    Raises:
        UnusableFileError: the file is no such JSON.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    try:
        content = json.loads(read_text(path), parse_constant=refuse)
    except UnusableFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnusableFileError(path, f"is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UnusableFileError(path, "is not a JSON object")
    return content
