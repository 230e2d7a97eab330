"""Files that are whole or not there: after an error, a full disk or a kill; what JSON and CSV hold."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from disks import no_room
from projects import git
from vaebench.pipeline.files import (
    UnusableFileError,
    read_json,
    read_text,
    whole_file,
    write_csv,
    write_json,
    write_text,
)

ROOT = Path(__file__).resolve().parents[1]


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


# A full disk.


def save_weights(path: Path) -> None:
    from vaebench.models.vae import build_vae, save_vae

    vae = build_vae(2, seed=0)
    with whole_file(path) as temporary:
        save_vae(temporary, vae)


def save_dataset(path: Path) -> None:
    from vaebench.data.dataset import save_dataset

    arrays = {"train_images": torch.zeros(20, 28, 28, dtype=torch.uint8)}
    with whole_file(path) as temporary:
        save_dataset(temporary, "digits", arrays)


def save_pictures(path: Path) -> None:
    from pages import pictures
    from vaebench.evaluation.pictures import save_pictures

    with whole_file(path) as temporary:
        save_pictures(temporary, pictures(2))


def save_figure(path: Path) -> None:
    from matplotlib.figure import Figure

    from vaebench import figures

    figure = Figure()
    figure.text(0.5, 0.5, "a figure of more than 512 bytes")
    figures.save(figure, path)


def copy(path: Path) -> None:
    with whole_file(path) as temporary:
        shutil.copyfile(__file__, temporary)


WRITERS: list[Callable[[Path], None]] = [
    lambda path: write_text(path, "new" * 1000),
    lambda path: write_json(path, {"new": list(range(1000))}),
    lambda path: write_csv(path, [{"new": number} for number in range(1000)]),
    save_weights,
    save_dataset,
    save_pictures,
    save_figure,
    copy,
]


@pytest.mark.parametrize(
    "write", WRITERS, ids=["text", "json", "csv", "weights", "data set", "pictures", "figure", "copy"]
)
def test_full_disk_names_the_file_and_leaves_the_old_one(
    path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parents[1])
    relative = path.relative_to(path.parents[1])
    write(Path("elsewhere") / path.name)  # what is imported is there, and it can write
    with no_room(), pytest.raises(OSError, match="File too large") as caught:
        write(relative)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, "metrics/d5.json")
    assert_untouched(path)


def test_folder_that_cannot_be_written_is_named_by_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> tuple[int, str]:
        raise OSError(errno.EROFS, "Read-only file system", f"{path.parent}/.d5.unfinished-x.json")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(OSError, match="Read-only") as caught:
        write_text(path, "new")
    assert caught.value.filename == str(path)


def test_error_of_another_file_keeps_its_name(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, whole_file(path) as temporary:
        shutil.copyfile(path.parent / "missing", temporary)
    assert caught.value.filename == str(path.parent / "missing")


# A kill in the middle.

KILLED = """
import os, signal, sys
from pathlib import Path
from vaebench.pipeline.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(path: Path) -> Path:
    """Kill a process that writes `path`, and return what it leaves."""
    before = set(path.parent.iterdir())
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = set(path.parent.iterdir()) - before
    return left


def test_what_a_kill_leaves_is_removed_by_the_next_write(path: Path) -> None:
    left = kill_a_writer(path)
    assert left.read_text() == "half"
    other = kill_a_writer(path.with_name("d50.json"))
    write_text(path, "new")
    assert path.read_text() == "new"
    assert sorted(path.parent.iterdir()) == sorted([path, other])


def test_what_another_still_writes_is_not_removed(path: Path) -> None:
    with whole_file(path) as temporary:
        write_text(path, "other")
        assert temporary.exists()
        temporary.write_text("one")
    assert path.read_text() == "one"


def test_writer_whose_file_was_taken_for_a_left_over_makes_another(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    lock = fcntl.flock

    def meddle(handle: int, operation: int) -> None:  # between the making of the file and its lock
        monkeypatch.setattr(fcntl, "flock", lock)
        [unlocked] = path.parent.glob(".d5.*")
        unlocked.unlink()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", meddle)
    write_text(path, "new")
    assert path.read_text() == "new"


def test_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with whole_file(path) as temporary:
        write_text(path, "other")
        assert temporary.exists()
        temporary.write_text("one")
    assert path.read_text() == "one"


def test_what_a_kill_leaves_is_ignored_by_git_and_dvc(tmp_path: Path) -> None:
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    git(tmp_path, "init", "--quiet")
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = DvcIgnoreFilter(localfs, str(tmp_path))
    for result in (
        "metrics/findings.md",
        "metrics/training/d5.csv",
        "plots/benchmark/losses.png",
        "report.html",
    ):
        (tmp_path / result).parent.mkdir(parents=True, exist_ok=True)
        left = kill_a_writer(tmp_path / result)
        assert ignored.is_ignored_file(str(left))
        assert not ignored.is_ignored_file(str(tmp_path / result))
    seen = git(tmp_path, "status", "--porcelain", "--untracked-files=all")
    assert seen.split() == ["??", ".dvcignore", "??", ".gitignore"]


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


# What is read back.


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"loss": 1', r"is not valid JSON \(.*\)"),
        (b'{"loss": NaN}', r"is not valid JSON \(NaN is no number\)"),
        (b'{"loss": -Infinity}', r"is not valid JSON \(-Infinity is no number\)"),
        (b"[" * 100_000, r"is not valid JSON \(.*\)"),
        (b"[1, 2]", "is not a JSON object"),
        (b"\x80\x04K\x01.", r"is no text \(.*\)"),
    ],
)
def test_other_than_a_json_object_is_one_line(path: Path, content: bytes, problem: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UnusableFileError, match=rf"^{path}: {problem}$") as caught:
        read_json(path)
    assert caught.value.path == path


def test_json_and_text_come_back(path: Path) -> None:
    write_json(path, {"loss": 0.1 + 0.2})
    assert read_json(path) == {"loss": 0.1 + 0.2}
    assert read_text(path) == path.read_text()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match=r"d5\.json: not found$"):
        read_json(tmp_path / "d5.json")
