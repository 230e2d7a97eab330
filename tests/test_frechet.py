"""The Fréchet distance: closed forms, torchmetrics, SciPy; its interval, group by group and by experiment."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import linalg, stats  # type: ignore[import-untyped]
from torch import Generator, Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

from vaebench.evaluation import frechet
from vaebench.evaluation.frechet import Moments, frechet_distance, frechet_interval, moments

FEATURES = 16


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def points(count: int, seed: int = 0, features: int = FEATURES, mean: float = 0.0, unused: int = 0) -> Tensor:
    """Correlated features, at least 0 as a classifier's are; the last `unused` never come on."""
    mixing = torch.randn(features, features, generator=seeded(99))
    found = (torch.randn(count, features, generator=seeded(seed)) @ mixing + mean).relu()
    found[:, features - unused :] = 0
    return found


def gaussian(mean: list[float], covariance: Tensor) -> Moments:
    return Moments(torch.tensor(mean, dtype=torch.float64), covariance.double())


def scipys(first: Moments, second: Moments) -> float:
    root = linalg.sqrtm((first.covariance @ second.covariance).numpy())
    trace = first.covariance.trace() + second.covariance.trace()
    return float((first.mean - second.mean).square().sum() + trace) - 2 * float(np.trace(root).real)


def distance(first: Tensor, second: Tensor) -> float:
    return frechet_distance(moments(first), moments(second))


# Moments.


@pytest.mark.parametrize("count", [2, 7, 1000])
def test_moments_are_those_of_numpy(count: int) -> None:
    features = points(count, mean=5)
    found = moments(features)
    rows = features.double().numpy()
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    assert found.mean.numpy() == pytest.approx(rows.mean(0), rel=1e-12)
    assert found.covariance.numpy() == pytest.approx(np.cov(rows, rowvar=False), rel=1e-10, abs=1e-12)


def test_single_image_has_no_spread() -> None:
    found = moments(points(1))
    assert torch.equal(found.mean, points(1)[0].double())
    assert torch.equal(found.covariance, torch.zeros(FEATURES, FEATURES, dtype=torch.float64))


def test_float32_features_far_from_zero_keep_their_spread() -> None:
    # In float32, sums over so many would lose it.
    features = torch.randn(20_000, 2, generator=seeded()) + 1000
    spread = features.double().var(0)
    assert moments(features).covariance.diagonal().numpy() == pytest.approx(spread.numpy(), rel=1e-9)


# The distance.


@pytest.mark.parametrize(("means", "deviations"), [((0, 0), (1, 2)), ((1, -2), (3, 3)), ((0, 5), (0, 0.5))])
def test_distance_of_numbers(means: tuple[float, float], deviations: tuple[float, float]) -> None:
    first, second = (
        gaussian([mu], torch.tensor([[sd**2]])) for mu, sd in zip(means, deviations, strict=True)
    )
    expected = (means[0] - means[1]) ** 2 + (deviations[0] - deviations[1]) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


def test_distance_of_diagonal_gaussians_is_the_sum_over_axes_in_any_rotation() -> None:
    one, other = torch.tensor([4.0, 1.0, 0.25, 0.0]), torch.tensor([1.0, 1.0, 9.0, 4.0])
    apart = [1.0, 0.0, -2.0, 0.5]
    expected = sum(x**2 for x in apart) + float((one.sqrt() - other.sqrt()).square().sum())
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=seeded(), dtype=torch.float64)).Q
    for turn in (torch.eye(4, dtype=torch.float64), rotation):
        first = gaussian([0] * 4, turn @ one.double().diag() @ turn.T)
        mean = (turn @ torch.tensor(apart, dtype=torch.float64)).tolist()
        second = gaussian(mean, turn @ other.double().diag() @ turn.T)
        assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("unused", [0, 6])
