"""Records that could not be sent, kept in `mlflow.unsent/` of the repository until they are replayed.

A run has a folder, named by its id: `store.json` says where its records belong, and each record is a numbered
file, written whole or not at all, beside a copy of what it names. So whatever a kill leaves can be read.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from vaebench.pipeline.address import portable
from vaebench.pipeline.files import write_json, write_text
from vaebench.pipeline.records import Artifact, DatasetRead, End, Metrics, Model, Record
from vaebench.pipeline.store import Store, public

FOLDER = Path("mlflow.unsent")

_KINDS = {kind.__name__: kind for kind in (Metrics, DatasetRead, Artifact, Model, End)}


class Outbox:
    """Where the process of a run puts what it could not send."""

    def __init__(self, root: Path, store: Store, run_id: str) -> None:
        self._folder = root / FOLDER / run_id
        self._folder.mkdir(parents=True)
        self._lock = _lock(self._folder)
        self._lock.acquire()  # for as long as this process lives: there may be more to come
        self._count = 0
        uri = public(portable(store.uri, root))
        write_json(self._folder / "store.json", {"uri": uri, "experiment_id": store.experiment_id})

    def keep(self, record: Record) -> None:
        """Write a record, with a copy of the file or folder that it names."""
        self._count += 1
        name = f"{self._count:06}"
        if isinstance(record, Artifact | Model):
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
    uri: str  # without its password; a relative file is in the repository
    experiment_id: str
    lock: FileLock  # held by a process that still writes

    @property
    def run_id(self) -> str:
        """The run."""
        return self.folder.name

    def records(self) -> Iterator[Record]:
        """Yield the records in their order; each is deleted when the next one is asked for."""
        for file in sorted(self.folder.glob("[0-9]*.json")):
            yield _parse(json.loads(file.read_text(encoding="utf-8")), self.folder)
            file.unlink()

    def delete(self) -> None:
        """Remove the folder, and the one that it is in if that is empty then."""
        shutil.rmtree(self.folder)
        if not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()


def find_unsent(root: Path) -> list[Unsent]:
    """Return what runs have left in the repository `root`, the earliest first."""
    files = sorted((root / FOLDER).glob("*/store.json"), key=lambda file: file.stat().st_mtime)
    return [
        Unsent(file.parent, **json.loads(file.read_text(encoding="utf-8")), lock=_lock(file.parent))
        for file in files
    ]


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
