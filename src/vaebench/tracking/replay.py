"""Send to MLflow what stages could not send: `make replay`."""

import os
from collections import Counter
from pathlib import Path

from filelock import Timeout

from vaebench.pipeline.origin import repository_root
from vaebench.pipeline.secrets import one_line
from vaebench.pipeline.stage import StageError, run_stage, say
from vaebench.tracking.address import SETTING, checked, sqlite_file
from vaebench.tracking.leftovers import end_left_overs
from vaebench.tracking.locks import held
from vaebench.tracking.records import End, end_parent, send
from vaebench.tracking.store import Store, failures, open_client, store_lock, store_uri, usable
from vaebench.tracking.unsent import FOLDER, REFUSED, UnreadableError, Unsent, find_unsent

# What MLflow says of a record that it will not take tomorrow either, of a run that was deleted for example.
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
ARTIFACT_REFUSALS = (400, 404, 413)  # as HTTP says it of a file; 413: it is too large


def main() -> None:
    """Send what mlflow.unsent holds to the store that it was meant for, and delete what was sent.

    What is refused for good is set aside in mlflow.unsent/refused, with the reason, and the rest is sent.
    MLFLOW_TRACKING_URI, if set, says where that store is now, or with which password.
    """
    root = repository_root()
    left = find_unsent(root)
    if not left:
        say("nothing to replay")
    replay = _Replay(root)
    for unsent in left:
        try:
            with unsent.lock:
                replay.send_all(unsent)
        except Timeout:
            say(f"run {unsent.run_id} is still going on: replay it when it has ended")
    if replay.refused:
        replay.problems.append(
            f"{replay.refused} records are refused and set aside in {REFUSED}, with the reasons; "
            f"a folder that is moved back to {FOLDER} is tried again"
        )
    if replay.problems:
        raise StageError("; ".join(replay.problems))


class _Replay:
    """A replay of several runs, in which one that fails does not keep the others from their stores."""

    def __init__(self, root: Path) -> None:
        self.problems: list[str] = []
        self.refused = 0
        self._root = root
        self._told = store_uri(root) if os.environ.get(SETTING) else None
        self._away: set[str] = set()  # stores that do not answer

    def send_all(self, unsent: Unsent) -> None:
        """Send the records of a run; set aside what is refused."""
        try:
            meant_for, experiment_id = unsent.store()
            uri = self._told or checked(meant_for, self._root)
        except (UnreadableError, StageError) as error:
            self._say_refused(unsent, Counter({str(error): len(unsent.files())}))
            unsent.set_all_aside(str(error))
            return
        if (file := sqlite_file(uri)) and not file.is_file():  # the repository's own, before it was moved
            uri = store_uri(self._root)
        if uri in self._away:
            return
        refused = Counter[str]()
        remedy = f"start the server and replay again: {FOLDER} keeps what is left"
        try:
            with usable(uri, remedy):
                self._send_to(_open(uri, experiment_id, self._root), unsent, refused)
        except StageError as error:
            self.problems.append(str(error))
            if not _answers(uri, experiment_id, self._root):
                self._away.add(uri)
        self._say_refused(unsent, refused)

    def _send_to(self, store: Store, unsent: Unsent, refused: Counter[str]) -> None:
        sent = 0
        for file in unsent.files():
            if reason := _send(store, unsent, file):
                unsent.set_aside(file, reason)
                refused[reason] += 1
            else:
                file.unlink()
                sent += 1
        unsent.delete()
        end_left_overs(store, self._root)  # a stage may have been killed before its last record
        say(f"replayed run {unsent.run_id}: {sent} records")

    def _say_refused(self, unsent: Unsent, refused: Counter[str]) -> None:
        self.refused += refused.total()
        for reason, count in refused.items():
            say(f"refused of run {unsent.run_id}: {count} records ({reason})")


def _open(uri: str, experiment_id: str, root: Path) -> Store:
    """Open a store as it is: a new one, made where the database was moved away, would refuse everything."""
    if (file := sqlite_file(uri)) and not file.is_file():
        raise FileNotFoundError("there is no such database")
    lock = store_lock(root)
    with held(lock):
        return Store(uri, open_client(uri, root), experiment_id, lock)


def _send(store: Store, unsent: Unsent, file: Path) -> str | None:
    """Send a record; return why it is refused, if it is."""
    try:
        record = unsent.read(file)
    except UnreadableError as error:
        return str(error)
    known: tuple[type[Exception], ...] = (*failures(), TypeError, ValueError)
    try:
        send(store, record)
    except known as error:
        if not _is_refusal(error):
            raise
        if isinstance(record, End):
            _end_parent(store, record.parent_id)
        return one_line(str(error))
    return None


def _end_parent(store: Store, run_id: str) -> None:
    """End an execution that has a stage less, unless it is gone too."""
    try:
        end_parent(store, run_id)
    except failures() as error:
        if not _is_refusal(error):
            raise


def _is_refusal(error: Exception) -> bool:
    """Return whether it is a no for good; a server that is away, overloaded or locked does not say that."""
    if isinstance(error, OSError):
        return getattr(getattr(error, "response", None), "status_code", None) in ARTIFACT_REFUSALS
    code = getattr(error, "error_code", None)
    return code in REFUSALS if code else isinstance(error, TypeError | ValueError)


def _answers(uri: str, experiment_id: str, root: Path) -> bool:
    try:
        _open(uri, experiment_id, root).client.get_experiment(experiment_id)
    except failures() as error:
        return _is_refusal(error)
    return True


if __name__ == "__main__":
    run_stage(main)
