"""The MLflow store: where it is, how it is opened, and how it fails.

MLflow is slow to import: everything here imports it where it is used.
"""

import errno
import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from vaebench.pipeline.secrets import one_line, public
from vaebench.pipeline.stage import StageError
from vaebench.tracking import database, locks
from vaebench.tracking.address import WANTED, artifact_location, checked, sqlite_file, sqlite_uri
from vaebench.tracking.views import view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

AT_ONCE = 100  # parameters that MLflow takes in one request
EXPERIMENT = "vaebench"
# The kind by which MLflow tells training apart from language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
STAGE_TAG = "dvc.stage"
PARENT_TAG = "mlflow.parentRunId"
RECORD_TAG = "vaebench.record"  # of what was recorded from files: the commit that they are of
EXPERIMENT_NAME_TAG = "dvc.exp"  # of a run in an experiment of DVC
SOURCE_TAG = "mlflow.source.name"
PIPELINE = "dvc.yaml"  # the source of an execution

ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"  # MLflow's variable for where a database's artifacts go

# MLflow waits 247 s for a server that is not there; with these, 5 s. What is already set stays.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


# What a user has set for other work: none of it may reach runs of ours, or the server that shows them. A
# server's address and account may.
FOREIGN = (
    "MLFLOW_ACTIVE_MODEL_ID",
    "MLFLOW_ARTIFACTS_ONLY",
    "MLFLOW_ENABLE_ASYNC_LOGGING",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_RUN_ID",
    "MLFLOW_STATIC_PREFIX",
    "MLFLOW_UVICORN_OPTS",
    "_MLFLOW_ACTIVE_MODEL_ID",
)


@dataclass(frozen=True)
class Store:
    """The experiment of this project in a server or a database."""

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

    def unused_name(self, name: str) -> str:
        """Return a name that no other execution has, so that curves of two can be told apart."""
        taken = {run.info.run_name for run in self.search(SOURCE_TAG, PIPELINE)}
        names = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 2)))
        return next(each for each in names if each not in taken)

    def create_run(self, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> str:
        """Start a run and return its id."""
        from mlflow.entities import Param

        run = self.client.create_run(self.experiment_id, tags=dict(tags), run_name=name)
        run_id = str(run.info.run_id)
        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), AT_ONCE):
            self.client.log_batch(run_id, params=entries[start : start + AT_ONCE], synchronous=True)
        return run_id


def store_uri(root: Path) -> str:
    """Return the server or database in `MLFLOW_TRACKING_URI`, else the one in the repository `root`.

    Raises:
        StageError: the variable names no server and no database.
    """
    setting = os.environ.get("MLFLOW_TRACKING_URI")
    return checked(setting, root) if setting else sqlite_uri(root / "mlflow.db")


def store_lock(root: Path) -> FileLock:
    """Return the lock that the processes of this repository share."""
    return FileLock(root / "mlflow.db.lock", timeout=locks.LOCK_SECONDS)


def open_store(uri: str, root: Path) -> Store:
    """Open the store, and make its experiment if there is none."""
    lock, tags = store_lock(root), EXPERIMENT_TAGS | view_tags()
    with locks.held(lock):
        client = open_client(uri, root)
        experiment = find_experiment(client, uri)
        if experiment is None:
            number = client.create_experiment(EXPERIMENT, artifact_location(uri, root), tags)
            return Store(uri, client, number, lock)
        for tag in sorted(tags.keys() - experiment.tags.keys()):  # which is older than the tag
            client.set_experiment_tag(experiment.experiment_id, tag, tags[tag])
        return Store(uri, client, experiment.experiment_id, lock)


def open_client(uri: str, root: Path) -> "MlflowClient":
    """Return a client of a store; hold `store_lock(root)`.

    Raises:
        StageError: it is a database in a file that MLflow cannot use.
    """
    prepare_mlflow()
    from mlflow import MlflowClient

    if file := sqlite_file(uri):
        file.parent.mkdir(parents=True, exist_ok=True)
        database.prepare(file, root, EXPERIMENT)
    # MLflow's own experiment, in which nothing is recorded, gets a folder too: by default in the one that
    # this process runs in, and its path goes into SQL as it is, quotes and all.
    os.environ[ARTIFACT_ROOT] = (root / "mlruns").as_uri()
    try:
        return MlflowClient(uri)
    finally:
        del os.environ[ARTIFACT_ROOT]


def find_experiment(client: "MlflowClient", uri: str) -> "Experiment | None":
    """Return the experiment of this project, if there is one.

    Raises:
        StageError: it was deleted.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment and experiment.lifecycle_stage == "deleted":
        raise StageError(deleted(uri, experiment.experiment_id))
    return experiment


def deleted(uri: str, experiment_id: str) -> str:
    """Return how a deleted experiment, which MLflow keeps for a while, comes back."""
    command = ["mlflow", "experiments", "restore", "--experiment-id", experiment_id]
    if sqlite_file(uri):  # all others are in the environment
        command = ["env", f"MLFLOW_TRACKING_URI={uri}", *command]
    return (
        f"the experiment {EXPERIMENT} of MLflow at {public(uri)} was deleted; "
        f"this brings it back: {shlex.join(command)}"
    )


def prepare_mlflow() -> None:
    """Set MLflow up to be brief, silent and private."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    for key in FOREIGN:
        os.environ.pop(key, None)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # with the server's password
    import mlflow  # noqa: F401 - it sets up its loggers, which come after

    for chatty in ("mlflow", "alembic", "urllib3"):  # what fails comes back as an exception too
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


def failures() -> tuple[type[Exception], ...]:
    """Return what a store that is gone, full, locked or broken raises; `requests` raises OSError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


@contextmanager
def usable(uri: str, remedy: str | None = None) -> Iterator[None]:
    """Turn a failure of the store in the block into one line.

    Args:
        uri: of the store.
        remedy: what to do then.

    Raises:
        StageError: it failed.
    """
    prepare_mlflow()
    from alembic.util import CommandError

    known: tuple[type[Exception], ...] = (*failures(), CommandError, ImportError)
    try:
        yield
    except Timeout as error:  # an OSError, which says nothing of the store
        raise StageError(locks.gave_up(Path(error.lock_file))) from error
    except known as error:
        reason = one_line(f"MLflow at {uri} cannot be used ({error})")
        raise StageError(f"{reason}; {remedy or _remedy(uri, error)}") from error


def _remedy(uri: str, error: Exception) -> str:
    """Return what to do about a store that failed; most of what befalls a file is told in `database`."""
    from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException
    from sqlalchemy.exc import NoSuchModuleError

    if isinstance(error, UnsupportedModelRegistryStoreURIException | NoSuchModuleError):
        return WANTED
    if isinstance(error, ImportError):
        return f"install the driver of that database, {error.name}, or {WANTED}"
    if "out-of-date database schema" in str(error):
        return "copy the database, then upgrade it: mlflow db upgrade with its URI"
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "disk is full" in str(error):
        return "make room on the disk"
    if file := sqlite_file(uri):
        if "database is locked" in str(error):
            return locks.gave_up(file)
        return "make it and its folder writable"
    return "start the server, or unset MLFLOW_TRACKING_URI to log to the local store"
