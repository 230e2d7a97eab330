"""A repository under any path, moved, copied and linked: the artifacts are where it is."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vaebench.pipeline.origin import repository_root
from vaebench.tracking.store import Store, open_store, store_uri
from vaebench.tracking.track import track

if TYPE_CHECKING:
    from mlflow.entities import Run

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ODD = "w 100% feature%2Fx?a=b#c 'q\" :d @e é\nf"


@pytest.fixture
def odd(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with what no URI takes as it is in its path, and one stage recorded."""
    root = move(repo, repo.with_name(ODD), monkeypatch)
    record("train_vae@2")
    return root


def move(root: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root.rename(to)
    monkeypatch.chdir(to)
    return to


def record(stage: str) -> None:
    Path("table.csv").write_text(stage)
    with track(stage, params={}) as run:
        run.log_artifact(Path("table.csv"), "tables")
        run.log_model(Path("table.csv"), "vae", {})


def open_here() -> Store:
    root = repository_root()
    return open_store(store_uri(root), root)


def contents() -> dict[str, tuple[str, str]]:
    """What a client reads of each stage: its artifact and its model."""
    store = open_here()
    runs = store.client.search_runs([store.experiment_id])
    return {run.data.tags["dvc.stage"]: read(store, run) for run in runs if "dvc.stage" in run.data.tags}


def read(store: Store, run: "Run") -> tuple[str, str]:
    from mlflow.artifacts import download_artifacts

    [folder] = store.client.list_artifacts(run.info.run_id)
    assert folder.path == "tables"
    artifact = store.client.download_artifacts(run.info.run_id, "tables/table.csv")
    assert run.outputs is not None
    [model] = run.outputs.model_outputs
    location = store.client.get_logged_model(model.model_id).artifact_location
    return Path(artifact).read_text(), Path(download_artifacts(f"{location}/table.csv")).read_text()


def paths_in(file: Path, text: str) -> list[tuple[str, str, str]]:
    """All cells of a database that hold a text."""
    found = []
    with closing(sqlite3.connect(file)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]:
                cells = connection.execute(f'SELECT "{column}" FROM "{table}"')
                found += [(table, column, cell) for (cell,) in cells if text in str(cell)]
    return found


def test_any_path_works_and_so_does_moving_away_from_it(
    odd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ("train_vae@2", "train_vae@2")
    assert contents() == {"train_vae@2": first}
    assert [path.name for path in odd.parent.iterdir()] == [odd.name]  # no folder by its quoted name
    capsys.readouterr()

    now = move(odd, odd.with_name("moved %25"), monkeypatch)
    assert contents() == {"train_vae@2": first}
    assert capsys.readouterr().err == (
        f"{now}/mlflow.db: this repository was at {odd}; the artifacts of its runs are looked for here now\n"
    )
    record("train_vae@3")
    assert contents() == {"train_vae@2": first, "train_vae@3": ("train_vae@3", "train_vae@3")}
    assert capsys.readouterr().err == ""
    assert not odd.exists()
    for old in (str(odd), odd.as_uri()):
        assert paths_in(now / "mlflow.db", old) == []
    assert paths_in(now / "mlflow.db", now.as_uri()) != []


def test_copy_has_its_own_artifacts_and_the_original_keeps_its_own(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = odd.with_name("copy")
    shutil.copytree(odd, copy)
    before = {path: path.read_bytes() for path in odd.rglob("*") if path.is_file()}
    monkeypatch.chdir(copy)
    record("train_vae@3")
    assert sorted(contents()) == ["train_vae@2", "train_vae@3"]
    assert {path: path.read_bytes() for path in odd.rglob("*") if path.is_file()} == before
    assert paths_in(copy / "mlflow.db", odd.as_uri()) == []


def test_repository_that_is_reached_by_a_link_is_where_it_was(
    odd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    link = odd.with_name("link")
    link.symlink_to(odd)
    monkeypatch.setenv("DVC_ROOT", str(link))
    before = paths_in(odd / "mlflow.db", "mlartifacts")
    assert repository_root() == link
    open_here()
    assert paths_in(odd / "mlflow.db", "mlartifacts") == before
    assert "looked for" not in capsys.readouterr().err


def test_artifacts_elsewhere_stay_there(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_here().client
    elsewhere = odd.with_name(f"{ODD} too").as_uri()
    mine = client.create_experiment("mine", elsewhere)
    move(odd, odd.with_name("moved"), monkeypatch)
    assert open_here().client.get_experiment(mine).artifact_location == elsewhere


def test_relative_database_moves_with_the_repository(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///records/runs.db")
    (repo / "records").mkdir()
    (repo / "mlflow.db").rename(repo / "records/runs.db")
    record("train_vae@2")
    move(repo, repo.with_name("moved"), monkeypatch)
    assert contents() == {"train_vae@2": ("train_vae@2", "train_vae@2")}
    assert not repo.exists()
    assert not Path("mlflow.db").exists()
