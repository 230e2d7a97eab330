"""What a stage does, recorded in MLflow.

One execution of the pipeline is one parent run, and each of its stages is a child of that run. Stages are
separate processes that may start together, so they find their parent by a tag, under a file lock.
"""

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

from vaebench.pipeline import paths
from vaebench.pipeline.files import UnusableFileError, md5
from vaebench.pipeline.origin import COMMIT_TAG, git, origin, repository_root, why_no_commit
from vaebench.pipeline.params import load_params
from vaebench.pipeline.process import PROCESS_TAG, identity, outcome, running_dvc
from vaebench.pipeline.secrets import one_line
from vaebench.pipeline.stage import say
from vaebench.tracking.leftovers import end_left_overs
from vaebench.tracking.records import (
    RUNNER_TAG,
    WEIGHTS,
    Artifact,
    DatasetRead,
    End,
    Metrics,
    Model,
    Picture,
    Record,
    Scores,
    dataset_read,
    send,
)
from vaebench.tracking.store import (
    EXPERIMENT_NAME_TAG,
    PARENT_TAG,
    PIPELINE,
    SOURCE_TAG,
    STAGE_TAG,
    Store,
    failures,
    open_store,
    store_uri,
    usable,
)
from vaebench.tracking.unsent import Outbox

if TYPE_CHECKING:
    from vaebench.data.dataset import Dataset
    from vaebench.tracking.strip import Strip

StageParams = Mapping[str, str | int | float]

EXECUTION_TAG = "vaebench.execution"
# Above the parent run in MLflow's pages.
DESCRIPTION = """\
One execution of the pipeline: its parameters are `params.yaml`, and each stage that ran is a child run.

Metrics: `d5/fid` is that of 5 dimensions, `fid` that of the model under study (`latent_dim`).
The tables are artifacts here, the pictures those of `render`, the curves metrics of each `train_vae`.
"""


@contextmanager
def track(
    stage: str,
    *,
    params: StageParams,
    device: str = "cpu",
) -> Iterator["StageRun"]:
    """Record the block as one run: finished, failed on an error, killed on Ctrl-C, SIGTERM or the end of dvc.

    Runs go to the server or database in `MLFLOW_TRACKING_URI`, else to `mlflow.db` and `mlartifacts/` in the
    repository, which for a queued experiment is the repository that it was queued in.

    Args:
        stage: the stage's name with its matrix item, such as `train_vae@5`.
        params: the parameters that the stage uses.
        device: where it computes.

    Raises:
        StageError: the store cannot be opened. A store that fails later costs one warning, never the stage:
            the rest of the record is kept for `vaebench.tracking.replay`.
    """
    run = _open_run(stage, params, device)
    with outcome(run.close):
        yield run


class StageRun:
    """The record of one stage. Its methods do not fail: see `track`."""

    def __init__(self, store: Store, root: Path, parent_id: str, run_id: str) -> None:
        self._store = store
        self._root = root
        self._parent_id = parent_id
        self._run_id = run_id
        self._dataset: DatasetRead | None = None
        self._outbox: Outbox | None = None  # in use once the store has failed
        self._lost = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at a step such as an epoch if they have one."""
        self._record(_metrics(self._run_id, metrics, step or 0))

    def log_scores(self, weights: Path, metrics: Mapping[str, float]) -> None:
        """Record numbers that judge a model, by its file of weights, on that model too."""
        values = {key: float(value) for key, value in metrics.items()}
        scored_on = (self._dataset.name, self._dataset.digest) if self._dataset else None
        self._record(Scores(self._run_id, values, now(), md5(weights), scored_on))

    def log_headline(self, metrics: Mapping[str, float]) -> None:
        """Record numbers that stand for the whole execution, on the parent run."""
        self._record(_metrics(self._parent_id, metrics, 0))

    def log_dataset(self, dataset: "Dataset") -> None:
        """Record which data set the stage read, on its parent too."""
        sizes = (len(dataset.train), len(dataset.test))
        self._record_dataset(DatasetRead(self._run_id, dataset.name, dataset.digest, *sizes))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Record a file, or a folder with all that it holds, in `folder` of the run's artifacts."""
        self._record(Artifact(self._run_id, path, folder))

    def log_strip(self, strip: "Strip") -> None:
        """Record what a model made of the same digits, epoch after epoch."""
        with TemporaryDirectory() as folder:
            path = Path(folder, "epochs.png")
            strip.save(path)
            self.log_artifact(path)

    def log_table(self, path: Path) -> None:
        """Record a file that stands for the whole execution, on the parent run too."""
        for run_id in (self._run_id, self._parent_id):
            self._record(Artifact(run_id, path, None))

    def log_picture(self, path: Path, weights: Path) -> None:
        """Record a picture of a model on the run that trained it, too."""
        if weights.is_file():
            self._record(Picture(self._run_id, path, md5(weights)))

    def log_model(self, weights: Path, name: str, params: StageParams) -> None:
        """Record a file of weights as a model that this run has made; the name has none of `/:.%"'`."""
        texts = {key: str(value) for key, value in {**params, WEIGHTS: md5(weights)}.items()}
        self._record(Model(self._run_id, weights, name, texts))

    def close(self, status: str) -> None:
        """End the run, and the parent with it if no other stage is running or may follow.

        A stage that has read no data set works on what others made of the one that is there.
        """
        if not self._dataset and paths.DATASET.is_file():
            try:
                self._record_dataset(dataset_read(self._run_id, paths.DATASET))
            except (UnusableFileError, OSError) as error:
                say(f"warning: {error}; the record names no data set")
        self._record(End(self._run_id, self._parent_id, status, now()))
        if self._outbox:
            self._outbox.close()

    def _record_dataset(self, read: DatasetRead) -> None:
        self._dataset = read
        self._record(read)
        self._record(replace(read, run_id=self._parent_id))

    def _record(self, record: Record) -> None:
        """Send a record or, from the first failure on, keep it."""
        if self._lost:
            return
        if not self._outbox:
            try:
                send(self._store, record)
            except failures() as error:
                reason = one_line(f"MLflow at {self._store.uri} failed ({error})")
                say(f"warning: {reason}; the rest of the record is kept: `make replay` sends it")
            else:
                return
        try:
            self._outbox = self._outbox or Outbox(self._root, self._store, self._run_id)
            self._outbox.keep(record)
        except OSError as error:
            self._lost = True
            say(f"warning: it cannot be kept ({one_line(str(error))}); the stage goes on without its record")


