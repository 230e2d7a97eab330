"""A local database that MLflow cannot use: each with its own remedy, nothing good is given up."""

import errno
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest
from filelock import Timeout

from vaebench.pipeline.stage import StageError
from vaebench.tracking import database, locks
from vaebench.tracking.store import open_store, store_lock, store_uri, usable
from vaebench.tracking.track import track

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

# Holds a lock until its standard input ends.
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(file: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert read(holder.stdout) == "held\n"
        yield holder


def read(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def execute(file: Path, statement: str) -> None:
    """Change the database, which is made if it is not there."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def recorded(repo: Path) -> Path:
    """A repository whose store has a run."""
    with track("prepare", params={}):
        pass
    return repo


def refusal(root: Path) -> str:
    with pytest.raises(StageError) as caught, track("train", params={}):
        pytest.fail("the block must not start")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.slow
def test_locked_database_is_waited_for_with_a_word(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(database, "ATTEMPT_SECONDS", 0)
    said = []
    with locked(repo / "mlflow.db") as holder:

        def say(message: str) -> None:
            said.append(message)
            assert holder.stdin is not None
            holder.stdin.close()

        monkeypatch.setattr(database, "say", say)
        open_store(store_uri(repo), repo)
    [line] = said
    assert line.startswith(f"{repo}/mlflow.db is locked (open in process {holder.pid} (python")
    assert line.endswith("); waiting for it")


def test_database_that_stays_locked_says_who_holds_it(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ATTEMPT_SECONDS", 0)
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0)
    with locked(repo / "mlflow.db") as holder:
        message = refusal(repo)
        assert holder.stdin is not None
        holder.stdin.close()
    assert message.startswith(f"{repo}/mlflow.db stayed locked for 0 s (open in process {holder.pid} (python")
    assert message.endswith("); let that end, or end it, and start again")


def test_lock_of_the_repository_that_is_never_released_is_told(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0)
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0)
    with store_lock(repo):
        assert refusal(repo).startswith(f"{repo}/mlflow.db.lock stayed locked for 0 s")


def test_database_that_is_locked_while_it_is_shown_is_not_taken_for_an_empty_one(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recorded / "mlflow.db"
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **_: connect(file, timeout=0))
    with closing(connect(file)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            StageError, match=r"\(database is locked\); let the process that holds it end, and"
        ):
            database.find_experiment(file, "vaebench", "", "", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Timeout("/a/mlflow.db.lock"), r"/a/mlflow\.db\.lock stayed locked for 120 s; let that end, .*"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/model"), r".*; make room on the disk"),
        (sqlite3.OperationalError("database or disk is full"), r".*; make room on the disk"),
    ],
)
@pytest.mark.parametrize("uri", ["sqlite:////a/mlflow.db", "http://127.0.0.1:1"])
def test_what_befalls_an_open_store_has_its_own_remedy(uri: str, error: Exception, message: str) -> None:
    from sqlalchemy.exc import OperationalError

    raised = OperationalError("INSERT", {}, error) if isinstance(error, sqlite3.Error) else error
    with pytest.raises(StageError) as caught, usable(uri):
        raise raised
    assert re.fullmatch(message, str(caught.value))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda file: file.write_bytes(b"no database at all" * 100),
            r"cannot be used \(file is not a database\); put a copy of it back, or move it away to "
            "start a new one",
        ),
        (
            lambda file: (file.unlink(), file.mkdir()),
            r"cannot be used \(unable to open database file\); see that it is a file, and that it and its "
            "folder can be written",
        ),
        (
            lambda file: execute(
                file.rename(f"{file}.old").with_name(file.name), "CREATE TABLE notes (text)"
            ),
            "is another program's database; move it away to start one of runs",
        ),
    ],
)
def test_what_is_no_store_is_told_at_once(repo: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(repo / "mlflow.db")
    assert re.fullmatch(rf"{re.escape(str(repo))}/mlflow\.db {message}", refusal(repo))


def test_older_schema_is_upgraded_after_a_copy_and_never_behind_ones_back(recorded: Path) -> None:
    file = recorded / "mlflow.db"
    with closing(sqlite3.connect(file)) as connection:
        [head] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    [earlier] = re.findall(r'down_revision = "(\w+)"', migration(head))
    execute(file, f"UPDATE alembic_version SET version_num = '{earlier}'")
    before = file.read_bytes()
    message = refusal(recorded)
    assert message.startswith(f"{file} has an older schema than MLflow 3.")
    assert message.endswith(
        f"; copy and upgrade it: cp '{file}' '{file}.copy' && mlflow db upgrade 'sqlite:///{file}'"
    )
    assert file.read_bytes() == before


def migration(revision: str) -> str:
    import mlflow

    [script] = Path(mlflow.__file__).parent.glob(f"store/db_migrations/versions/{revision}_*.py")
    return script.read_text()


def test_newer_schema_is_for_a_newer_mlflow(recorded: Path) -> None:
    file = recorded / "mlflow.db"
    execute(file, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    assert re.fullmatch(
        rf"{re.escape(str(file))} was made by a newer MLflow than MLflow 3\.[\d.]+; install that one, or "
        r"name another database: MLFLOW_TRACKING_URI=sqlite:///runs\.db",
        refusal(recorded),
    )


def test_deleted_experiment_comes_back_by_the_command_that_is_told(recorded: Path) -> None:
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    client = MlflowClient(store_uri(recorded))
    experiment = client.get_experiment_by_name("vaebench")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    command = (
        f"env 'MLFLOW_TRACKING_URI=sqlite:///{recorded}/mlflow.db' mlflow experiments restore "
        f"--experiment-id {experiment.experiment_id}"
    )
    assert refusal(recorded) == (
        f"the experiment vaebench of MLflow at sqlite:///{recorded}/mlflow.db was deleted; "
        f"this brings it back: {command}"
    )


def test_database_that_was_interrupted_in_its_making_goes_on(empty_repo: Path) -> None:
    file = empty_repo / "mlflow.db"
    execute(file, "CREATE TABLE experiments (name)")
    database.prepare(file, empty_repo, "vaebench")
    shutil.copy(file, empty_repo / "copy.db")
    file.write_bytes(b"")
    database.prepare(file, empty_repo, "vaebench")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("plugin://x", r"got unsupported URI 'plugin://x'.*; set MLFLOW_TRACKING_URI to a server such as .*"),
        ("postgresql+nothing://host/runs", r".*; set MLFLOW_TRACKING_URI to a server such as .*"),
        (
            "mssql+pymssql://me:pw@host/runs",
            r"No module named 'pymssql'.*; install the driver of that database, pymssql, or set MLFLOW_.*",
        ),
    ],
)
def test_store_that_mlflow_cannot_open_is_one_line(
    repo: Path, monkeypatch: pytest.MonkeyPatch, uri: str, message: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert re.search(message, refusal(repo))
