"""One number from several trainings of a model: their mean, its interval, and how far they differ."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import pandas as pd
from scipy.special import stdtrit  # type: ignore[import-untyped]

CONFIDENCE = 0.95


class Combined(NamedTuple):
    """A mean over trainings; NaN where there is nothing to know it by."""

    value: float
    low: float  # of the 95 % interval
    high: float
    training_sd: float  # standard deviation between trainings


def over_trainings(values: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> Combined:
    """Return the mean over trainings with an interval that covers both other images and other trainings.

    All trainings are scored on the same images, so that what these bring does not fall with the number of
    trainings: it is the mean of the trainings' own intervals. The mean over trainings is off by Student's t
    besides. The two are put together by MOVER, which keeps intervals that are longer on one side:

        low = mean − √((mean − mean low)² + (t · sd / √n)²)

    Zou & Donner, Construction of confidence intervals about effect measures: a simple general approach, 2008,
    equation 2, for a sum. One training tells nothing of others: its interval covers images alone.

    Args:
        values: one a training, at least one.
        lows: the lower ends of their intervals over images; NaN where there are none.
        highs: likewise, the upper ends.
    """
    value = fmean(values)
    spread = stdev(values) if len(values) > 1 else math.nan
    below, above = value - fmean(lows), fmean(highs) - value
    if len(values) > 1:
        error = stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2) * spread / len(values) ** 0.5
        below, above = (math.hypot(0 if math.isnan(side) else side, error) for side in (below, above))
    return Combined(value, value - below, value + above, spread)


def combine(
    scores: Sequence[Mapping[str, Any]], names: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Return scores over trainings, each with `_low`, `_high` and `_training_sd` where that is known.

    Args:
        scores: those of each training.
        names: what stands for itself among them, and the least and the most that it can be; what is left,
            such as `_spread`, is averaged.
    """
    found: dict[str, float] = {}
    for name, (least, most) in names.items():
        ends = [[each.get(f"{name}_{end}", math.nan) for each in scores] for end in ("low", "high")]
        combined = over_trainings([each[name] for each in scores], *ends)
        found |= {name: combined.value}
        low, high = combined.low, combined.high
        if len(scores) > 1:  # Student's t knows no limits; intervals over images keep theirs
            low, high = max(low, least), min(high, most)
        rest = {"low": low, "high": high, "training_sd": combined.training_sd}
        found |= {f"{name}_{end}": number for end, number in rest.items() if not math.isnan(number)}
    others = scores[0].keys() - found.keys()
    return found | {name: fmean(each[name] for each in scores) for name in sorted(others)}


def mean_curve(trainings: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean losses of every epoch over trainings."""
    return pd.concat(trainings).groupby("epoch", as_index=False).mean()


def several(trainings: pd.DataFrame) -> bool:
    """Return whether the table of trainings has more than one of a model."""
    return bool(trainings["latent_dim"].duplicated().any())
