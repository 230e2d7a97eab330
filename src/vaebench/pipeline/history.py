"""What the MLflow store of this repository knows of stages that finished."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.pipeline.tracking import EXPERIMENT, PARENT_TAG, prepare_mlflow

if TYPE_CHECKING:
    from mlflow.entities import Run

LOCAL_STORE = Path("mlflow.db")


def store_uri() -> str:
    """Return the store to read: `MLFLOW_TRACKING_URI`, or `mlflow.db` here; empty where there is none."""
    return os.environ.get("MLFLOW_TRACKING_URI") or (
        f"sqlite:///{LOCAL_STORE}" if LOCAL_STORE.is_file() else ""
    )


def finished_stages(uri: str) -> "list[Run]":
    """Return the runs of stages that finished, the newest first.

    Args:
        uri: of the store; of an empty one there are none.
    """
    if not uri:
        return []
    prepare_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    return [run for run in runs if PARENT_TAG in run.data.tags and run.info.status == "FINISHED"]
