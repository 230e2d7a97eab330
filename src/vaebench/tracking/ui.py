"""Show the runs in MLflow's pages: `make ui`."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from vaebench.pipeline.origin import repository_root
from vaebench.pipeline.secrets import bare
from vaebench.pipeline.stage import StageError, run_stage, say
from vaebench.tracking import database
from vaebench.tracking.address import is_database, sqlite_file
from vaebench.tracking.leftovers import end_left_overs
from vaebench.tracking.locks import held
from vaebench.tracking.store import (
    EXPERIMENT,
    EXPERIMENT_NAME_TAG,
    FOREIGN,
    STAGE_TAG,
    deleted,
    find_experiment,
    open_client,
    open_store,
    store_lock,
    store_uri,
    usable,
)
from vaebench.tracking.views import BENCHMARK, CURVES

HOST = "127.0.0.1"
TABLE_STAGE = "aggregate"  # which ends with a table of all models


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the pages, on this machine.")] = 5000,
) -> None:
    """Print links to the runs, and show those of a database to this machine alone."""
    root = repository_root()
    uri = store_uri(root)
    remote = not is_database(uri)
    if not remote:
        _require_free(port)
    address = bare(uri).rstrip("/") if remote else f"http://{HOST}:{port}"
    found, benchmark = _recorded(uri, root)
    if found:
        say(f"The executions:      {runs_page(address, found, BENCHMARK)}")
        say(f"The training curves: {runs_page(address, found, CURVES)}&compareRunsMode=CHART")
    else:
        say(f"Nothing is recorded yet; what `dvc repro` runs will be at {address}")
    if not benchmark:
        say("The committed benchmark is not recorded here: `make record` adds it")
    if not remote:
        _serve(uri, port)


def runs_page(address: str, experiment_id: str, view: str) -> str:
    """Return the page of the runs in one of `views`."""
    # Without the workflow's type, MLflow shows pages for language models.
    query = f"workflowType=machine_learning&viewStateShareKey={view}"
    return f"{address}/#/experiments/{experiment_id}/runs?{query}"


def _recorded(uri: str, root: Path) -> tuple[str | None, bool]:
    """Return the number of the experiment if it has runs, and whether one is of the finished benchmark."""
    if file := sqlite_file(uri):  # without MLflow, which takes seconds to load
        with held(store_lock(root)):
            database.prepare(file, root, EXPERIMENT)
        found = database.find_experiment(file, EXPERIMENT, STAGE_TAG, TABLE_STAGE, EXPERIMENT_NAME_TAG)
        if found is None:
            return None, False
        if found.stage == "deleted":
            raise StageError(deleted(uri, found.number))
        if found.running:  # which it may not be: no stage has come since to say so
            with usable(uri):
                end_left_overs(open_store(uri, root), root)
        return found.number if found.runs else None, found.finished > 0
    with usable(uri):
        with held(store_lock(root)):
            client = open_client(uri, root)
        experiment = find_experiment(client, uri)
        if experiment and client.search_runs([experiment.experiment_id], max_results=1):
            finished = f"tags.`{STAGE_TAG}` = '{TABLE_STAGE}' AND attributes.status = 'FINISHED'"
            tables = client.search_runs([experiment.experiment_id], finished)
            done = any(EXPERIMENT_NAME_TAG not in run.data.tags for run in tables)
            return str(experiment.experiment_id), done
    return None, False


def _require_free(port: int) -> None:
    with socket.socket() as wanted:
        wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            wanted.bind((HOST, port))
        except OSError as error:
            raise StageError(
                f"port {port} cannot be had ({error.strerror}); name another: make ui PORT=5001"
            ) from error


def _serve(uri: str, port: int) -> None:
    """Become MLflow's server of a database. Whose name is not in the list of hosts is answered 403."""
    for key in FOREIGN:
        os.environ.pop(key, None)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # which may hold a password: other users see a command line
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    own = f"localhost,localhost:*,{HOST},{HOST}:*"
    options = ["--host", HOST, "--port", str(port), "--workers", "1", "--allowed-hosts", own]
    options += ["--app-name", EXPERIMENT]  # see vaebench.tracking.pages
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *options])  # noqa: S606


if __name__ == "__main__":
    run_stage(main)
