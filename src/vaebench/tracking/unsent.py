"""Records that could not be sent, kept in `mlflow.unsent/` of the repository until they are replayed.

A run has a folder, named by its id: `store.json` says where its records belong, and each record is a numbered
file, written whole or not at all, beside a copy of what it names. So whatever a kill leaves can be read.
What is refused for good goes to `refused/`, in a folder of the same form, with `reasons.txt`.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from vaebench.pipeline.files import write_json, write_text
from vaebench.pipeline.secrets import bare
from vaebench.tracking.address import portable
from vaebench.tracking.records import (
    WITH_FILES,
    Artifact,
    DatasetRead,
    End,
    Metrics,
    Model,
    Picture,
    Record,
    Scores,
)
from vaebench.tracking.store import Store

FOLDER = Path("mlflow.unsent")
REFUSED = FOLDER / "refused"

_KINDS = {kind.__name__: kind for kind in (Metrics, Scores, DatasetRead, Artifact, Picture, Model, End)}


class UnreadableError(Exception):
    """A record is damaged; the message says how."""


class Outbox:
    """Where the process of a run puts what it could not send."""

    def __init__(self, root: Path, store: Store, run_id: str) -> None:
        self._folder = root / FOLDER / run_id
        self._folder.mkdir(parents=True)
        self._lock = _lock(self._folder)
        self._lock.acquire()  # for as long as this process lives: there may be more to come
        self._count = 0
        uri = bare(portable(store.uri, root))
        write_json(self._folder / "store.json", {"uri": uri, "experiment_id": store.experiment_id})

    def keep(self, record: Record) -> None:
        """Write a record, with a copy of the file or folder that it names."""
        self._count += 1
        name = f"{self._count:06}"
        if isinstance(record, WITH_FILES):
            record = replace(record, path=_copy(record.path, self._folder / name).relative_to(self._folder))
        content = {"kind": type(record).__name__, **asdict(record)}
        write_text(self._folder / f"{name}.json", json.dumps(content, default=str))  # which takes NaN, too

    def close(self) -> None:
        """Leave the records to a replay."""
        self._lock.release()


@dataclass(frozen=True)
class Unsent:
    """What one run has left."""

    folder: Path
    lock: FileLock  # held by a process that still writes

    @property
    def run_id(self) -> str:
        """The run."""
        return self.folder.name

    def store(self) -> tuple[str, str]:
        """Return the URI, without its password, and the experiment that the records are meant for.

        Raises:
            UnreadableError: nothing says so.
        """
        with _readable("store.json"):
            content = json.loads((self.folder / "store.json").read_text(encoding="utf-8"))
            return str(content["uri"]), str(content["experiment_id"])

    def files(self) -> list[Path]:
        """Return the files of the records in their order."""
        return sorted(self.folder.glob("[0-9]*.json"))

    def read(self, file: Path) -> Record:
        """Return the record in one of them.

        Raises:
            UnreadableError: there is none, or what it names is gone.
        """
        with _readable(file.name):
            record = _parse(json.loads(file.read_text(encoding="utf-8")), self.folder)
            if isinstance(record, WITH_FILES):
                record.path.stat()
        return record

    def set_aside(self, file: Path, reason: str) -> None:
        """Move a record, with what it names, to where no replay looks for it."""
        aside = self._aside(f"{file.name}: {reason}")
        if (self.folder / "store.json").is_file():
            shutil.copyfile(self.folder / "store.json", aside / "store.json")
        for moved in (file.with_suffix(""), file):  # the record last: until then it can be set aside again
            if moved.exists():
                _move(moved, aside)

    def set_all_aside(self, reason: str) -> None:
        """Move everything there."""
        aside = self._aside(reason)
        for file in self.folder.iterdir():
            if file.name != "lock":
                _move(file, aside)
        self.delete()

    def delete(self) -> None:
        """Remove the folder, and the one that it is in if that is empty then."""
        shutil.rmtree(self.folder)
        if not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()

    def _aside(self, reason: str) -> Path:
        folder = self.folder.parent / REFUSED.name / self.run_id
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "reasons.txt").open("a", encoding="utf-8") as reasons:
            reasons.write(f"{reason}\n")
        return folder


def find_unsent(root: Path) -> list[Unsent]:
    """Return what runs have left in the repository `root`, the earliest first."""
    folders = (folder for folder in (root / FOLDER).glob("*/") if waits(root, folder.name))
    return [Unsent(folder, _lock(folder)) for folder in sorted(folders, key=_first_written)]


def waits(root: Path, run_id: str) -> bool:
    """Return whether records of a run wait in the repository `root`."""
    return any((root / FOLDER / run_id).glob("*.json"))


def _first_written(folder: Path) -> float:
    return min(file.stat().st_mtime for file in folder.glob("*.json"))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what a damaged file raises into one kind of error."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{name} cannot be read: {error!r}") from error


def _move(file: Path, folder: Path) -> None:
    target = folder / file.name
    if target.is_dir():
        shutil.rmtree(target)
    file.rename(target)


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock", timeout=0)


def _copy(source: Path, folder: Path) -> Path:
    """Copy a file or a folder into `folder`."""
    folder.mkdir()
    if source.is_dir():
        return Path(shutil.copytree(source, folder / source.name))
    return Path(shutil.copyfile(source, folder / source.name))


def _parse(content: dict[str, Any], folder: Path) -> Record:
    kind = _KINDS[content.pop("kind")]
    if "path" in content:
        content["path"] = folder / content["path"]
    return kind(**content)
