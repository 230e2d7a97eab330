"""What a stage does, recorded in MLflow.

One execution of the pipeline is one parent run, and each of its stages is a child of that run. Stages are
separate processes that may start together, so they find their parent by a tag, under a file lock. MLflow is
slow to import: everything here imports it where it is used.
"""

import getpass
import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock

from vaebench.pipeline.stage import StageError, say

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from vaebench.data import Dataset

StageParams = Mapping[str, str | int | float]

EXPERIMENT = "vaebench"
# The kind by which MLflow tells training apart from language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
EXECUTION_TAG = "vaebench.execution"
STAGE_TAG = "dvc.stage"
PARENT_TAG = "mlflow.parentRunId"

LOCK_SECONDS = 120

# MLflow waits 247 s for a server that is not there; with these, 5 s. What is already set stays.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@contextmanager
def track(
    stage: str,
    *,
    params: StageParams,
    device: str = "cpu",
) -> Iterator["StageRun"]:
    """Record the block as one run: finished, failed on an error, killed on Ctrl-C.

    Runs go to the server or database in `MLFLOW_TRACKING_URI`, else to `mlflow.db` and `mlartifacts/` in the
    repository, which for a queued experiment is the repository that it was queued in.

    Args:
        stage: the stage's name with its matrix item, such as `train_vae@5`.
        params: the parameters that the stage uses.
        device: where it computes.

    Raises:
        StageError: the store cannot be opened. A store that fails later costs one warning and the rest of the
            record, never the stage.
    """
    run = _open_run(stage, params, device)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.close(status)


class StageRun:
    """The record of one stage. Its methods do not fail: see `track`."""

    def __init__(self, store: "_Store", parent_id: str, run_id: str) -> None:
        self._store = store
        self._parent_id = parent_id
        self._run_id = run_id
        self._lost = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at a step such as an epoch if they have one."""
        self._attempt(self._store.log_metrics, self._run_id, metrics, step)

    def log_headline(self, metrics: Mapping[str, float]) -> None:
        """Record numbers that stand for the whole execution, on the parent run."""
        self._attempt(self._store.log_metrics, self._parent_id, metrics, None)

    def log_dataset(self, dataset: "Dataset") -> None:
        """Record which data set the stage read."""
        self._attempt(self._store.log_dataset, self._run_id, dataset)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Record a file, or a folder with all that it holds, in `folder` of the run's artifacts."""
        self._attempt(self._store.client.log_artifact, self._run_id, str(path), folder)

    def log_model(self, weights: Path, name: str, params: StageParams) -> None:
        """Record a file of weights as a model that this run has made; the name has none of `/:.%"'`."""
        self._attempt(self._store.log_model, self._run_id, weights, name, params)

    def close(self, status: str) -> None:
        """End the run, and the parent with it if no other stage is running."""
        self._attempt(self._store.close_run, self._parent_id, self._run_id, status)

    def _attempt(self, log: Callable[..., object], *arguments: object) -> None:
        if self._lost:
            return
        try:
            log(*arguments)
        except _failures() as error:
            self._lost = True
            reason = _one_line(f"MLflow at {self._store.uri} failed ({error})")
            say(f"warning: {reason}; the stage goes on without its record")


@dataclass(frozen=True)
class _Store:
    uri: str
    client: "MlflowClient"
    experiment_id: str
    lock: FileLock  # held wherever what is written depends on what was read

    def search(self, tag: str, value: str) -> "list[Run]":
        """Return the runs with this tag, the newest first."""
        found = self.client.search_runs(
            [self.experiment_id], f"tags.`{tag}` = '{value}'", order_by=["attributes.start_time DESC"]
        )
        return list(found)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int | None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(key, float(value), now, step or 0) for key, value in metrics.items()]
        self.client.log_batch(run_id, metrics=entries, synchronous=True)

    def log_dataset(self, run_id: str, dataset: "Dataset") -> None:
        self.client.log_inputs(run_id, [_dataset_input(dataset)])

    def log_model(self, run_id: str, weights: Path, name: str, params: StageParams) -> None:
        from mlflow.entities import LoggedModelOutput

        texts = {key: str(value) for key, value in params.items()}
        model = self.client.create_logged_model(self.experiment_id, name, source_run_id=run_id, params=texts)
        self.client.log_model_artifact(model.model_id, str(weights))
        self.client.finalize_logged_model(model.model_id, "READY")
        self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])

    def create_run(self, name: str, tags: Mapping[str, str]) -> str:
        return str(self.client.create_run(self.experiment_id, tags=dict(tags), run_name=name).info.run_id)

    def open_parent(self, execution: "_Execution", stage: str) -> str:
        """Return the run of this execution of the pipeline, which it starts if there is none."""
        for parent in self.search(EXECUTION_TAG, execution.key)[:1]:
            parent_id = str(parent.info.run_id)
            children = self.search(PARENT_TAG, parent_id)
            earlier = [run.info for run in children if run.data.tags.get(STAGE_TAG) == stage]
            for left_over in (run for run in earlier if run.status == "RUNNING"):  # its process was killed
                self.client.set_terminated(left_over.run_id, "KILLED")
            # An execution finishes a stage once: more than that is the next one.
            if all(run.status != "FINISHED" for run in earlier):
                self.client.update_run(parent_id, status="RUNNING")
                return parent_id
        own = {EXECUTION_TAG: execution.key, "mlflow.source.name": "dvc.yaml"}
        return self.create_run(execution.name, execution.tags | own)

    def close_run(self, parent_id: str, run_id: str, status: str) -> None:
        """End a run; when none is left running, its parent ends with the worst of its stages' last runs."""
        with self.lock:
            self.client.set_terminated(run_id, status)
            children = reversed(self.search(PARENT_TAG, parent_id))
            last = {run.data.tags.get(STAGE_TAG): run.info.status for run in children}.values()
            if "RUNNING" not in last:
                worst = next((bad for bad in ("FAILED", "KILLED") if bad in last), "FINISHED")
                self.client.set_terminated(parent_id, worst)


