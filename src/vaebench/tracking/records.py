"""What a stage tells MLflow: small values that can be sent now, or kept and sent later.

Each carries its own time and the ids of what it is about, so that sending it late, or twice, leaves what
sending it at once would have left.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.pipeline.files import UnusableFileError
from vaebench.pipeline.process import is_dead
from vaebench.tracking.store import PARENT_TAG, STAGE_TAG, Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, LoggedModel

RUNNER_TAG = "vaebench.dvc"  # of an execution: the dvc that runs its newest stage
LAST_STAGE = "render"  # which reads what all others have written
WEIGHTS = "weights_md5"  # the parameter by which a model is found again


@dataclass(frozen=True)
class Metrics:
    """Numbers of a run."""

    run_id: str
    values: dict[str, float]
    step: int
    time: int  # milliseconds since 1970


@dataclass(frozen=True)
class Scores:
    """Numbers of a run that judge a model, which gets them too if the store knows it."""

    run_id: str
    values: dict[str, float]
    time: int  # milliseconds since 1970
    weights: str  # the model: MD5 of its file
    dataset: tuple[str, str] | None  # name and digest of the digits that it was scored on


@dataclass(frozen=True)
class DatasetRead:
    """The data set that a run has read."""

    run_id: str
    name: str
    digest: str
    train_size: int
    test_size: int


@dataclass(frozen=True)
class Artifact:
    """A file, or a folder with all that it holds, that goes into `folder` of the run's artifacts."""

    run_id: str
    path: Path
    folder: str | None


@dataclass(frozen=True)
class Picture:
    """A picture of what a model does, for the run that trained it, if the store knows that one."""

    run_id: str  # that drew it
    path: Path
    weights: str  # the model: MD5 of its file


@dataclass(frozen=True)
class Model:
    """A file of weights that a run has made."""

    run_id: str
    path: Path
    name: str
    params: dict[str, str]


@dataclass(frozen=True)
class End:
    """The end of a stage's run, and of its parent if no other stage is running."""

    run_id: str
    parent_id: str
    status: str
    time: int  # milliseconds since 1970


Record = Metrics | Scores | DatasetRead | Artifact | Picture | Model | End
WITH_FILES = (Artifact, Picture, Model)


def dataset_read(run_id: str, file: Path) -> DatasetRead:
    """Return what the head of a data set's file says of it: `vaebench.data.dataset` would import torch.

    Raises:
        UnusableFileError: the file is no data set.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb"), safe_open(file, framework="numpy") as content:
            about = json.loads((content.metadata() or {})["vaebench"])
            train, test = (content.get_slice(f"{split}_labels").get_shape()[0] for split in ("train", "test"))
        return DatasetRead(run_id, about["name"], about["digest"], train, test)
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise UnusableFileError(file, f"is no data set ({error!r})") from error


def send(store: Store, record: Record) -> None:
    """Send a record. To send it again, after a failure that may have come too late, changes nothing."""
    match record:
        case Metrics():
            _send_metrics(store, record)
        case Scores():
            _send_scores(store, record)
        case DatasetRead():
            with store.lock:  # stages side by side have one parent, which can take a data set once
                store.client.log_inputs(record.run_id, [_dataset_input(record)])
        case Artifact():
            store.client.log_artifact(record.run_id, str(record.path), record.folder)
        case Picture():
            if (model := _find_model(store, record.weights)) and model.source_run_id:
                store.client.log_artifact(model.source_run_id, str(record.path))
        case Model():
            _send_model(store, record)
        case End():
            _send_end(store, record)


def _send_metrics(store: Store, record: Metrics) -> None:
    from mlflow.entities import Metric

    # The store keeps one of those with the same name, value, time and step.
    entries = [Metric(key, value, record.time, record.step) for key, value in record.values.items()]
    store.client.log_batch(record.run_id, metrics=entries, synchronous=True)


def _send_scores(store: Store, record: Scores) -> None:
    from mlflow.entities import Metric

    model = _find_model(store, record.weights)
    number = model.model_id if model else None
    read = record.dataset if model and record.dataset else (None, None)
    entries = [Metric(key, value, record.time, 0, number, *read) for key, value in record.values.items()]
    store.client.log_batch(record.run_id, metrics=entries, synchronous=True)


def _find_model(store: Store, weights: str) -> "LoggedModel | None":
    """Return the newest model with these weights: one that a cached stage left belongs to an earlier run."""
    with_them = f"params.{WEIGHTS} = '{weights}'"
    newest = [{"field_name": "creation_timestamp", "ascending": False}]
    found = store.client.search_logged_models([store.experiment_id], with_them, order_by=newest)
    return next(iter(found), None)


def _dataset_input(record: DatasetRead) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput

    sizes = {"train_size": record.train_size, "test_size": record.test_size}
    profile = {"num_rows": sum(sizes.values()), **sizes}
    source = json.dumps({"uri": record.name})
    return DatasetInput(Dataset(record.name, record.digest, "local", source, profile=json.dumps(profile)))


def _send_model(store: Store, record: Model) -> None:
    from mlflow.entities import LoggedModelOutput

    of_this_run = f"source_run_id = '{record.run_id}' AND name = '{record.name}'"
    models = list(store.client.search_logged_models([store.experiment_id], of_this_run))
    model = next(iter(models), None) or store.client.create_logged_model(
        store.experiment_id, record.name, source_run_id=record.run_id, params=record.params
    )
    store.client.log_model_artifact(model.model_id, str(record.path))
    store.client.finalize_logged_model(model.model_id, "READY")
    outputs = store.client.get_run(record.run_id).outputs
    if outputs is None or model.model_id not in [output.model_id for output in outputs.model_outputs]:
        store.client.log_outputs(record.run_id, [LoggedModelOutput(model.model_id, step=0)])


def _send_end(store: Store, record: End) -> None:
    with store.lock:
        store.client.set_terminated(record.run_id, record.status, record.time)
        end_parent(store, record.parent_id)


def end_parent(store: Store, run_id: str) -> None:
    """End an execution with the worst of its stages' last runs, unless one of them is running or may follow.

    One may follow while the dvc of the newest lives, if all went well and the last of the DAG has not run.
    """
    with store.lock:
        children = store.search(PARENT_TAG, run_id)
        stages = {run.data.tags.get(STAGE_TAG): run.info.status for run in reversed(children)}
        last = stages.values()
        dvc = store.client.get_run(run_id).data.tags.get(RUNNER_TAG)
        over = LAST_STAGE in stages or set(last) - {"FINISHED"} or dvc is None or is_dead(dvc)
        if "RUNNING" not in last and over:
            # One without stages was killed before its first.
            worst = next(
                (bad for bad in ("FAILED", "KILLED") if bad in last), "FINISHED" if children else "KILLED"
            )
            ends = [run.info.end_time for run in children if run.info.end_time is not None]
            store.client.set_terminated(run_id, worst, max(ends, default=None))
