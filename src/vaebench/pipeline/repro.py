"""Reproduce the benchmark with several stages at a time: `make repro`.

DVC runs one stage after another. Here each one is a `dvc repro --single-item` of its own, which starts when
those that it needs are done. What is up to date is found at once, not stage by stage.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer

from vaebench.pipeline.params import PARAMS_FILE, load_params
from vaebench.pipeline.stage import StageError, run_stage, say

Needs = Mapping[str, set[str]]  # of each stage by name, in DVC's order: the stages that it reads from

TICK = 0.1  # seconds between two looks at what runs


def _parse_jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise typer.BadParameter(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


JobsOption = Annotated[int, typer.Option(parser=_parse_jobs, help="How many stages run side by side.")]


def main(jobs: JobsOption) -> None:
    """Run the stages that are not up to date, each when those that it needs are done."""
    reproduce(Path(), jobs, {})


def reproduce(root: Path, jobs: int, variables: Mapping[str, str]) -> None:
    """Run the stages of a repository that are not up to date.

    Args:
        root: the repository.
        jobs: how many run side by side; they share the cores.
        variables: what their environment has besides this process's own.

    Raises:
        StageError: a parameter is not allowed, which DVC would say in its own words or not at all. Or a stage
            failed: what ran beside it was let finish, and nothing else was started.
    """
    load_params(root / PARAMS_FILE)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ, **variables}
    needs = _graph(_dvc(root, "dag", "--dot"))
    plan = Plan(needs, stale(needs, set(json.loads(_dvc(root, "status", "--json")))))
    started = time.monotonic()
    running: dict[str, subprocess.Popen[bytes]] = {}
    failed: list[str] = []
    try:
        while running or (plan.waiting and not failed):
            for stage in [] if failed else plan.ready()[: jobs - len(running)]:
                say(f"stage {plan.number} of {plan.count}: {stage}{plan.left(time.monotonic(), jobs)}")
                command = ["dvc", "--wait-for-lock", "repro", "--quiet", "--single-item", stage]
                running[stage] = subprocess.Popen(command, cwd=root, env=environment)  # noqa: S603
                plan.start(stage, time.monotonic())
            time.sleep(TICK)
            for stage, process in list(running.items()):
                if process.poll() is not None:
                    del running[stage]
                    plan.end(stage, time.monotonic())
                    failed += [stage] if process.returncode else []
    finally:
        for process in running.values():  # on the way out of an interrupt
            process.terminate()
    if failed:
        left = f"; {len(plan.waiting)} stages were not started" if plan.waiting else ""
        raise StageError(f"{' and '.join(failed)} failed, as said above{left}")
    done = f"{plan.count} stages in {_duration(time.monotonic() - started)}"
    say(done if plan.count else "everything is up to date")


def stale(needs: Needs, changed: set[str]) -> list[str]:
    """Return what may have to run: the `changed` stages, and all that depends on one, in DVC's order."""
    found = set(changed)
    while more := {stage for stage, needed in needs.items() if needed & found} - found:
        found |= more
    return [stage for stage in needs if stage in found]


class Plan:
    """Which stages wait, run and are done, and how long the rest will take."""

    def __init__(self, needs: Needs, stages: list[str]) -> None:
        """Take the stages that are to run, in the order in which they start where there is a choice."""
        self.count = len(stages)
        self.waiting = list(stages)
        self._needs = needs
        self._began: dict[str, float] = {}  # of what runs
        self._took: dict[str, list[float]] = {}  # of what is done, by kind

    @property
    def number(self) -> int:
        """The place of the next stage to start, from 1."""
        return self.count - len(self.waiting) + 1

    def ready(self) -> list[str]:
        """Return the stages that could start."""
        open_ = {*self.waiting, *self._began}
        return [stage for stage in self.waiting if not self._needs[stage] & open_]

    def start(self, stage: str, now: float) -> None:
        """Note that a stage began, at a time in seconds."""
        self.waiting.remove(stage)
        self._began[stage] = now

    def end(self, stage: str, now: float) -> None:
        """Note that it ended."""
        self._took.setdefault(_kind(stage), []).append(now - self._began.pop(stage))

    def left(self, now: float, jobs: int) -> str:
        """Say how long the rest will take, by what stages of a kind took; nothing before one is done."""
        if not self._took:
            return ""
        usual = mean(seconds for each in self._took.values() for seconds in each)

        def seconds(stage: str) -> float:
            return mean(self._took.get(_kind(stage), [usual]))

        rest = sum(map(seconds, self.waiting))
        rest += sum(max(0.0, seconds(stage) - (now - began)) for stage, began in self._began.items())
        return f", about {_duration(rest / jobs)} left"


def _graph(dot: str) -> Needs:
    """Read what `dvc dag --dot` prints."""
    needs: dict[str, set[str]] = {stage: set() for stage in re.findall(r'^"([^"]+)";$', dot, re.MULTILINE)}
    for needed, stage in re.findall(r'^"([^"]+)" -> "([^"]+)";$', dot, re.MULTILINE):
        needs[stage].add(needed)
    return needs


def _dvc(root: Path, *arguments: str) -> str:
    command = ["dvc", "--wait-for-lock", *arguments]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, encoding="utf-8", check=False)  # noqa: S603
    if done.returncode:
        raise StageError(f"`{' '.join(command)}` failed, as said above")
    return done.stdout


def _kind(stage: str) -> str:
    return stage.partition("@")[0]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    run_stage(main)