@dataclass(frozen=True)
class _Execution:
    """One execution of the pipeline, as each of its stages sees it."""

    key: str  # equal in all of them; safe to quote in a query
    name: str
    tags: dict[str, str]


def _open_run(stage: str, params: StageParams, device: str) -> StageRun:
    given = os.environ.get("MLFLOW_TRACKING_URI")
    root = _root()
    uri = given or f"sqlite:///{(root / 'mlflow.db').as_posix()}"
    prepare_mlflow()
    from mlflow.entities import Param

    execution = _execution(root)
    tags = execution.tags | {STAGE_TAG: stage, "mlflow.source.name": sys.argv[0], "device": device}
    entries = [Param(key, str(value)) for key, value in params.items()]
    lock = FileLock(root / "mlflow.db.lock", timeout=LOCK_SECONDS)
    try:
        with lock:
            store = _open_store(uri, root, lock)
            parent_id = store.open_parent(execution, stage)
            run_id = store.create_run(stage, tags | {PARENT_TAG: parent_id})
            store.client.log_batch(run_id, params=entries, synchronous=True)
    except _failures() as error:
        remedy = (
            "start the server, or unset MLFLOW_TRACKING_URI to log to the local store"
            if given
            else "make it writable, or move it away to start a new one"
        )
        raise StageError(f"{_one_line(f'MLflow at {uri} cannot be used ({error})')}; {remedy}") from error
    return StageRun(store, parent_id, run_id)


def _open_store(uri: str, root: Path, lock: FileLock) -> _Store:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return _Store(uri, client, experiment.experiment_id, lock)
    # A server decides itself; a database would put artifacts under the folder that this process runs in.
    location = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
    return _Store(uri, client, client.create_experiment(EXPERIMENT, location, EXPERIMENT_TAGS), lock)


def _root() -> Path:
    """Return the repository whose record this is; DVC names it to the clones that it runs experiments in."""
    here = Path.cwd()
    named = [Path(os.environ["DVC_ROOT"]).absolute()] if os.environ.get("DVC_ROOT") else []
    folders = [*named, here, *here.parents]
    return next((folder for folder in folders if (folder / ".dvc").is_dir()), here)


def _execution(root: Path) -> _Execution:
    commit = _git("rev-parse", "HEAD").strip()
    tags = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if commit:
        tags["mlflow.source.git.commit"] = commit
    if name := os.environ.get("DVC_EXP_NAME"):
        key = f"exp:{os.environ.get('DVC_EXP_BASELINE_REV', '')}:{quote(name)}"
        return _Execution(key, name, tags | {"dvc.exp": name})
    changes = _git("diff", "HEAD", "--no-ext-diff", "--", "dvc.yaml", "params.yaml", "src", "stages")
    place = f"{platform.node()}:{root}"  # a server may see the same code from two places
    digest = hashlib.sha256("\0".join([place, commit, changes]).encode()).hexdigest()
    return _Execution(f"repro:{digest[:16]}", f"repro {commit[:7]}".strip(), tags)


def _dataset_input(dataset: "Dataset") -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput

    sizes = {"train_size": len(dataset.train), "test_size": len(dataset.test)}
    profile = {"num_rows": sum(sizes.values()), **sizes}
    source = json.dumps({"uri": dataset.name})
    return DatasetInput(Dataset(dataset.name, dataset.digest, "local", source, profile=json.dumps(profile)))


def prepare_mlflow() -> None:
    """Import MLflow without its telemetry, its long waits and its talk."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import mlflow  # noqa: F401 - it sets up its loggers, which come after

    for chatty in ("mlflow", "alembic", "urllib3"):  # what fails comes back as an exception too
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


def _failures() -> tuple[type[Exception], ...]:
    """Return what a store that is gone, full, locked or broken raises; `requests` raises OSError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def _one_line(message: str) -> str:
    """Shorten to a line without the password that a URI may hold."""
    return textwrap.shorten(re.sub(r"//[^/@\s]*@", "//", message), 500, placeholder=" ...")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _git(*arguments: str) -> str:
    """Return what git prints, which is nothing without git, a repository or a commit."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
