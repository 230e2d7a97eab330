"""Where a store is: what `MLFLOW_TRACKING_URI` may say, and which file and folder it means.

A relative path means the repository, not the folder that a process happens to run in.
"""

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from vaebench.pipeline.stage import StageError

SETTING = "MLFLOW_TRACKING_URI"
WANTED = (
    f"set {SETTING} to a server such as http://localhost:5000 or a database such as sqlite:///runs.db, "
    "or unset it to log to the local store"
)
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # that MLflow opens itself

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<file>[^?]+)(?P<query>\?.*)?", re.DOTALL)


def checked(setting: str, root: Path) -> str:
    """Return the URI in `MLFLOW_TRACKING_URI`, with a relative file made absolute.

    Args:
        setting: its value.
        root: the repository.

    Raises:
        StageError: it names no server and no database.
    """
    found = _SQLITE.fullmatch(setting)
    file = sqlite_file(setting)
    try:
        parts = urlsplit(setting)
        host = parts.hostname and parts.port != 0  # to read a port that is no number is an error
    except ValueError as error:
        raise StageError(f"{SETTING} is no URI ({error}); {WANTED}") from error
    if parts.scheme in ("", "file") and setting not in ("databricks", "uc"):
        raise StageError(f"{SETTING} names a folder, in which MLflow keeps no runs any more; {WANTED}")
    if parts.scheme in ("http", "https") and not host:
        raise StageError(f"{SETTING} names no server; {WANTED}")
    if (parts.scheme == "sqlite" and not found) or file == Path(":memory:"):
        raise StageError(f"{SETTING} names no file that runs can be kept in; {WANTED}")
    if found and file and not file.is_absolute():
        return sqlite_uri(root / file) + (found["query"] or "")
    return setting


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite database, and nothing of any other store."""
    found = _SQLITE.fullmatch(uri)
    return Path(unquote(found["file"])) if found and not found["file"].startswith("file:") else None


def sqlite_uri(file: Path) -> str:
    """Return the URI of a database in a file, whatever characters its path has.

    SQLAlchemy reads a path as quoted. MLflow makes the folder of what follows `sqlite:///` as if it were not:
    so what must be quoted goes by the long name of the same driver.
    """
    path = file.as_posix()
    return f"sqlite+pysqlite:///{quote(path)}" if re.search("[%?]", path) else f"sqlite:///{path}"


def portable(uri: str, root: Path) -> str:
    """Return the URI of a store as `checked` finds it again once the repository `root` was moved."""
    file = sqlite_file(uri)
    return sqlite_uri(file.relative_to(root)) if file and root in file.parents else uri


def is_database(uri: str) -> bool:
    """Return whether it is a database that MLflow opens itself, and no server of MLflow."""
    return urlsplit(uri).scheme.startswith(DATABASES)


def artifact_location(uri: str, root: Path) -> str | None:
    """Return where the artifacts of a store go; a server decides that itself.

    MLflow would put those of a database in the folder that a process runs in.
    """
    return (root / "mlartifacts").as_uri() if is_database(uri) else None
