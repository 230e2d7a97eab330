"""The SQLite database of a local store, before MLflow opens it: what is wrong with it is said in one line.

MLflow would try for 102 s to open what it cannot, and would upgrade an older schema in place.
"""

import shlex
import sqlite3
import time
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from vaebench.pipeline.stage import StageError, say
from vaebench.tracking import locks
from vaebench.tracking.address import sqlite_uri
from vaebench.tracking.relocate import relocate

ATTEMPT_SECONDS = 3  # between which Ctrl-C is heard


def prepare(file: Path, root: Path, experiment: str) -> None:
    """Wait for the database until it can be written, check it, and find its artifacts if it was moved.

    Args:
        file: of the database; nothing is done where there is none.
        root: the repository. A database in it moves with it.
        experiment: whose artifacts say where the repository was.

    Raises:
        StageError: MLflow cannot use it.
    """
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=ATTEMPT_SECONDS, isolation_level=None)) as connection:
            _begin(connection, file)
            complete = _check_schema(connection, file)
            moved = (
                relocate(connection, file, root, experiment) if complete and root in file.parents else None
            )
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StageError(_unusable(file, error)) from error
    if moved:
        say(f"{file}: this repository was at {moved}; the artifacts of its runs are looked for here now")


class Found(NamedTuple):
    """An experiment, as far as the links to it take."""

    number: str
    stage: str  # active or deleted
    runs: int
    running: int
    finished: int  # of those that were asked for


def find_experiment(file: Path, name: str, tag: str, value: str, without: str) -> Found | None:
    """Return an experiment; its finished runs are asked for by a tag, and by another that they lack."""
    if not file.exists():
        return None
    query = (
        "SELECT e.experiment_id, e.lifecycle_stage, COUNT(r.run_uuid), "
        "COUNT(CASE WHEN r.status = 'RUNNING' THEN 1 END), "
        "COUNT(CASE WHEN r.status = 'FINISHED' AND t.value = ? AND o.key IS NULL THEN 1 END) "
        "FROM experiments e "
        "LEFT JOIN runs r ON r.experiment_id = e.experiment_id AND r.lifecycle_stage = 'active' "
        "LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = ? "
        "LEFT JOIN tags o ON o.run_uuid = r.run_uuid AND o.key = ? WHERE e.name = ? GROUP BY e.experiment_id"
    )
    try:
        with closing(sqlite3.connect(file)) as connection:
            found = connection.execute(query, (value, tag, without, name)).fetchone()
    except sqlite3.Error as error:
        if _name(error) == "SQLITE_ERROR":  # MLflow has made no tables in it yet
            return None
        raise StageError(_unusable(file, error)) from error
    return Found(str(found[0]), *found[1:]) if found else None


def _begin(connection: sqlite3.Connection, file: Path) -> None:
    """Begin a transaction that writes."""
    end = time.monotonic() + locks.LOCK_SECONDS
    said = False
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _name(error).startswith("SQLITE_BUSY"):
                raise
            if time.monotonic() > end:
                raise StageError(locks.gave_up(file)) from error
            if not said:
                said = True
                say(locks.waiting(file))
        else:
            return


def _check_schema(connection: sqlite3.Connection, file: Path) -> bool:
    """Return whether MLflow's tables are there as it wants them; it makes those that are not there yet."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "experiments" not in tables:
        raise StageError(f"{file} is another program's database; move it away to start one of runs")
    versions = connection.execute("SELECT * FROM alembic_version") if "alembic_version" in tables else []
    schema = next((name for (name,) in versions), None)
    if schema is None:  # it is empty, or its making was interrupted
        return False
    ours = f"MLflow {version('mlflow')}"
    spec = find_spec("mlflow")
    folder = Path((spec and spec.origin) or "").parent / "store/db_migrations/versions"
    if not any(folder.glob(f"{schema}_*.py")):
        raise StageError(
            f"{file} was made by a newer MLflow than {ours}; install that one, or name another database: "
            "MLFLOW_TRACKING_URI=sqlite:///runs.db"
        )
    if not any(f'down_revision = "{schema}"' in each.read_text() for each in folder.glob("*.py")):
        return True
    if connection.execute("SELECT 1 FROM runs").fetchone():
        copy = shlex.join(["cp", str(file), f"{file}.copy"])
        upgrade = shlex.join(["mlflow", "db", "upgrade", sqlite_uri(file)])
        raise StageError(
            f"{file} has an older schema than {ours}'s; copy and upgrade it: {copy} && {upgrade}"
        )
    return False


def _name(error: sqlite3.Error) -> str:
    """Return SQLite's name of an error."""
    return getattr(error, "sqlite_errorname", "")


def _unusable(file: Path, error: sqlite3.Error) -> str:
    return f"{file} cannot be used ({error}); {_remedy(error)}"


def _remedy(error: sqlite3.Error) -> str:
    if _name(error).startswith("SQLITE_BUSY"):
        return "let the process that holds it end, and start again"
    if _name(error).startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return "put a copy of it back, or move it away to start a new one"
    if _name(error).startswith("SQLITE_FULL"):
        return "make room on the disk"
    return "see that it is a file, and that it and its folder can be written"