def _metrics(run_id: str, metrics: Mapping[str, float], step: int) -> Metrics:
    return Metrics(run_id, {key: float(value) for key, value in metrics.items()}, step, now())


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return int(time.time() * 1000)


def flat(section: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return the values of nested sections by the names that `dvc exp run -S` takes, as `vae.fast.epochs`."""
    found: dict[str, object] = {}
    for name, value in section.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


@dataclass(frozen=True)
class _Execution:
    """One execution of the pipeline, as each of its stages sees it."""

    key: str  # equal in all of them; safe to quote in a query
    name: str
    tags: dict[str, str]
    params: dict[str, object]


def _open_run(stage: str, params: StageParams, device: str) -> StageRun:
    root = repository_root()
    uri = store_uri(root)
    execution = _execution(root)
    tags = execution.tags | {STAGE_TAG: stage, SOURCE_TAG: sys.argv[0], "device": device}
    dvc = running_dvc()
    with usable(uri):
        store = open_store(uri, root)
        with store.lock:
            end_left_overs(store, root)
            parent_id, name = _open_parent(store, execution, stage)
            if dvc:
                store.client.set_tag(parent_id, RUNNER_TAG, identity(dvc))
            run_id = store.create_run(child_name(name, stage), tags | {PARENT_TAG: parent_id}, params)
    return StageRun(store, root, parent_id, run_id)


def _open_parent(store: Store, execution: _Execution, stage: str) -> tuple[str, str]:
    """Return id and name of the run of this execution of the pipeline, which it starts if there is none."""
    for parent in store.search(EXECUTION_TAG, execution.key)[:1]:
        parent_id = str(parent.info.run_id)
        children = store.search(PARENT_TAG, parent_id)
        earlier = [run for run in children if run.data.tags.get(STAGE_TAG) == stage]
        for run in earlier:
            if run.info.status == "RUNNING" and PROCESS_TAG not in run.data.tags:  # by an older version
                store.client.set_terminated(run.info.run_id, "KILLED")
        # An execution finishes a stage once: more than that is the next one.
        if all(run.info.status != "FINISHED" for run in earlier):
            store.client.update_run(parent_id, status="RUNNING")
            return parent_id, str(parent.info.run_name)
    own = {
        EXECUTION_TAG: execution.key,
        SOURCE_TAG: PIPELINE,
        "mlflow.note.content": DESCRIPTION,
    }
    if COMMIT_TAG not in execution.tags:
        say(f"warning: the record has no commit, as Git does not tell it ({why_no_commit()})")
    name = store.unused_name(execution.name)
    return store.create_run(name, execution.tags | own, execution.params), name


def child_name(execution: str, stage: str) -> str:
    """Return the name of a stage's run: a list of narrow columns shows its beginning alone."""
    return f"{stage} · {execution.removeprefix('repro ')}"


def _execution(root: Path) -> _Execution:
    """Return the execution that this stage is part of.

    It has the parameters of one file: they tell it apart even where Git tells nothing.
    """
    tags = origin() | {PROCESS_TAG: identity()}
    params = flat(load_params().model_dump(exclude_none=True))
    values = json.dumps(params, sort_keys=True)
    commit = tags.get(COMMIT_TAG, "")
    if name := os.environ.get("DVC_EXP_NAME"):
        key = f"exp:{os.environ.get('DVC_EXP_BASELINE_REV', '')}:{quote(name)}:{_digest(values.encode())}"
        return _Execution(key, name, tags | {EXPERIMENT_NAME_TAG: name}, params)
    place = f"{platform.node()}:{root}"  # a server may see the same code from two places
    # What `git diff` prints depends on the user's settings.
    tracked = git("ls-files", "-z", "--", "dvc.yaml", "params.yaml", "src", "stages").split("\0")
    contents = [Path(name).read_bytes() for name in tracked if Path(name).is_file()]
    key = f"repro:{_digest(*(text.encode() for text in (place, commit, values)), *contents)}"
    return _Execution(key, f"repro {commit[:7]}".strip(), tags, params)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]
