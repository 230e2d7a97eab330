"""Numbers over trainings, held against closed forms and scipy."""

import math
from statistics import stdev

import pytest
import scipy.stats  # type: ignore[import-untyped]

from vaebench.findings.trainings import combine, over_trainings

NAN = math.nan


def test_one_training_has_its_own_interval() -> None:
    found = over_trainings([3.0], [2.5], [4.0])
    assert found[:3] == (3.0, 2.5, 4.0)
    assert math.isnan(found.training_sd)
    assert math.isnan(over_trainings([3.0], [NAN], [NAN]).low)


def test_without_intervals_over_images_it_is_students() -> None:
    values = [1.0, 2.0, 4.0]
    found = over_trainings(values, [NAN] * 3, [NAN] * 3)
    error = scipy.stats.sem(values)
    assert found[1:3] == pytest.approx(scipy.stats.t.interval(0.95, 2, sum(values) / 3, error), rel=1e-12)
    assert found.training_sd == pytest.approx(stdev(values), rel=1e-12)


def test_equal_trainings_leave_the_interval_over_images() -> None:
    found = over_trainings([0.9] * 3, [0.8] * 3, [0.95] * 3)
    assert found == pytest.approx((0.9, 0.8, 0.95, 0.0), rel=1e-12)


def test_both_add_as_squares_and_each_side_keeps_its_length() -> None:
    values = [10.0, 11.0]
    error = scipy.stats.t.ppf(0.975, 1) * scipy.stats.sem(values)
    found = over_trainings(values, [7.0, 8.0], [10.5, 11.5])
    assert found.value == 10.5
    assert 10.5 - found.low == pytest.approx(math.hypot(3.0, error), rel=1e-12)
    assert found.high - 10.5 == pytest.approx(math.hypot(0.5, error), rel=1e-12)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Scores of trainings whose means differ, on images that are drawn once for all of them."""
    random = scipy.stats.norm(0, 1)
    draws = random.rvs(size=(4000, 4), random_state=0)
    hits = 0
    for images, *trainings in draws.tolist():
        values = [0.5 * images + training for training in trainings]
        found = over_trainings(values, [each - 0.98 for each in values], [each + 0.98 for each in values])
        hits += found.low <= 0 <= found.high
    assert 0.94 <= hits / 4000 <= 0.985  # MOVER may be cautious


def test_scores_are_combined_by_name() -> None:
    first = {"fid": 2.0, "fid_low": 1.0, "fid_high": 3.0, "fid_spread": 0.5, "mse": 4.0}
    second = first | {"fid": 3.0, "fid_low": 2.0, "fid_high": 4.0, "fid_spread": 1.5}
    names = {"fid": (-math.inf, math.inf), "mse": (0.0, math.inf)}
    assert combine([first], names) == first
    found = combine([first, second], names)
    assert (found["fid"], found["fid_spread"], found["mse"]) == (2.5, 1.0, 4.0)
    assert found["fid_training_sd"] == pytest.approx(math.sqrt(0.5))
    assert (found["mse_low"], found["mse_high"], found["mse_training_sd"]) == (4.0, 4.0, 0.0)
    assert found["fid_low"] < 1.5
    assert found["fid_high"] > 3.5


def test_interval_ends_where_the_score_does() -> None:
    shares = [{"coverage": 0.1}, {"coverage": 0.9}]
    found = combine(shares, {"coverage": (0.0, 1.0)})
    assert (found["coverage_low"], found["coverage_high"]) == (0.0, 1.0)
    assert combine(shares, {"coverage": (-math.inf, math.inf)})["coverage_low"] < 0
