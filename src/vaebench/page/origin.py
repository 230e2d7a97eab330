"""Where a committed number comes from: the commit that brought it, and the MLflow run that computed it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vaebench.pipeline.history import finished_stages
from vaebench.pipeline.origin import git
from vaebench.pipeline.store import STAGE_TAG, repository_root, store_uri

LOCAL_UI = "http://127.0.0.1:5000"  # where `make ui` shows the local store


@dataclass(frozen=True)
class Origin:
    """What made one file of results."""

    stage: str  # as dvc names it, such as evaluate@5
    file: Path
    commit: str  # 40 hex digits; empty where the file is not committed as it is
    date: str  # of the commit, ISO 8601; empty likewise
    commit_url: str  # empty where the repository has no web address
    run_id: str  # empty where the store here knows no run with these numbers
    run_url: str  # likewise


@dataclass(frozen=True)
class Run:
    """One finished stage in an MLflow store."""

    run_id: str
    url: str
    stage: str
    metrics: Mapping[str, float]


def trace(stage: str, file: Path, numbers: Mapping[str, float], runs: list[Run]) -> Origin:
    """Return the origin of `file`.

    Args:
        stage: that writes it.
        file: of results.
        numbers: some that it holds, as the stage logs them; the run that logged all of them made it. By none
            no run is known.
        runs: to look in, the newest first.
    """
    made = next(
        (
            run
            for run in runs
            if numbers
            and run.stage == stage
            and all(run.metrics.get(name) == value for name, value in numbers.items())
        ),
        None,
    )
    changed = git("status", "--porcelain", "--", str(file))
    last = "" if changed else git("log", "-1", "--format=%H %cI", "--", str(file))
    commit, _, date = last.strip().partition(" ")
    web = web_address(git("remote", "get-url", "origin").strip())
    return Origin(
        stage,
        file,
        commit,
        date,
        f"{web}/commit/{commit}" if web and commit else "",
        made.run_id if made else "",
        made.url if made else "",
    )


def recorded_runs() -> list[Run]:
    """Return the finished stages in the store of this repository, the newest first."""
    uri = store_uri(repository_root())
    address = uri.rstrip("/") if uri.startswith("http") else LOCAL_UI
    return [
        Run(
            run.info.run_id,
            f"{address}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
            run.data.tags[STAGE_TAG],
            run.data.metrics,
        )
        for run in finished_stages(uri)
    ]


def head() -> str:
    """Return the commit that is checked out, empty outside a repository."""
    return git("rev-parse", "HEAD").strip()


def web_address(remote: str) -> str:
    """Return where a repository can be seen, of the address that it is cloned from; empty for a folder."""
    found = re.fullmatch(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/](.+?)(?:\.git)?/?", remote)
    return f"https://{found[1]}/{found[2]}" if found else ""
