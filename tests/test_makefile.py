"""`make repro`: DVC's own graph with several stages at a time; what runs a stage is stood in for."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from projects import (
    CLASSIFIERS,
    DIMENSIONS,
    ENVIRONMENT,
    EVALUATIONS,
    REPRODUCTIONS,
    STAGES,
    TRAININGS,
    clone,
    run,
)

REAL = Path(sys.executable).parent
SECONDS = 60  # for what takes one on an idle machine

# DVC tells the graph. In place of running a stage, it is noted when it begins and ends.
STAND_IN = """\
#!/bin/sh
case "$1" in dag | stage) exec "{dvc}" "$@" ;; esac
for stage; do :; done
echo "begin $stage" >> log
sleep 0.1
test "$stage" != "$FAILING" || exit 1
test "$stage" != "$HANGING" || exec sleep 600
echo "end $stage" >> log
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the project whose environment is set up, as far as make can see."""
    root = clone(template, tmp_path / "made")
    (root / ".venv/bin").mkdir(parents=True)
    dvc = root / ".venv/bin/dvc"
    dvc.write_text(STAND_IN.format(dvc=REAL / "dvc"))
    dvc.chmod(0o755)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    (root / ".venv/ready").touch()
    return root


def make(root: Path, *arguments: str, failing: str = "") -> tuple[int, list[str]]:
    """Return the exit code and what was noted."""
    done = run(root, "make", *arguments, FAILING=failing, MAKEFLAGS="")
    return done.returncode, (root / "log").read_text().splitlines()


def most_at_once(log: list[str]) -> int:
    running, most = 0, 0
    for line in log:
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    return most


@pytest.mark.parametrize("jobs", [2, 3])
def test_stages_run_side_by_side_each_after_what_it_needs(root: Path, jobs: int) -> None:
    code, log = make(root, "repro", f"JOBS={jobs}")
    assert code == 0
    # The last is `dvc repro` without a stage, which finds everything done.
    assert sorted(log) == sorted(
        f"{when} {stage}" for stage in (*STAGES, "repro") for when in ("begin", "end")
    )
    assert log[-2:] == ["begin repro", "end repro"]
    assert most_at_once(log) == jobs

    def precede(earlier: set[str], later: set[str]) -> None:
        ends = [log.index(f"end {stage}") for stage in earlier]
        assert max(ends) < min(log.index(f"begin {stage}") for stage in later)

    precede({"download"}, CLASSIFIERS | TRAININGS | REPRODUCTIONS)
    precede(CLASSIFIERS, {*EVALUATIONS, "evaluate_references"})
    for latent_dim in DIMENSIONS:
        precede({f"train_vae@{latent_dim}"}, {f"evaluate@{latent_dim}"})
    precede({*REPRODUCTIONS, *EVALUATIONS, "evaluate_references"}, {"aggregate"})
    precede({"aggregate"}, {"render"})


def test_one_job_leaves_it_to_dvc(root: Path) -> None:
    assert make(root, "repro", "JOBS=1") == (0, ["begin repro", "end repro"])


@pytest.mark.parametrize("jobs", ["0", "two", "-1"])
def test_jobs_must_be_a_number(root: Path, jobs: str) -> None:
    done = run(root, "make", "repro", f"JOBS={jobs}", MAKEFLAGS="")
    assert done.returncode == 2
    assert f"error: JOBS must be a whole number of at least 1, got '{jobs}'" in done.stdout.splitlines()
    assert not (root / "log").exists()


def test_stage_that_fails_stops_it(root: Path) -> None:
    code, log = make(root, "repro", failing="train_vae@2")
    assert code == 2
    assert not {f"begin {stage}" for stage in ("evaluate@2", "aggregate", "render", "repro")} & set(log)
    began = {line.removeprefix("begin ") for line in log if line.startswith("begin")}
    ended = {line.removeprefix("end ") for line in log if line.startswith("end")}
    assert began - ended == {"train_vae@2"}  # what ran beside it was let finish


def test_make_that_is_told_to_end_leaves_nothing_running(root: Path) -> None:
    make = subprocess.Popen(
        ["make", "repro", "JOBS=2"],
        cwd=root,
        env=ENVIRONMENT | {"HANGING": "download", "MAKEFLAGS": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    alive = None
    try:
        end = time.monotonic() + SECONDS
        while not (root / "log").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        started = psutil.Process(make.pid).children(recursive=True)
        assert started
        make.terminate()
        make.wait(SECONDS)
        _, alive = psutil.wait_procs(started, SECONDS)
    finally:
        if alive != []:
            os.killpg(make.pid, signal.SIGKILL)
    assert alive == []
    assert (root / "log").read_text() == "begin download\n"
