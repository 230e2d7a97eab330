"""Register the best model in MLflow as the champion: `make register`."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaebench.pipeline import paths
from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.files import md5
from vaebench.pipeline.origin import COMMIT_TAG, origin, repository_root
from vaebench.pipeline.params import load_params
from vaebench.pipeline.process import PROCESS_TAG, identity, outcome
from vaebench.pipeline.stage import StageError, require_result, run_stage, say
from vaebench.tracking.leftovers import end_left_overs
from vaebench.tracking.records import dataset_read, send
from vaebench.tracking.store import Store, open_store, store_uri, usable

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MODEL = "vaebench"
ALIAS = "champion"
CONTRACT = """\
The decoder of a variational autoencoder of images. `predict` takes latents (N, latent_dim), float32,
drawn from N(0, I), and returns their images (N, 1, 28, 28), float32 in [0, 1], 1 white.
"""
PACKAGE = Path(__file__).parents[1]
REQUIREMENTS = ("mlflow", "numpy", "safetensors", "torch")  # of what `generator` imports


def main(
    by: Annotated[
        str, typer.Option(help="The criterion: a column of metrics/benchmark.csv that models compete in.")
    ] = "fid",
) -> None:
    """Register the model that is best by a criterion, as models:/vaebench@champion.

    The criterion is the FID of its samples, unless --by names another. A model that is registered by it
    already gets the alias and no second version.
    """
    table_file = require_result(paths.BENCHMARK_CSV)
    data = DATASETS[load_params().data.dataset]

    from vaebench.findings.criteria import CRITERIA, estimate, winners
    from vaebench.findings.fitness import panel_warning
    from vaebench.findings.results import read_benchmark, read_keys
    from vaebench.findings.table import cell, rows_of
    from vaebench.models.vae import load_vae

    criterion = next((each for each in CRITERIA if each.column == by), None)
    if criterion is None:
        raise StageError(f"--by must be one of {', '.join(each.column for each in CRITERIA)}, got {by!r}")
    table = read_benchmark(table_file)
    rows = rows_of(table, "VAE")
    estimates = {dimension: found for dimension, row in rows.items() if (found := estimate(row, by))}
    if not estimates and (warning := panel_warning(table, data)):
        raise StageError(
            f"{table_file}: has no {by}. {warning} Raise classifier.epochs, or choose another --by"
        )
    if not estimates:
        raise StageError(f"{table_file}: has no VAE with {by}; `dvc repro aggregate` writes it")
    best, *tied = winners(estimates, higher=criterion.higher)
    key = next(each for each in read_keys(require_result(paths.TRAININGS_CSV)) if each.latent_dim == best)
    weights = require_result(paths.vae_weights(key))
    load_vae(weights, latent_dim=best)  # which says if it is not what it should be
    tags = {
        "criterion": by,
        "value": cell(rows[best], by, criterion.form),
        "not_beaten": ", ".join(map(str, tied)) or "none",
        **{name: str(value) for name, value in key.params().items()},
        "weights_md5": md5(weights),
    }
    about = (
        f"The VAE with {best} latent dimensions, the best of {', '.join(map(str, estimates))} by "
        f"{criterion.named(data)}: {tags['value']}. Not beaten by it: {tags['not_beaten']}."
    )
    root = repository_root()
    uri = store_uri(root)
    with usable(uri):
        store = open_store(uri, root)
        with store.lock:
            end_left_overs(store, root)
            number = _find(store, tags)
            done = f"is registered already, as version {number}"
            if number is None:
                number = _register(store, weights, best, estimates[best].value, tags, about)
                done = f"is registered, as version {number}"
            store.client.set_registered_model_alias(MODEL, ALIAS, number)
    say(f"{about}\nIt {done}: models:/{MODEL}@{ALIAS}")


def _find(store: Store, tags: dict[str, str]) -> str | None:
    """Return the number of the version that has these tags, if there is one."""
    versions = store.client.search_model_versions(f"name = '{MODEL}'")
    return next((str(each.version) for each in versions if tags.items() <= each.tags.items()), None)


def _register(
    store: Store, weights: Path, latent_dim: int, value: float, tags: dict[str, str], about: str
) -> str:
    """Log the model in a run of its own, make it a version of the registered model, and return its number."""
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(store.uri)
    run_tags = origin() | {
        "mlflow.source.name": "register",
        "mlflow.note.content": about,
        PROCESS_TAG: identity(),
    }
    params = {"criterion": tags["criterion"], "latent_dim": latent_dim}
    run_id = store.create_run("register", run_tags, params)
    with (
        outcome(lambda status: store.client.set_terminated(run_id, status)),
        mlflow.start_run(run_id, log_system_metrics=False),
    ):
        mlflow.log_metric(tags["criterion"], value)
        if paths.DATASET.is_file():
            send(store, dataset_read(run_id, paths.DATASET))
        model = mlflow.pyfunc.log_model(
            name=MODEL,
            loader_module="vaebench.tracking.generator",
            data_path=str(weights),
            code_paths=[str(PACKAGE)],
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
            signature=_signature(latent_dim),
            input_example=np.zeros((1, latent_dim), np.float32),
        )
    if not store.client.search_registered_models(f"name = '{MODEL}'"):
        store.client.create_registered_model(MODEL, description=CONTRACT)
    registered = store.client.create_model_version(
        MODEL,
        source=model.model_uri,
        run_id=run_id,
        tags=tags | {"git_commit": run_tags.get(COMMIT_TAG, "none")},
        description=about,
        model_id=model.model_id,
    )
    return str(registered.version)


def _signature(latent_dim: int) -> "ModelSignature":
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    number = np.dtype(np.float32)
    return ModelSignature(
        Schema([TensorSpec(number, (-1, latent_dim))]),
        Schema([TensorSpec(number, (-1, 1, 28, 28))]),
    )


if __name__ == "__main__":
    run_stage(main)
