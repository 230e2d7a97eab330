"""A repository that was moved or copied: MLflow keeps absolute paths of artifacts, which follow it then."""

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

# Where MLflow keeps paths.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


def relocate(connection: sqlite3.Connection, file: Path, root: Path, experiment: str) -> Path | None:
    """Make paths in the folder that the repository was in paths in the one that it is in now.

    Args:
        connection: to the database, in a transaction that writes.
        file: of the database, in the repository.
        root: the repository.
        experiment: whose artifacts are in the repository.

    Returns:
        Where it was, if something was changed.
    """
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    [location] = connection.execute(query, (experiment,)).fetchone() or [""]
    before, _, folder = location.rpartition("/")
    if folder != "mlartifacts" or not before.startswith("file:") or before == root.as_uri():
        return None
    old = Path(url2pathname(urlsplit(before).path))
    if _same(old / file.relative_to(root), file):  # by another way, such as a link
        return None
    for table, column in COLUMNS:
        for prefix, new in ((f"{before}/", f"{root.as_uri()}/"), (f"{old}/", f"{root}/")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (new, len(prefix) + 1, len(prefix), prefix),
            )
    return old


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
