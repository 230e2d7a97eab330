"""The MLflow store: where it is, how it is opened, and how it fails.

MLflow is slow to import: everything here imports it where it is used.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from vaebench.pipeline.secrets import one_line
from vaebench.pipeline.stage import StageError
from vaebench.pipeline.views import view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "vaebench"
# The kind by which MLflow tells training apart from language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
STAGE_TAG = "dvc.stage"
PARENT_TAG = "mlflow.parentRunId"

LOCK_SECONDS = 120

# MLflow waits 247 s for a server that is not there; with these, 5 s. What is already set stays.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


# What a user has set for other work: none of it may reach runs of ours. A server's address and account may.
FOREIGN = (
    "MLFLOW_ACTIVE_MODEL_ID",
    "MLFLOW_ENABLE_ASYNC_LOGGING",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_RUN_ID",
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

    def create_run(self, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> str:
        """Start a run and return its id."""
        from mlflow.entities import Param

        run = self.client.create_run(self.experiment_id, tags=dict(tags), run_name=name)
        run_id = str(run.info.run_id)
        entries = [Param(key, str(value)) for key, value in params.items()]
        self.client.log_batch(run_id, params=entries, synchronous=True)
        return run_id


def repository_root() -> Path:
    """Return the repository whose record this is; DVC names it to the clones that it runs experiments in."""
    here = Path.cwd()
    named = [Path(os.environ["DVC_ROOT"]).absolute()] if os.environ.get("DVC_ROOT") else []
    folders = [*named, here, *here.parents]
    return next((folder for folder in folders if (folder / ".dvc").is_dir()), here)


def store_uri(root: Path) -> str:
    """Return the server or database in `MLFLOW_TRACKING_URI`, else the one in the repository `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(root / 'mlflow.db').as_posix()}"


def store_lock(root: Path) -> FileLock:
    """Return the lock that the processes of this repository share."""
    return FileLock(root / "mlflow.db.lock", timeout=LOCK_SECONDS)


def open_store(uri: str, root: Path) -> Store:
    """Open the store, and make its experiment if there is none."""
    prepare_mlflow()
    from mlflow import MlflowClient

    lock, tags = store_lock(root), EXPERIMENT_TAGS | view_tags()
    with lock:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            # A server decides itself; a database would put artifacts in the folder that this process runs in.
            location = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
            return Store(uri, client, client.create_experiment(EXPERIMENT, location, tags), lock)
        for tag in sorted(tags.keys() - experiment.tags.keys()):  # which is older than the tag
            client.set_experiment_tag(experiment.experiment_id, tag, tags[tag])
        return Store(uri, client, experiment.experiment_id, lock)


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
    known = failures()
    told = os.environ.get("MLFLOW_TRACKING_URI")  # which MLflow itself may set in the block
    try:
        yield
    except known as error:
        usual = (
            "start the server, or unset MLFLOW_TRACKING_URI to log to the local store"
            if told
            else "make it writable, or move it away to start a new one"
        )
        reason = one_line(f"MLflow at {uri} cannot be used ({error})")
        raise StageError(f"{reason}; {remedy or usual}") from error
