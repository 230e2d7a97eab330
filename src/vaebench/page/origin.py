"""Where a committed number comes from: the commit that brought it, and the MLflow run that computed it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vaebench.pipeline.origin import git, repository_root
from vaebench.pipeline.secrets import bare, one_line
from vaebench.pipeline.stage import say
from vaebench.tracking.history import attach, finished_stages
from vaebench.tracking.store import STAGE_TAG, store_uri

LOCAL_UI = "http://127.0.0.1:5000"  # where `make ui` shows the local store
_PATH_SIGNS = "/%~+@:!$&()*,;="  # that stand in an address as they are


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
    committed = git("rev-parse", "--verify", f"HEAD:./{file.as_posix()}")
    same = committed and committed == git("hash-object", "--", str(file))
    last = git("rev-list", "-1", "--format=%H %cI", "HEAD", "--", str(file)) if same else ""
    commit, _, date = last.strip().rpartition("\n")[2].partition(" ")
    web = web_address(git("ls-remote", "--get-url").strip())
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
    """Return the finished stages in the store of this repository, the newest first.

    A store that cannot be read costs a warning: a page without links to runs is better than none.
    """
    try:
        uri = store_uri(repository_root())
        finished = finished_stages(uri)
    except Exception as error:  # whatever its server, database or driver raises
        _warn(f"cannot be read ({error})", "the page has no links to runs")
        return []
    address = bare(uri).rstrip("/") if uri.startswith("http") else LOCAL_UI
    return [
        Run(
            run.info.run_id,
            f"{address}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
            run.data.tags[STAGE_TAG],
            run.data.metrics,
        )
        for run in finished
    ]


def keep(page: Path, numbers: Mapping[str, float]) -> None:
    """Add the page to the record of the execution that it shows; a store that takes it not costs a warning.

    Args:
        page: the file.
        numbers: that the execution came to.
    """
    try:
        attach(store_uri(repository_root()), page, numbers)
    except Exception as error:  # likewise
        _warn(f"takes no page ({error})", f"{page} is there alone")


def _warn(problem: str, consequence: str) -> None:
    place = os.environ.get("MLFLOW_TRACKING_URI") or "mlflow.db"
    say(f"warning: {one_line(f'MLflow at {place} {problem}')}; {consequence}")


def web_address(remote: str) -> str:
    """Return where a repository can be seen, of the address that it is cloned from; empty for a folder.

    A user, a password and the port of SSH are none of the page's address; a port of HTTP is.
    """
    if "://" not in remote:
        remote = re.sub(r"^([^/:]{2,}):(?!:)", r"ssh://\1/", remote)  # git@host:path; one letter is a drive
    host = r"[\w.-]+|\[[0-9A-Fa-f:.]+\]"
    form = rf"(https?|ssh|git)://(?:[^/]*@)?({host})(:\d+)?/+(\S+?)(?:\.git)?/*"
    found = re.fullmatch(form, remote, re.IGNORECASE)
    if found is None:
        return ""
    scheme, name, port, path = found.groups()
    web = scheme.lower().startswith("http")
    address = f"{scheme.lower()}://{name}{port or ''}" if web else f"https://{name}"
    return f"{address}/{quote(path, safe=_PATH_SIGNS)}"
