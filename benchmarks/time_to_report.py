"""Epochs until the combined training loss is at or below the report's, by recipe, dimension and seed.

The training loss of an epoch is the mean over its batches, while the weights change; after the last epoch,
that of the whole training set counts too. The fast recipe is trained here, for half of the report's epochs;
the report's was trained by the pipeline, for its ten, and where that is not enough it is trained here for
longer, until it is there. What an epoch takes is in benchmarks/throughput.csv.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from vaebench.findings.results import Reproduction, read_curve, read_report, read_result
from vaebench.pipeline import paths
from vaebench.pipeline.files import write_csv
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import Params, RecipeName, load_params
from vaebench.pipeline.stage import require, run_stage, say

PATH = Path("benchmarks/time_to_report.csv")


def main(
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the fast recipe.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds, from 0.")] = 3,
    longer: Annotated[
        int, typer.Option(min=1, help="Epochs at most of the report's recipe, where its ten are not enough.")
    ] = 40,
    jobs: Annotated[int, typer.Option(min=1, help="Models at a time, one thread each.")] = 2,
) -> None:
    """Write benchmarks/time_to_report.csv: a row a model."""
    params = load_params()
    first = params.seeds[0]
    require(paths.DATASET)
    table = read_report(paths.REPORT)
    report: dict[int, float] = dict(zip(table["latent_dim"], table["combined_loss"], strict=True))
    rows = []
    for latent_dim, target in report.items():
        key = ModelKey(latent_dim, first)
        curve = read_curve(require(paths.reproduction_curve(key)), tested=False)
        after = read_result(require(paths.reproduction(key)), Reproduction, key)["combined_loss"]
        rows.append(_row("report", latent_dim, first, curve["combined_loss"], after, target))
    late = [dimension for dimension, row in zip(report, rows, strict=True) if not row["epochs_to_report"]]
    rows = [row for row in rows if row["epochs_to_report"]]
    models: list[tuple[RecipeName, int, int, int]]
    models = [("report", longer, first, latent_dim) for latent_dim in late]
    models += [("fast", epochs, seed, latent_dim) for seed, latent_dim in product(range(seeds), report)]
    targets = [report[latent_dim] for *_, latent_dim in models]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        trained = pool.map(partial(_train, params), *zip(*models, strict=True), targets)
        for (recipe, _, seed, latent_dim), (losses, after) in zip(models, trained, strict=True):
            rows.append(_row(recipe, latent_dim, seed, losses, after, report[latent_dim]))
            say(", ".join(f"{key}: {value}" for key, value in rows[-1].items()))
    rows.sort(key=lambda row: row["recipe"] == "fast")
    write_csv(PATH, rows)


def _train(
    params: Params, recipe: RecipeName, epochs: int, seed: int, latent_dim: int, target: float
) -> tuple[list[float], float]:
    """Return the training loss of each epoch and, after the last, that of the whole training set.

    The report's recipe, whose rate is constant, stops at the epoch that reaches the target.
    """
    import torch

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.models.losses import mean_losses
    from vaebench.models.objective import load_objective
    from vaebench.models.vae import build_vae
    from vaebench.training.train_vae import train_vae

    torch.set_num_threads(1)
    train = load_dataset(paths.DATASET).train.images
    workers = Workers(select_device(), precision=params.precision)
    vae = build_vae(latent_dim, seed).to(workers.device)
    settings = getattr(params.vae, recipe).model_dump() | {"epochs": epochs}
    losses = []
    for epoch in train_vae(
        vae, train, objective=load_objective("elbo"), **settings, seed=seed, workers=workers
    ):
        losses.append(epoch.train.combined_loss)
        if recipe == "report" and losses[-1] <= target:
            break
    generator = torch.Generator().manual_seed(seed)
    return losses, mean_losses(vae, train, generator, workers).combined_loss


def _row(
    recipe: str, latent_dim: int, seed: int, losses: Iterable[float], after: float, target: float
) -> dict[str, object]:
    *earlier, last = losses
    reached = [epoch for epoch, loss in enumerate([*earlier, min(last, after)], 1) if loss <= target]
    return {
        "recipe": recipe,
        "latent_dim": latent_dim,
        "seed": seed,
        "trained_epochs": len(earlier) + 1,
        "epochs_to_report": reached[0] if reached else "",
        "combined_loss": round(after, 3),
        "report_combined_loss": target,
    }


if __name__ == "__main__":
    run_stage(main)