@pytest.mark.parametrize(
    "counts", [(500, 500), (500, 77), (10, 9)]
)  # of 10 points, the covariance is singular
def test_distance_is_that_of_torchmetrics_and_scipy(counts: tuple[int, int], unused: int) -> None:
    first = moments(points(counts[0], 1, unused=unused))
    second = moments(points(counts[1], 2, mean=0.5, unused=unused))
    found = frechet_distance(first, second)
    theirs = float(_compute_fid(first.mean, first.covariance, second.mean, second.covariance))
    # Theirs takes roots of eigenvalues, which makes 1e-8 of the rounding of a 0.
    loose = 1e-5 if unused or min(counts) < FEATURES else 1e-9
    assert found == pytest.approx(theirs, rel=loose)
    if loose < 1e-5:  # SciPy warns of a singular matrix
        assert found == pytest.approx(scipys(first, second), rel=loose)


@pytest.mark.filterwarnings("ignore:Metric `FrechetInceptionDistance` will save all:UserWarning")
def test_distance_is_that_of_torchmetrics_from_the_features_on() -> None:
    class Features(nn.Module):
        num_features = FEATURES

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    real, made = points(300, 1), points(200, 2, mean=0.3)
    metric = FrechetInceptionDistance(feature=Features(), input_img_size=(1, 1, FEATURES))
    metric.set_dtype(torch.float64)
    metric.update(real[:, None, None].double(), real=True)
    metric.update(made[:, None, None].double(), real=False)
    assert distance(real, made) == pytest.approx(float(metric.compute()), rel=1e-5)


def test_distance_is_symmetric_and_at_least_zero() -> None:
    sets = [points(50, 1), points(9, 2), points(50, 3, unused=4), points(1, 4), torch.zeros(5, FEATURES)]
    for first in sets:
        for second in sets:
            assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-10, abs=1e-10)
            assert distance(first, second) >= 0


@pytest.mark.parametrize("unused", [0, 6, FEATURES])
@pytest.mark.parametrize("count", [1, 2, 9, 500])
def test_distance_of_a_set_to_itself_is_zero(count: int, unused: int) -> None:
    features = points(count, unused=unused)
    assert distance(features, features) == pytest.approx(0, abs=1e-10)


