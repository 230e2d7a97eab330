"""Send to MLflow what stages could not send: `make replay`."""

import os

from filelock import Timeout

from vaebench.pipeline.address import checked, sqlite_file
from vaebench.pipeline.locks import held
from vaebench.pipeline.records import send
from vaebench.pipeline.stage import run_stage, say
from vaebench.pipeline.store import Store, open_client, repository_root, store_lock, store_uri, usable
from vaebench.pipeline.unsent import FOLDER, Unsent, find_unsent


def main() -> None:
    """Send what mlflow.unsent holds to the store that it was meant for, and delete what was sent.

    MLFLOW_TRACKING_URI, if set, says where that store is now, or with which password.
    """
    left = find_unsent(repository_root())
    if not left:
        say("nothing to replay")
    for unsent in left:
        try:
            with unsent.lock:
                count = _replay(unsent)
        except Timeout:
            say(f"run {unsent.run_id} is still going on: replay it when it has ended")
        else:
            say(f"replayed run {unsent.run_id}: {count} records")


def _replay(unsent: Unsent) -> int:
    """Send the records of a run, delete them, and return how many they were."""
    root = repository_root()
    uri = store_uri(root) if os.environ.get("MLFLOW_TRACKING_URI") else checked(unsent.uri, root)
    if (file := sqlite_file(uri)) and not file.is_file():  # the repository's own, before it was moved
        uri = store_uri(root)
    remedy = f"start the server and replay again: {FOLDER} keeps what is left"
    with usable(uri, remedy):
        lock = store_lock(root)
        with held(lock):
            store = Store(uri, open_client(uri, root), unsent.experiment_id, lock)
        count = 0
        for record in unsent.records():
            send(store, record)
            count += 1
    unsent.delete()
    return count


if __name__ == "__main__":
    run_stage(main)
