"""The table of the benchmark: one row a dimension, beside the report's numbers."""

from collections.abc import Iterable

import pandas as pd

LOSSES = ("kl_loss", "reconstruction_loss", "combined_loss")
COLUMNS = (
    "latent_dim",
    *LOSSES,
    *(f"test_{loss}" for loss in LOSSES),
    *(f"report_{loss}" for loss in LOSSES),
    "inception_score",
    "inception_score_low",
    "inception_score_high",
    "inception_score_mean_exp",
    "test_images_inception_score",
    "test_images_inception_score_low",
    "test_images_inception_score_high",
    "reconstruction_accuracy",
    "training_seconds",
    "images_per_second",
    "epochs",
    "parameters",
)
# What stands for a model where there is room for a dozen numbers.
HEADLINE = (
    *LOSSES,
    *(f"test_{loss}" for loss in LOSSES),
    "inception_score",
    "inception_score_low",
    "inception_score_high",
    "reconstruction_accuracy",
    "training_seconds",
)


def benchmark_table(models: Iterable[dict[str, float]], report: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model, by rising dimension.

    Args:
        models: what `train_vae` and `evaluate` wrote of each model, merged: `latent_dim` and every column
            that is not the report's.
        report: the report's table: `latent_dim` and the losses.

    Returns:
        The `COLUMNS`; the `report_` ones are empty for a dimension that the report did not train.
    """
    named = report.rename(columns={loss: f"report_{loss}" for loss in LOSSES})
    rows = pd.DataFrame(models).sort_values("latent_dim")
    return rows.merge(named, on="latent_dim", how="left")[list(COLUMNS)]


def headline(table: pd.DataFrame, latent_dim: int) -> dict[str, float]:
    """Return the headline numbers of one model of the table."""
    row = table.loc[table["latent_dim"] == latent_dim, list(HEADLINE)].iloc[0]
    return {str(name): float(value) for name, value in row.items()}


def to_markdown(table: pd.DataFrame) -> str:
    """Return the table for reading: training losses beside the report's, and the scores."""
    header = ["latent dim"]
    for loss in ("KL", "reconstruction", "combined"):
        header += [loss, f"report's {loss}"]
    header += ["test combined", "inception score (95 %)", "reconstructions read right", "training"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---:|" * len(header)]
    for row in table.to_dict("records"):
        low, high = row["inception_score_low"], row["inception_score_high"]
        cells = [f"{row['latent_dim']}"]
        for loss in LOSSES:
            known = pd.notna(row[f"report_{loss}"])
            cells += [f"{row[loss]:.2f}", f"{row[f'report_{loss}']:.2f}" if known else "–"]
        cells += [
            f"{row['test_combined_loss']:.2f}",
            f"{row['inception_score']:.2f} ({low:.2f}–{high:.2f})",
            f"{row['reconstruction_accuracy']:.1%}",
            f"{row['training_seconds']:.0f} s",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
