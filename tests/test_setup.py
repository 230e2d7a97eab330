"""`make setup`: when the environment is made, and when made anew. Python and uv are stood in for."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from projects import clone, run

# Makes an environment of itself, and notes what it is asked for.
STAND_IN = """\
#!/bin/sh
case "$1 $2" in
    "-c import torch"* | "-c import alembic"*) exit ;;
    "-c "*) exec "{python}" "$@" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/uv" ;;
    "$FAILING") exit 1 ;;
esac
echo "$1 $2" >> log
"""
NEW = ["-m venv", "-m pip", "pip sync", "pip install"]
AGAIN = NEW[1:]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    root = clone(template, tmp_path / "here")
    python = tmp_path / "python"
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    return root


def setup(root: Path, failing: str = "", code: int = 0, **variables: str) -> list[str]:
    """Set up, and return what was done for it."""
    (root / "log").write_text("")
    python = root.parent / "python"
    done = run(root, "make", "setup", f"PYTHON={python}", FAILING=failing, **variables)
    assert done.returncode == code
    return (root / "log").read_text().splitlines()


def change_lock(root: Path) -> None:
    """Make the environment older than the lock file."""
    os.utime(root / ".venv/ready", (0, 0))


def test_environment_is_made_once(root: Path) -> None:
    assert setup(root) == NEW
    assert setup(root) == []
    change_lock(root)
    assert setup(root) == AGAIN


@pytest.mark.parametrize("name", ["there", "a b", "100%", "it's", "#1"])
def test_environment_that_was_moved_is_made_anew(root: Path, name: str) -> None:
    setup(root)
    there = root.rename(root.parent / name)
    assert setup(there) == NEW
    assert setup(there) == []


def test_environment_that_was_copied_is_made_anew(root: Path) -> None:
    """Its scripts and its editable install would run the other checkout's code."""
    setup(root)
    there = shutil.copytree(root, root.parent / "there", symlinks=True)
    (there / ".venv/lib").mkdir()
    assert setup(there) == NEW
    assert not (there / ".venv/lib").exists()
    assert setup(root) == []


def test_environment_is_the_same_by_way_of_a_link(root: Path) -> None:
    setup(root)
    link = root.parent / "link"
    link.symlink_to(root)
    assert setup(link) == setup(root) == []


@pytest.mark.parametrize("step", AGAIN)
def test_environment_that_was_left_half_made_is_made_anew(root: Path, step: str) -> None:
    assert setup(root, failing=step, code=2) == NEW[: NEW.index(step)]
    assert setup(root) == NEW
    change_lock(root)
    assert setup(root, failing=step, code=2) == AGAIN[: AGAIN.index(step)]
    assert setup(root) == NEW


def test_environment_whose_python_is_gone_is_made_anew(root: Path) -> None:
    setup(root)
    (root / ".venv/bin/python").unlink()
    (root / ".venv/bin/python").symlink_to(root.parent / "gone")
    assert setup(root) == NEW


def test_python_without_its_venv_package_is_said(root: Path, tmp_path: Path) -> None:
    """Debian ships Python without what puts pip into an environment."""
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError(name='ensurepip')")
    python = tmp_path / "python"
    done = run(root, "make", "setup", f"PYTHON={python}", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    said, _ = done.stdout.splitlines()  # the other line is make's own
    assert said.startswith(f"error: {python} lacks its venv package; ")
    assert "apt install python3-venv" in said
    assert not (root / ".venv").exists()


def test_python_that_is_not_there_is_said(root: Path) -> None:
    done = run(root, "make", "setup", "PYTHON=no-such-python")
    assert done.returncode == 2
    said, _ = done.stdout.splitlines()
    assert said.startswith("error: no-such-python is no Python of 3.11 or newer; ")
