"""`make repro`: DVC's own graph with several stages at a time; what runs a stage is stood in for."""

import os
import re
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
    ENVIRONMENT,
    EVALUATIONS,
    REPRODUCTIONS,
    STAGES,
    SWEPT,
    TRAININGS,
    clone,
    run,
)

REAL = Path(sys.executable).parent
SECONDS = 60  # for what takes one on an idle machine

# DVC tells the graph. In place of running a stage, it is noted when it begins and ends.
STAND_IN = """\
#!/bin/sh
case "$2" in dag | status) exec "{dvc}" "$@" ;; esac
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
    python = root / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (root / ".venv/ready").write_text(f"{root.resolve()}\n")
    return root


def make(root: Path, *arguments: str, failing: str = "") -> tuple[int, list[str]]:
    """Return the exit code and what was noted."""
    done = run(root, "make", *arguments, FAILING=failing)
    return done.returncode, (root / "log").read_text().splitlines()


def test_every_line_goes_through_a_shell_that_takes_it(root: Path) -> None:
    """make runs a simple line itself, and on macOS finds programs by the PATH that make was started with."""
    (root / "probe.mk").write_text("include Makefile\nprobe: ; no-such-program\nshell: ; printenv SHELL\n")
    done = run(root, "make", "--file", "probe.mk", "probe")
    assert done.returncode == 2
    assert not done.stdout.splitlines()[1].startswith("make: no-such-program: "), "make itself looked for it"
    # DVC runs stages with the user's, which of a system's user takes no command.
    done = run(root, "make", "--silent", "--file", "probe.mk", "shell", SHELL="/usr/sbin/nologin")
    assert Path(done.stdout.strip()).resolve() == Path("/bin/sh").resolve()


def most_at_once(log: list[str]) -> int:
    running, most = 0, 0
    for line in log:
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    return most


@pytest.mark.parametrize("jobs", [1, 3])
def test_stages_run_side_by_side_each_after_what_it_needs(root: Path, jobs: int) -> None:
    code, log = make(root, "repro", f"JOBS={jobs}")
    assert code == 0
    assert sorted(log) == sorted(f"{when} {stage}" for stage in STAGES for when in ("begin", "end"))
    assert most_at_once(log) == jobs

    def precede(earlier: set[str], later: set[str]) -> None:
        ends = [log.index(f"end {stage}") for stage in earlier]
        assert max(ends) < min(log.index(f"begin {stage}") for stage in later)

    precede({"download"}, CLASSIFIERS | TRAININGS | REPRODUCTIONS)
    precede(CLASSIFIERS, {*EVALUATIONS, "evaluate_references"})
    for each in SWEPT:
        precede({f"train_vae@{each}-0"}, {f"evaluate@{each}-0"})
    precede({*REPRODUCTIONS, *EVALUATIONS, "evaluate_references"}, {"aggregate@all"})
    precede({"aggregate@all"}, {"render@all"})


@pytest.mark.parametrize("jobs", ["0", "two", "-1"])
def test_jobs_must_be_a_number(root: Path, jobs: str) -> None:
    done = run(root, "make", "repro", f"JOBS={jobs}")
    assert done.returncode == 2
    allowed = "must be a whole number of at least 1"
    assert f"error: Invalid value for '--jobs': {allowed}, got '{jobs}'" in done.stdout.splitlines()
    assert not (root / "log").exists()


@pytest.mark.parametrize("seeds", ["[]", "[0, 0]", "0", "[a]", "[-1]"])
def test_bad_seeds_are_one_line_before_anything_runs(root: Path, seeds: str) -> None:
    params = root / "params.yaml"
    params.write_text(re.sub(r"^seeds:\n(- \d+\n)+", f"seeds: {seeds}\n", params.read_text(), flags=re.M))
    done = run(root, "make", "repro")
    assert done.returncode == 2
    allowed = "params.yaml: seeds must be a list of different integers from 0 to 2147483647, got "
    [line] = [line for line in done.stdout.splitlines() if not line.startswith("make: ")]
    assert line.startswith(f"error: {allowed}")
    assert not (root / "log").exists()


def test_stage_that_fails_stops_it(root: Path) -> None:
    code, log = make(root, "repro", failing="train_vae@2-0")
    assert code == 2
    assert not {f"begin {stage}" for stage in ("evaluate@2-0", "aggregate@all", "render@all")} & set(log)
    began = {line.removeprefix("begin ") for line in log if line.startswith("begin")}
    ended = {line.removeprefix("end ") for line in log if line.startswith("end")}
    assert began - ended == {"train_vae@2-0"}  # what ran beside it was let finish


def test_make_that_is_told_to_end_leaves_nothing_running(root: Path) -> None:
    make = subprocess.Popen(
        ["make", "repro", "JOBS=2"],
        cwd=root,
        env=ENVIRONMENT | {"HANGING": "download"},
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
