"""The kernel distance: torchmetrics, closed forms, scikit-learn's kernel; its interval by brute force."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Generator, Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from vaebench.evaluation import kernel
from vaebench.evaluation.interval import Z
from vaebench.evaluation.kernel import kernel_distance

FEATURES = 16


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def points(count: int, seed: int = 0, features: int = FEATURES, mean: float = 0.0) -> Tensor:
    """Correlated features, at least 0 as a classifier's are."""
    mixing = torch.randn(features, features, generator=seeded(99))
    return (torch.randn(count, features, generator=seeded(seed)) @ mixing + mean).relu()


def value(real: Tensor, made: Tensor) -> float:
    return kernel_distance(real, made).value


def plain(real: Tensor, made: Tensor) -> float:
    """The estimator as it is defined, by scikit-learn's kernel."""
    one, other = real.double().numpy(), made.double().numpy()
    within = [polynomial_kernel(each, degree=3, coef0=1) for each in (one, other)]
    means = [(each.sum() - each.trace()) / (len(each) * (len(each) - 1)) for each in within]
    return float(sum(means) - 2 * polynomial_kernel(one, other, degree=3, coef0=1).mean())


def jackknife(real: Tensor, made: Tensor) -> float:
    """The standard error from the estimate without each image of either set."""
    without_real = [plain(torch.cat([real[:i], real[i + 1 :]]), made) for i in range(len(real))]
    without_made = [plain(real, torch.cat([made[:i], made[i + 1 :]])) for i in range(len(made))]
    return math.sqrt(sum((len(left) - 1) * float(np.var(left)) for left in (without_real, without_made)))


# The estimate.


@pytest.mark.parametrize("count", [3, 64, 65, 200])
def test_estimate_is_that_of_torchmetrics(count: int) -> None:
    real, made = points(count, 1), points(count, 2, mean=0.5)
    assert value(real, made) == pytest.approx(float(poly_mmd(real.double(), made.double())), rel=1e-10)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all:UserWarning")
@pytest.mark.filterwarnings("ignore:std.*degrees of freedom:UserWarning")  # of a single subset
def test_estimate_is_that_of_torchmetrics_from_the_features_on() -> None:
    real, made = points(150, 1), points(150, 2, mean=0.5)
    metric = KernelInceptionDistance(feature=nn.Identity(), subsets=1, subset_size=150)
    with torch.random.fork_rng(devices=[]):  # it shuffles
        metric.update(real, real=True)
        metric.update(made, real=False)
        mean, _ = metric.compute()
    assert value(real, made) == pytest.approx(float(mean), rel=1e-4)  # theirs is float32


@pytest.mark.parametrize("counts", [(3, 200), (200, 3), (77, 64), (64, 129)])
def test_estimate_of_sets_of_unequal_size(counts: tuple[int, int]) -> None:
    real, made = points(counts[0], 1), points(counts[1], 2, mean=0.5)
    assert value(real, made) == pytest.approx(plain(real, made), rel=1e-10)


@pytest.mark.parametrize("counts", [(3, 3), (10, 7)])
def test_two_collapsed_sets(counts: tuple[int, int]) -> None:
    # Without spread there is nothing to estimate: k(a, a) + k(b, b) − 2 k(a, b).
    one, other = points(1, 1), points(1, 2)
    real, made = one.expand(counts[0], -1), other.expand(counts[1], -1)
    squares = [float((x.double() * y.double()).sum()) for x, y in ((one, one), (other, other), (one, other))]
    kernels = [(square / FEATURES + 1) ** 3 for square in squares]
    expected = kernels[0] + kernels[1] - 2 * kernels[2]
    found = kernel_distance(real, made)
    assert found.value == pytest.approx(expected, rel=1e-10)
    assert found.interval == pytest.approx((expected, expected), rel=1e-6)
    assert kernel_distance(real, real).value == pytest.approx(0, abs=1e-9)


def test_collapsed_generator_is_far_and_defined() -> None:
    real = points(300, 1)
    collapsed = kernel_distance(real, points(1, 2).expand(300, -1))
    assert collapsed.value > 10 * abs(value(real, points(300, 2)))
    assert collapsed.interval.low < collapsed.value < collapsed.interval.high


def test_expectation_of_a_shift() -> None:
    # One feature: E(x·y + 1)³ by the moments of x ~ N(0, 1) and of y ~ N(1, 1): Σ C(3, r) E(xʳ) E(yʳ).
    real = torch.randn(3000, 1, generator=seeded(1))
    made = torch.randn(3000, 1, generator=seeded(2)) + 1
    standard, shifted = (1, 0, 1, 0), (1, 1, 2, 4)
    expected = sum(
        math.comb(3, power) * (one - other) ** 2
        for power, (one, other) in enumerate(zip(standard, shifted, strict=True))
    )
    found = kernel_distance(real, made)
    assert found.interval.low < expected < found.interval.high
    assert found.value == pytest.approx(expected, rel=0.15)


