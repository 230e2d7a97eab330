"""Runs whose process was killed: the next command that opens the store ends them."""

from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.pipeline.process import PROCESS_TAG, is_dead
from vaebench.pipeline.records import end_parent
from vaebench.pipeline.store import PARENT_TAG, Store
from vaebench.pipeline.unsent import waits

if TYPE_CHECKING:
    from mlflow.entities import Run


def end_left_overs(store: Store, root: Path) -> None:
    """End what killed processes of this host have left running, and executions of which nothing runs then.

    Runs whose records wait in `mlflow.unsent` of the repository `root` are left to a replay.
    """
    with store.lock:
        running = list(store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'"))
        dead = [run for run in running if _is_left_over(run, root)]
        stages = [run for run in dead if PARENT_TAG in run.data.tags]
        for run in stages:
            store.client.set_terminated(run.info.run_id, "KILLED")
        parents = {run.data.tags[PARENT_TAG] for run in stages}
        # Of an execution, the tag names the process that started it, which may have ended long ago.
        parents |= {run.info.run_id for run in dead if PARENT_TAG not in run.data.tags}
        parents -= {run.data.tags.get(PARENT_TAG) for run in running if run not in dead}
        for parent_id in sorted(parents):
            end_parent(store, parent_id)


def _is_left_over(run: "Run", root: Path) -> bool:
    process = run.data.tags.get(PROCESS_TAG)
    return process is not None and is_dead(process) and not waits(root, str(run.info.run_id))
