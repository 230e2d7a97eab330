"""What the MLflow store of this repository knows of stages that finished."""

from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.pipeline.store import EXPERIMENT, PARENT_TAG, prepare_mlflow

if TYPE_CHECKING:
    from mlflow.entities import Run


def finished_stages(uri: str) -> "list[Run]":
    """Return the runs of stages that finished, the newest first; none where there is no store.

    Args:
        uri: of the store: see `vaebench.pipeline.store.store_uri`.
    """
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return []
    prepare_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    return [run for run in runs if PARENT_TAG in run.data.tags and run.info.status == "FINISHED"]
