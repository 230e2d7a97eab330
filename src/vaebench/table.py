"""The table of the benchmark: one row a dimension, beside the report's numbers."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

LOSSES = ("kl_loss", "reconstruction_loss", "combined_loss")
COLUMNS = (
    "latent_dim",
    *LOSSES,
    *(f"test_{loss}" for loss in LOSSES),
    *(f"reproduced_{loss}" for loss in LOSSES),
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
    "recipe",
    "epochs",
    "precision",
    "threads",
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


def benchmark_table(
    models: Iterable[dict[str, Any]], reproductions: Iterable[dict[str, Any]], report: pd.DataFrame
) -> pd.DataFrame:
    """Return one row a model, by rising dimension.

    Args:
        models: what `train_vae` and `evaluate` wrote of each model, merged: `latent_dim` and every column
            that is neither the report's nor the reproduction's.
        reproductions: what `reproduce_report` wrote of each of its models: `latent_dim` and the losses.
        report: the report's table, likewise.

    Returns:
        The `COLUMNS`; the `report_` and `reproduced_` ones are empty for a dimension that the report did not
        train.
    """
    table = pd.DataFrame(models).sort_values("latent_dim")
    for prefix, others in (("reproduced", pd.DataFrame(reproductions)), ("report", report)):
        named = {loss: f"{prefix}_{loss}" for loss in LOSSES}
        table = table.merge(
            others[["latent_dim", *LOSSES]].rename(columns=named), on="latent_dim", how="left"
        )
    return table[list(COLUMNS)]


def headline(table: pd.DataFrame, latent_dim: int) -> dict[str, float]:
    """Return the headline numbers of one model of the table."""
    row = table.loc[table["latent_dim"] == latent_dim, list(HEADLINE)].iloc[0]
    return {str(name): float(value) for name, value in row.items()}


def to_markdown(table: pd.DataFrame) -> str:
    """Return the table for reading: the losses beside the report's and its recipe's, and the scores."""
    header = [
        "latent dim",
        "KL",
        "reconstruction",
        "combined",
        "combined, test set",
        "combined by the report's recipe",
        "combined in the report",
        "inception score (95 %)",
        "reconstructions read right",
        "training",
    ]
    lines = ["| " + " | ".join(header) + " |", "|" + "---:|" * len(header)]
    for row in table.to_dict("records"):
        low, high = row["inception_score_low"], row["inception_score_high"]
        cells = [
            f"{row['latent_dim']}",
            *(f"{row[loss]:.2f}" for loss in LOSSES),
            f"{row['test_combined_loss']:.2f}",
            *(_or_dash(row[f"{source}_combined_loss"]) for source in ("reproduced", "report")),
            f"{row['inception_score']:.2f} ({low:.2f}–{high:.2f})",
            f"{row['reconstruction_accuracy']:.1%}",
            f"{row['training_seconds']:.0f} s",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _or_dash(value: float) -> str:
    return f"{value:.2f}" if pd.notna(value) else "–"
