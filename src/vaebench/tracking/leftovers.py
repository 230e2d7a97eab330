"""Runs whose process was killed: the next command that opens the store ends them."""

from pathlib import Path

from vaebench.pipeline.process import PROCESS_TAG, is_dead
from vaebench.tracking.records import end_parent
from vaebench.tracking.store import PARENT_TAG, Store
from vaebench.tracking.unsent import waits


def end_left_overs(store: Store, root: Path) -> None:
    """End what killed processes of this host have left running, and executions of which nothing runs then.

    Runs whose records wait in `mlflow.unsent` of the repository `root` are left to a replay, and those that
    do not say what their process was to the next run of their stage: see `vaebench.tracking.track`.
    """
    with store.lock:
        found = store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'")
        running = {str(run.info.run_id): run.data.tags for run in found}
        dead = {
            run_id
            for run_id, tags in running.items()
            if PROCESS_TAG in tags and is_dead(tags[PROCESS_TAG]) and not waits(root, run_id)
        }
        stages = {run_id for run_id in dead if PARENT_TAG in running[run_id]}
        for run_id in stages:
            store.client.set_terminated(run_id, "KILLED")
        # Of an execution, the tag names the process that started it, which may have ended as it should.
        parents = {running[run_id][PARENT_TAG] for run_id in stages} | (dead - stages)
        busy = {running[run_id].get(PARENT_TAG) for run_id in running.keys() - dead}
        for run_id in (parents & running.keys()) - busy:
            end_parent(store, run_id)
