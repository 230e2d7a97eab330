"""What the MLflow store of this repository knows of stages that finished."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.pipeline.origin import repository_root
from vaebench.tracking.address import sqlite_file
from vaebench.tracking.locks import held
from vaebench.tracking.store import PARENT_TAG, STAGE_TAG, find_experiment, open_client, store_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

GATHERS = "aggregate"  # the stage that logs the numbers of an execution


def finished_stages(uri: str) -> "list[Run]":
    """Return the runs of stages that finished, the newest first; none where there is no store.

    Args:
        uri: of the store: see `vaebench.tracking.store.store_uri`.
    """
    client = _client(uri)
    experiment = find_experiment(client, uri) if client else None
    if client is None or experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    return [run for run in runs if PARENT_TAG in run.data.tags and run.info.status == "FINISHED"]


def attach(uri: str, file: Path, numbers: Mapping[str, float]) -> None:
    """Add a file to the artifacts of the newest execution that came to these numbers, if there is one.

    Args:
        uri: of the store.
        file: what to add, in place of one of that name.
        numbers: metrics of the execution.
    """
    client = _client(uri)
    if client is None:
        return
    for run in finished_stages(uri):
        if run.data.tags[STAGE_TAG] == GATHERS:
            parent = client.get_run(run.data.tags[PARENT_TAG])
            if numbers.items() <= parent.data.metrics.items():
                client.log_artifact(parent.info.run_id, str(file))
                return


def _client(uri: str) -> "MlflowClient | None":
    """Return a client of the store; None where there is no store."""
    if (file := sqlite_file(uri)) and not file.is_file():
        return None
    root = repository_root()
    with held(store_lock(root)):
        return open_client(uri, root)
