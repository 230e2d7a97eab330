"""What the MLflow store of this repository knows of stages that finished."""

from typing import TYPE_CHECKING

from vaebench.pipeline.origin import repository_root
from vaebench.tracking.address import sqlite_file
from vaebench.tracking.locks import held
from vaebench.tracking.store import PARENT_TAG, find_experiment, open_client, store_lock

if TYPE_CHECKING:
    from mlflow.entities import Run


def finished_stages(uri: str) -> "list[Run]":
    """Return the runs of stages that finished, the newest first; none where there is no store.

    Args:
        uri: of the store: see `vaebench.tracking.store.store_uri`.
    """
    if (file := sqlite_file(uri)) and not file.is_file():
        return []
    root = repository_root()
    with held(store_lock(root)):
        client = open_client(uri, root)
    experiment = find_experiment(client, uri)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    return [run for run in runs if PARENT_TAG in run.data.tags and run.info.status == "FINISHED"]
