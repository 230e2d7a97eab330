"""What models are judged by, and how two of them compare when their scores have intervals."""

from collections.abc import Mapping
from statistics import mean
from typing import NamedTuple

import pandas as pd

from vaebench.findings.table import Record
from vaebench.pipeline.datasets import DatasetEntry


class Criterion(NamedTuple):
    """A score that says of two models which one is better."""

    group: str  # what it is about
    name: str
    column: str  # of the benchmark's table
    form: str  # of its numbers: see `vaebench.findings.table.cell`
    higher: bool  # whether higher is better

    def named(self, data: DatasetEntry) -> str:
        """Return its name where the images are those of `data`: here they are digits."""
        return self.name.replace("digits", data.nouns)


# Left out: class overlap and marginal KL, about which at high dimensions the number of test images decides;
# the bound at the fitted σ², looser the more dimensions; density, higher where samples huddle.
CRITERIA = (
    Criterion("fit", "combined loss, test set", "test_combined_loss", ".2f", higher=False),
    Criterion("fit", "bound on −log p(x), σ² = 1/2", "nll_bound", ".1f", higher=False),
    Criterion(
        "reconstruction", "squared error, test set", "test_reconstruction_loss_at_mean", ".2f", higher=False
    ),
    Criterion("reconstruction", "reconstructions read right", "reconstruction_accuracy", ".1%", higher=True),
    Criterion("samples", "inception score", "inception_score", ".2f", higher=True),
    Criterion("samples", "FID", "fid", "", higher=False),
    Criterion("samples", "KID", "kid", "", higher=False),
    Criterion("samples", "precision", "precision", ".3f", higher=True),
    Criterion("samples", "recall", "recall", ".3f", higher=True),
    Criterion("samples", "coverage", "coverage", ".3f", higher=True),
    Criterion("samples", "legible samples", "legible_share", ".1%", higher=True),
    Criterion("latent space", "legible between digits", "legible_path_share", ".1%", higher=True),
    Criterion("latent space", "k-NN accuracy", "knn_accuracy", ".1%", higher=True),
    Criterion("latent space", "linear probe accuracy", "probe_accuracy", ".1%", higher=True),
)
GROUPS = tuple(dict.fromkeys(criterion.group for criterion in CRITERIA))


class Estimate(NamedTuple):
    """A number with its 95 % interval, which is the number itself where none is known."""

    value: float
    low: float
    high: float


def estimate(row: Record, column: str) -> Estimate | None:
    """Return the number of a row of the table and its interval, or None where the cell is empty."""
    value = row[column]
    if pd.isna(value):
        return None
    ends = (row.get(f"{column}_low"), row.get(f"{column}_high"))
    low, high = (value if pd.isna(end) else end for end in ends)
    return Estimate(float(value), float(low), float(high))


def beats(first: Estimate, second: Estimate, *, higher: bool) -> bool:
    """Return whether `first` is better, by intervals that do not overlap.

    Args:
        first: one number.
        second: another.
        higher: whether higher is better.
    """
    return first.low > second.high if higher else first.high < second.low


def winners(estimates: Mapping[int, Estimate], *, higher: bool) -> list[int]:
    """Return the dimension of the best value, then by rising dimension those that it does not beat.

    Args:
        estimates: by latent dimension; of none there is no winner.
        higher: whether higher is better.
    """
    if not estimates:
        return []
    best = (max if higher else min)(sorted(estimates), key=lambda dimension: estimates[dimension].value)
    tied = [
        dimension
        for dimension in sorted(estimates)
        if dimension != best and not beats(estimates[best], estimates[dimension], higher=higher)
    ]
    return [best, *tied]


def points(rows: Mapping[int, Record]) -> dict[int, dict[str, float]]:
    """Return what each dimension gets in a round robin, from 0 to 1, by group and under `all`.

    In every criterion each dimension meets each other one: 1 point for a win, 1/2 for a tie. A group's number
    is the mean over opponents and criteria; `all` is the mean of all groups, so that many scores of one thing
    do not outvote one of another.

    Args:
        rows: the rows of the table, by latent dimension.

    Returns:
        By dimension; groups without two numbers to compare are left out, and `all` where one is.
    """
    found: dict[int, dict[str, list[float]]] = {dimension: {} for dimension in rows}
    for criterion in CRITERIA:
        for dimension, won in _meetings(rows, criterion).items():
            found[dimension].setdefault(criterion.group, []).extend(won)
    means = {
        dimension: {group: mean(won) for group, won in groups.items() if won}
        for dimension, groups in found.items()
    }
    return {
        dimension: groups | ({"all": mean(groups.values())} if groups.keys() == set(GROUPS) else {})
        for dimension, groups in means.items()
    }


def _meetings(rows: Mapping[int, Record], criterion: Criterion) -> dict[int, list[float]]:
    """Return the points of each dimension by one criterion, one number an opponent."""
    estimates = {
        dimension: found for dimension, row in rows.items() if (found := estimate(row, criterion.column))
    }
    return {
        dimension: [
            (1 + beats(own, other, higher=criterion.higher) - beats(other, own, higher=criterion.higher)) / 2
            for opponent, other in estimates.items()
            if opponent != dimension
        ]
        for dimension, own in estimates.items()
    }
