"""What MLFLOW_TRACKING_URI may say, and which file a store is in, whatever characters its path has."""

import re
from pathlib import Path

import pytest

from vaebench.pipeline.stage import StageError
from vaebench.tracking.address import artifact_location, checked, portable, sqlite_file, sqlite_uri
from vaebench.tracking.store import store_uri

ROOT = Path("/home/a b/feature%2Fx")
ODD = ("feature%2Fx", "100%", "a?b=c", "a#b", "a b", "a'b\"c", "u:p@h", "é漢", "a\nb", "[x]", "a&b", "a%zz")


@pytest.mark.parametrize("name", ODD)
def test_any_path_is_read_back_by_us_and_by_sqlalchemy(name: str) -> None:
    from sqlalchemy import make_url

    file = Path("/tmp") / name / "mlflow.db"
    uri = sqlite_uri(file)
    assert sqlite_file(uri) == file
    url = make_url(uri)
    assert (url.database, url.get_backend_name(), dict(url.query)) == (str(file), "sqlite", {})
    # What follows sqlite:/// is the path that MLflow makes a folder of.
    assert uri == f"sqlite:///{file}" or uri.startswith("sqlite+pysqlite:///")


def test_plain_paths_keep_the_plain_form() -> None:
    assert sqlite_uri(Path("/home/a b/mlflow.db")) == "sqlite:////home/a b/mlflow.db"


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("sqlite:///rel.db", ROOT / "rel.db"),
        ("sqlite:///folder/rel%20x.db", ROOT / "folder/rel x.db"),
        ("sqlite+pysqlite:///rel.db", ROOT / "rel.db"),
    ],
)
def test_relative_path_means_the_repository(setting: str, file: Path) -> None:
    uri = checked(setting, ROOT)
    assert sqlite_file(uri) == file
    assert checked(uri, Path("/elsewhere")) == uri
    moved = checked(portable(uri, ROOT), Path("/moved"))
    assert sqlite_file(moved) == Path("/moved") / file.relative_to(ROOT)


def test_options_of_a_relative_database_are_kept() -> None:
    assert checked("sqlite:///rel.db?timeout=9", Path("/r")) == "sqlite:////r/rel.db?timeout=9"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5000",
        "https://me:s3@cret@host/mlflow/",
        "postgresql://me:pw@host/runs",
        "mysql+pymysql://host/runs",
        "sqlite:////shared/runs.db",
        "sqlite:///file:/shared/runs.db?mode=ro&uri=true",
        "databricks",
        "plugin://x",  # MLflow says which ones it has
    ],
)
def test_everything_else_stays_as_it_is(uri: str) -> None:
    assert checked(uri, ROOT) == uri
    assert portable(uri, ROOT) == uri


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("http://[", "is no URI (Invalid IPv6 URL)"),
        ("http://host:port", "is no URI (Port could not be cast to integer value as 'port')"),
        ("http://", "names no server"),
        ("./mlruns", "names a folder"),
        ("mlruns", "names a folder"),
        ("file:///tmp/mlruns", "names a folder"),
        ("sqlite:///", "names no file"),
        ("sqlite://rel.db", "names no file"),
        ("sqlite:rel.db", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_what_is_no_store_is_told_in_one_line(
    setting: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", setting)
    with pytest.raises(
        StageError, match=rf"^MLFLOW_TRACKING_URI {re.escape(what)}.*; set .* or unset it to .*$"
    ):
        store_uri(ROOT)


def test_artifacts_of_a_database_go_into_the_repository_and_a_server_decides_itself() -> None:
    here = "file:///home/a%20b/feature%252Fx/mlartifacts"
    for database in ("sqlite:////elsewhere/x.db", "sqlite+pysqlite:////x.db", "postgresql+psycopg://h/runs"):
        assert artifact_location(database, ROOT) == here
    for server in ("http://host", "https://host", "databricks", "plugin://x"):
        assert artifact_location(server, ROOT) is None
