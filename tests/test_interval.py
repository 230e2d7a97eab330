"""Intervals of means and shares, against SciPy, and how often they hold the truth."""

import math

import numpy as np
import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]
from torch import Generator

from vaebench.evaluation.interval import mean_interval, share_interval


def test_mean_interval_is_the_normal_one() -> None:
    values = torch.randn(500, generator=Generator().manual_seed(0), dtype=torch.float64)
    low, high = stats.norm.interval(0.95, values.mean().item(), stats.sem(values.numpy()))
    assert mean_interval(values) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0]])
def test_mean_of_values_without_spread(values: list[float]) -> None:
    assert mean_interval(torch.tensor(values, dtype=torch.float64)) == (values[0], values[0])


@pytest.mark.parametrize(
    ("hits", "count"), [(0, 1), (1, 1), (0, 64), (60, 64), (5000, 10_000), (9999, 10_000)]
)
def test_share_interval_is_wilsons(hits: int, count: int) -> None:
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert share_interval(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("hits", [0, 50])
def test_share_interval_at_the_ends_has_width_and_stays_a_share(hits: int) -> None:
    low, high = share_interval(hits, 50)
    assert 0 <= low <= hits / 50 + 1e-15
    assert hits / 50 - 1e-15 <= high <= 1
    assert high - low > 0.05


def test_intervals_hold_the_truth_in_19_cases_of_20() -> None:
    rng = np.random.default_rng(0)
    draws = torch.from_numpy(rng.exponential(2.0, (2000, 200)))
    held = sum(low <= 2 <= high for low, high in map(mean_interval, draws))
    assert held / 2000 == pytest.approx(0.95, abs=0.02)
    held = sum(
        low <= 0.9 <= high
        for low, high in (share_interval(int(n), 200) for n in rng.binomial(200, 0.9, 2000))
    )
    assert held / 2000 == pytest.approx(0.95, abs=0.02)
    assert math.isclose(share_interval(3, 7).low, 1 - share_interval(4, 7).high)
