"""95 % intervals of means and of shares."""

from typing import NamedTuple

from torch import Tensor

Z = 1.959963984540054  # the 97.5 % quantile of N(0, 1)


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def mean_interval(values: Tensor) -> Interval:
    """Return mean ± 1.96 standard errors: how the mean would vary with other images.

    Args:
        values: one of each image, (N,), float64. A single one has no spread: low and high are the value.
    """
    mean = float(values.mean())
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Interval(mean - Z * error, mean + Z * error)


def share_interval(hits: int, count: int) -> Interval:
    """Return Wilson's interval of a share: within [0, 1], and of some width even at 0 and 1.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.

    Args:
        hits: how many of them are so.
        count: of how many, at least 1.
    """
    share = hits / count
    centre = share + Z**2 / (2 * count)
    width = Z * (share * (1 - share) / count + Z**2 / (4 * count**2)) ** 0.5
    scale = 1 + Z**2 / count
    return Interval(max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale))