def test_estimate_has_no_bias() -> None:
    # Of small sets from one distribution, a biased one (of an image with itself, too) would be far off.
    values = [value(points(20, seed), points(20, seed + 1000)) for seed in range(200)]
    error = float(np.std(values)) / math.sqrt(len(values))
    assert abs(float(np.mean(values))) < 3 * error
    assert min(values) < 0 < max(values)
    one, other = points(20, 0).double().numpy(), points(20, 1000).double().numpy()
    biased = sum(polynomial_kernel(x, degree=3, coef0=1).mean() for x in (one, other))
    biased -= 2 * polynomial_kernel(one, other, degree=3, coef0=1).mean()
    assert biased > 10 * error


def test_estimate_is_symmetric_and_order_does_not_matter() -> None:
    real, made = points(150, 1), points(130, 2, mean=0.5)
    found, other = kernel_distance(real, made), kernel_distance(made, real)
    shuffled = kernel_distance(
        real[torch.randperm(150, generator=seeded())], made[torch.randperm(130, generator=seeded())]
    )
    for each in (other, shuffled):
        assert each.value == pytest.approx(found.value, rel=1e-9)
        assert each.interval == pytest.approx(found.interval, rel=1e-9)


@pytest.mark.parametrize("rows", [1, 7, 64, 129, 1000])
def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    real, made = points(130, 1), points(100, 2, mean=0.5)
    expected = kernel_distance(real, made)
    monkeypatch.setattr(kernel, "ROWS", rows)
    found = kernel_distance(real, made)
    assert found.value == pytest.approx(expected.value, rel=1e-10)
    assert found.interval == pytest.approx(expected.interval, rel=1e-10)


def test_worse_images_are_farther() -> None:
    real, same = points(500, 1), points(500, 2)
    near = kernel_distance(real, same)
    assert near.interval.low < 0 < near.interval.high
    worse = (
        points(500, 2, mean=1),  # shifted
        same[same[:, 0] > same[:, 0].median()],  # modes dropped
        same / 2,  # fainter
    )
    for made in worse:
        assert kernel_distance(real, made).interval.low > near.interval.high


# The interval.


@pytest.mark.parametrize("counts", [(3, 3), (40, 40), (40, 25), (7, 30)])
def test_interval_is_that_of_the_estimates_without_each_image(counts: tuple[int, int]) -> None:
    real, made = points(counts[0], 1), points(counts[1], 2, mean=0.5)
    found = kernel_distance(real, made)
    width = Z * jackknife(real, made)
    assert found.interval.high - found.value == pytest.approx(width, rel=1e-9)
    assert found.value - found.interval.low == pytest.approx(width, rel=1e-9)


def test_interval_holds_what_new_images_score() -> None:
    real, made = points(300 * 100, 1, features=4), points(300 * 80, 2, features=4, mean=0.5)
    found = [kernel_distance(*pair) for pair in zip(real.split(100), made.split(80), strict=True)]
    truth = float(np.mean([each.value for each in found]))
    held = sum(each.interval.low <= truth <= each.interval.high for each in found)
    assert 265 <= held <= 298  # 95 % would be 285
    error = np.mean([each.interval.high - each.value for each in found]) / Z
    assert error == pytest.approx(np.std([each.value for each in found]), rel=0.2)


def test_interval_of_one_distribution_is_too_wide_by_the_root_of_two() -> None:
    real, made = (torch.randn(400 * 60, 8, generator=seeded(seed)).split(60) for seed in (1, 2))
    found = [kernel_distance(*pair) for pair in zip(real, made, strict=True)]
    variance = np.mean([((each.interval.high - each.value) / Z) ** 2 for each in found])
    assert variance / np.var([each.value for each in found]) == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize("counts", [(2, 10), (10, 2), (0, 10)])
def test_too_few_images(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"3 images of each set, got {counts[0]} and {counts[1]}"):
        kernel_distance(points(counts[0]), points(counts[1]))


@pytest.mark.usefixtures("global_rng_untouched")
def test_nothing_is_drawn_and_features_stay_as_they_are() -> None:
    real, made = points(100, 1).double(), points(100, 2).double()  # of the type it computes in
    before = real.clone(), made.clone()
    assert kernel_distance(real, made) == kernel_distance(real, made)
    assert torch.equal(real, before[0])
    assert torch.equal(made, before[1])
