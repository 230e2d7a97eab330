"""What Git makes of the repository elsewhere: other line ends, a cut history, a hook's variables."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects import FOREIGN, NO_SETTINGS, ROOT, clone, commit, git, run
from vaebench.demo import copy_project
from vaebench.pipeline.stage import StageError, require_history
from vaebench.tracking.store import ENVIRONMENT

# A stage that is run by DVC.
STAGE = """
from pathlib import Path
from vaebench.pipeline.stage import run_stage

def main() -> None:
    Path("out").write_text(Path("params.yaml").read_text())

run_stage(main)
"""
PIPELINE = f"""
stages:
  stage:
    cmd: env PYTHONPATH={ROOT / "src"} python stage.py
    params: [seed]
    outs:
      - out:
          cache: false
"""
CURE = "git fetch --unshallow"


def shallow(source: Path, target: Path) -> Path:
    """Clone a repository as it stands, without its history."""
    for name in ("first", "second"):
        (source / name).touch()
        commit(source)
    git(source, "clone", "--quiet", "--depth", "1", source.as_uri(), str(target))
    return target


# Line ends.


def test_text_has_the_same_bytes_whatever_git_is_set_to(template: Path, tmp_path: Path) -> None:
    """DVC reads the bytes: with others every stage counts as changed, and no shell runs a script."""
    root = tmp_path / "converted"
    git(template, "-c", "core.autocrlf=true", "clone", "--quiet", str(template), str(root))
    for name in git(template, "ls-files", "-z").rstrip("\0").split("\0"):
        assert (root / name).read_bytes() == (template / name).read_bytes(), name


def test_stored_arrays_are_never_converted(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "stored")
    stored = root / ".dvc-remote/files/md5/00/0"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"as\r\ntext\r\n")
    commit(root)
    assert git(root, "cat-file", "-s", "HEAD:.dvc-remote/files/md5/00/0") == "10"


# A cut history.


def test_demo_needs_no_history(template: Path, tmp_path: Path) -> None:
    root = shallow(clone(template, tmp_path / "whole"), tmp_path / "shallow")
    copy_project(root, root / "demo")
    assert git(root / "demo", "rev-parse", "HEAD") == git(root, "rev-parse", "HEAD")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A repository with a history, whose one stage DVC can run."""
    root = tmp_path / "whole"
    root.mkdir()
    for name, text in {"stage.py": STAGE, "dvc.yaml": PIPELINE, "params.yaml": "seed: 0\n"}.items():
        (root / name).write_text(text)
    shutil.copytree(
        ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local")
    )
    git(root, "init", "--quiet")
    return root


def test_experiment_that_would_be_lost_stops_before_its_work(whole: Path, tmp_path: Path) -> None:
    root = shallow(whole, tmp_path / "shallow")
    done = run(root, "dvc", "exp", "run", "--temp", "-S", "seed=1")
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if line.startswith("error: ")] == [
        f"error: {root}: a shallow clone, where DVC loses an experiment of `--temp` or the queue; "
        f"fetch the rest: {CURE}"
    ]


def test_only_experiments_outside_the_working_tree_need_the_history(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shallow(whole, tmp_path / "shallow")
    for repository, folder, lost in [
        (root, "", False),
        (root, "demo", False),
        (root, ".dvc/tmp/exps/copy", True),
        (whole, ".dvc/tmp/exps/copy", False),
    ]:
        (repository / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(repository / folder)
        monkeypatch.delenv("DVC_ROOT", raising=False)
        require_history()  # not started by DVC
        monkeypatch.setenv("DVC_ROOT", str(repository))
        if lost:
            with pytest.raises(StageError, match=CURE):
                require_history()
        else:
            require_history()


# What a hook sets.


def test_nothing_that_is_set_outside_is_seen(tmp_path: Path) -> None:
    """The next test sets it. What opens a store in this process sets some of its own."""
    seen = {name: os.environ[name] for name in os.environ if name.startswith(FOREIGN)}
    own = {*ENVIRONMENT, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"}
    assert {name: value for name, value in seen.items() if name not in own} == NO_SETTINGS
    for arguments in ("init --quiet", "-c user.name=n -c user.email=e commit --quiet --allow-empty -m here"):
        subprocess.run(["git", *arguments.split()], cwd=tmp_path, check=True)
    assert git(tmp_path, "log", "--format=%s") == "here"


def test_tests_that_a_hook_starts_leave_its_repository_alone(tmp_path: Path) -> None:
    """Git tells a hook the repository by GIT_DIR and GIT_INDEX_FILE, which every `git` there would obey."""
    root = tmp_path / "hooked"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--allow-empty", "-m", "m")
    linked = tmp_path / "linked"
    git(root, "worktree", "add", "--quiet", str(linked))
    own = f"{Path(__file__)}::{test_nothing_that_is_set_outside_is_seen.__name__}"
    hook = root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\nrm "$0"\n'  # or a commit that a test makes there starts it again, for ever
        f'cd "{ROOT}" && exec "{sys.executable}" -m pytest -q -p no:cacheprovider "{own}"\n'
    )
    hook.chmod(0o755)
    (linked / "file").touch()
    git(linked, "add", "file")
    author = ("-c", "user.name=n", "-c", "user.email=e")
    done = run(
        linked, "git", *author, "commit", "-m", "mine", MLFLOW_RUN_ID="mine", VAEBENCH_MNIST_MIRROR="mine"
    )
    assert done.returncode == 0
    assert git(root, "log", "--all", "--format=%s").split() == ["mine", "m"]
    assert git(linked, "ls-files") == "file"
