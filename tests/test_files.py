"""Files that are whole or not there: after an error, beside DVC's links, and what JSON and CSV hold."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vaebench.pipeline.files import whole_file, write_csv, write_json, write_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An output that an earlier run has written."""
    path = tmp_path / "metrics" / "d5.json"
    path.parent.mkdir()
    path.write_text("old")
    return path


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def assert_untouched(path: Path) -> None:
    """The old file is there as it was, and nothing beside it."""
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_file_is_there_after_the_block_alone(path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_temporary_file_can_take_the_place_of_the_other(path: Path) -> None:
    with whole_file(path) as temporary:
        assert temporary != path
        assert temporary.parent == path.parent  # a rename is atomic on one file system alone
        assert temporary.suffix == ".json"  # writers that look at it, as NumPy's, must not add another
        assert temporary.name.startswith(".")


def test_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "metrics" / "training" / "d5.csv", "new")
    assert (tmp_path / "metrics" / "training" / "d5.csv").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_error_leaves_the_old_file_alone(path: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert_untouched(path)


def test_error_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "d5.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_everybody_can_read_the_file(tmp_path: Path, umask: int) -> None:
    write_text(tmp_path / "d5.csv", "new")
    assert (tmp_path / "d5.csv").stat().st_mode & 0o777 == 0o644


def test_file_in_the_cache_of_dvc_keeps_its_content(path: Path) -> None:
    # With cache.type hardlink or symlink the workspace holds links to read-only files in the cache.
    for link in (os.link, os.symlink):
        cached = path.parent / "cached"
        cached.write_text("cached")
        cached.chmod(0o444)
        path.unlink()
        link(cached, path)
        write_text(path, "new")
        assert not path.is_symlink()
        assert (path.read_text(), cached.read_text()) == ("new", "cached")
        cached.unlink()


def test_two_writers_do_not_meet(path: Path) -> None:
    with whole_file(path) as one, whole_file(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to end
    assert list(path.parent.iterdir()) == [path]


def test_text_is_utf8_in_any_locale(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    write_text(path, "9.81 (9.79–9.83)\nσ²\n")
    assert path.read_bytes() == "9.81 (9.79–9.83)\nσ²\n".encode()


# JSON.


def test_json_round_trip(path: Path) -> None:
    content = {"z": 1, "loss": 0.1 + 0.2, "a": [[1, 2], [3, 4]], "device": "cpu"}
    write_json(path, content)
    text = path.read_text()
    assert json.loads(text) == content
    assert list(json.loads(text)) == list(content)  # in the writer's order
    assert text.startswith('{\n  "z": 1,\n')
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "nest", [lambda value: value, lambda value: [1.0, value], lambda value: {"a": value}]
)
def test_json_refuses_what_json_does_not_have(
    path: Path, value: float, nest: Callable[[float], object]
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"good": 1.0, "bad": nest(value)})
    assert_untouched(path)


def test_json_refuses_a_tensor(path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(path, {"loss": torch.zeros(1)})
    assert_untouched(path)


# CSV.


def test_csv_round_trip(path: Path) -> None:
    rows = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1e-17}, {"epoch": 3, "loss": 1 / 3}]
    write_csv(path, rows)
    assert path.read_bytes().startswith(b"epoch,loss\n1,")
    assert b"\r" not in path.read_bytes()
    with path.open(newline="") as file:
        read = [{"epoch": int(row["epoch"]), "loss": float(row["loss"])} for row in csv.DictReader(file)]
    assert read == rows  # to the last bit


def test_csv_refuses_a_row_with_another_key(path: Path) -> None:
    with pytest.raises(ValueError, match="test_loss"):
        write_csv(path, [{"epoch": 1}, {"epoch": 2, "test_loss": 3.0}])
    assert_untouched(path)
