"""Whether the panel of classifiers reads well enough for what it reads to count.

An unfit panel calls anything legible, and its features tell nothing apart: what it read of models stays out
of the table, so that nobody wins by it.
"""

import pandas as pd

from vaebench.pipeline.datasets import DatasetEntry

# The least share of the test images that the panel reads right. A linear classifier of the pixels reads 91 %
# of MNIST's and 98 % of scikit-learn's: convolutional networks below 90 % have not yet learned to read.
FIT = 0.9

# What the panel reads, or says by its features: the beginnings of the names of the table's columns.
READ = (
    *("inception_score", "label_entropy", "conditional_entropy"),
    *("fid", "kid", "precision", "recall", "density", "coverage"),
    *("legible", "reconstruction_accuracy"),
)


def panel_warning(table: pd.DataFrame, data: DatasetEntry) -> str:
    """Return what is wrong with the panel in one sentence, or nothing where it is fit.

    Args:
        table: see `vaebench.findings.table.benchmark_table`. The panel's share of the test images read right
            is the `reconstruction_accuracy` of the row `test images`.
        data: the data set, for its words.
    """
    return "".join(
        f"The classifiers are unfit: they read {share:.1%} of the test {data.nouns} right, "
        f"fewer than {FIT:.0%}."
        for share in _too_low(table)
    )


def _too_low(table: pd.DataFrame) -> list[float]:
    shares = table.loc[table["model"] == "test images", "reconstruction_accuracy"].dropna()
    return [share for share in shares if share < FIT]


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table; of an unfit panel, nothing that it read but its share of the test images."""
    if not _too_low(table):
        return table
    read = [str(column) for column in table if str(column).startswith(READ)]
    own = [column for column in read if column.startswith("reconstruction_accuracy")]
    left = table.copy()
    left[read] = float("nan")
    left.loc[table["model"] == "test images", own] = table[own]
    return left