def test_order_and_copies_do_not_matter() -> None:
    real, made = points(400, 1), points(300, 2, mean=0.2)
    score = distance(real, made)
    shuffled = made[torch.randperm(300, generator=seeded())]
    assert distance(real, shuffled) == pytest.approx(score, rel=1e-10)
    # All images thrice: n − 1 in place of n is all that changes.
    assert distance(real, made.repeat(3, 1)) == pytest.approx(score, rel=0.02)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_enters_as_a_square(scale: float) -> None:
    real, made = points(200, 1).double(), points(200, 2, mean=0.2).double()
    assert distance(scale * real, scale * made) == pytest.approx(scale**2 * distance(real, made), rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_collapsed_generator(count: int) -> None:
    real = moments(points(200))
    image = points(1, 5)
    made = image.expand(count, -1)
    expected = float((real.mean - image[0]).square().sum() + real.covariance.trace())
    assert frechet_distance(real, moments(made)) == pytest.approx(expected, rel=1e-12)
    assert frechet_interval(real, made) == pytest.approx((expected, expected), rel=1e-9)


def test_worse_images_are_farther() -> None:
    real, same = points(1000, 1), points(1000, 2)
    near = distance(real, same)
    assert distance(real, points(1000, 2, mean=0.5)) > 2 * near
    assert distance(real, same[same[:, 0] > same[:, 0].median()]) > 2 * near  # modes dropped
    assert distance(real, same / 2) > 2 * near


def test_few_images_raise_it() -> None:
    real = points(4000, 1)
    scores = [distance(real, points(count, 2)) for count in (20, 100, 500, 4000)]
    assert scores == sorted(scores, reverse=True)


# The interval.


def jackknife(reference: Moments, features: Tensor, parts: list[Tensor]) -> float:
    """The standard error, every distance from the images themselves."""
    left = [
        frechet_distance(reference, moments(features[~torch.isin(torch.arange(len(features)), part)]))
        for part in parts
    ]
    return math.sqrt((len(left) - 1) * float(np.var(left)))


@pytest.mark.parametrize(
    ("count", "groups"), [(200, 20), (203, 20), (60, 10), (40, 40), (12, 20), (2, 20), (3, 2)]
)
def test_interval_is_that_of_distances_without_each_group(count: int, groups: int) -> None:
    reference, features = moments(points(300, 1)), points(count, 2, mean=3)
    order = (torch.arange(count).double() ** 2 * frechet.GOLDEN_RATIO).frac().argsort()
    parts = order.tensor_split(min(groups, count))
    assert {len(part) for part in parts} <= {count // len(parts), count // len(parts) + 1}
    error = jackknife(reference, features, list(parts))
    middle = frechet_distance(reference, moments(features))
    width = stats.t.ppf(0.975, len(parts) - 1) * error
    low, high = frechet_interval(reference, features, groups)
    assert high - middle == pytest.approx(width, rel=1e-5)
    assert low == pytest.approx(max(0.0, 2 * middle - high), abs=1e-9)


def test_single_image_has_an_interval_without_width() -> None:
    reference = moments(points(300, 1))
    score = frechet_distance(reference, moments(points(1, 2)))
    assert frechet_interval(reference, points(1, 2)) == (score, score)


def test_interval_ends_at_zero() -> None:
    features = points(300)
    low, high = frechet_interval(moments(features), features)
    assert low == 0
    assert 0 <= high < math.inf


def test_interval_holds_what_new_images_score() -> None:
    # 95 % of 200 would be 190; a wrong factor, or groups in place of images, would leave this range.
    reference = moments(points(5000, 1, features=4))
    sets = points(200 * 150, 2, features=4, mean=0.3).split(150)
    scores = torch.tensor([frechet_distance(reference, moments(each)) for each in sets])
    centre = float(scores.mean())
    intervals = [frechet_interval(reference, each) for each in sets]
    assert 178 <= sum(low <= centre <= high for low, high in intervals) <= 198
    error = float(np.mean([high - low for low, high in intervals])) / (2 * stats.t.ppf(0.975, 19))
    assert error == pytest.approx(float(scores.std()), rel=0.2)


def test_bootstrap_would_miss_the_distance() -> None:
    # Why there is none: near 0 most resamples score above the interval.
    reference, features = moments(points(5000, 1)), points(200, 2)
    draws = torch.randint(200, (100, 200), generator=seeded())
    resampled = np.percentile([frechet_distance(reference, moments(features[draw])) for draw in draws], 5)
    score = frechet_distance(reference, moments(features))
    low, high = frechet_interval(reference, features)
    assert low < score < high
    assert score < resampled


@pytest.mark.parametrize(
    "arrange",
    [lambda order: order, lambda order: order.reshape(-1, 100).T.flatten()],
    ids=["sorted", "in turn"],
)
def test_order_by_digit_is_not_taken_for_spread(arrange: Callable[[Tensor], Tensor]) -> None:
    reference, features = moments(points(2000, 1)), points(1000, 2, mean=0.5)
    by_size = features[arrange(features.sum(1).argsort())]
    widths = []
    for some in (by_size, *(features[torch.randperm(1000, generator=seeded(seed))] for seed in range(20))):
        low, high = frechet_interval(reference, some)
        widths.append(high - low)
    assert min(widths[1:]) * 0.8 < widths[0] < max(widths[1:]) * 1.2


def test_more_images_narrow_it() -> None:
    reference = moments(points(2000, 1))
    widths = []
    for count in (200, 800, 3200):
        low, high = frechet_interval(reference, points(count, 2, mean=1), groups=50)
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.3)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.3)


@pytest.mark.usefixtures("global_rng_untouched")
def test_nothing_is_drawn_and_features_stay_as_they_are() -> None:
    reference, features = moments(points(100, 1)), points(100, 2)
    before = features.clone()
    assert frechet_interval(reference, features) == frechet_interval(reference, features)
    assert torch.equal(features, before)
