"""The inception score: analytic cases, SciPy, torchmetrics; and the bootstrap, draw by draw."""

import math

import numpy as np
import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]
from torch import Generator, Tensor, nn
from torchmetrics.image.inception import InceptionScore

from vaebench.evaluation import inception
from vaebench.evaluation.inception import (
    attainable_score,
    bootstrap_interval,
    entropies,
    inception_score,
    mean_exponential_score,
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def softmaxes(count: int, sharpness: float = 3.0, seed: int = 0) -> Tensor:
    logits = torch.randn(count, 10, generator=seeded(seed), dtype=torch.float64)
    return (sharpness * logits).softmax(1)


def sure(labels: list[int]) -> Tensor:
    """Images that are each read as one digit, without a doubt."""
    return torch.eye(10, dtype=torch.float64)[labels]


def divergences(probabilities: Tensor) -> list[float]:
    """SciPy's KL of each row to the mean row."""
    rows = probabilities.numpy()
    return [float(stats.entropy(row, rows.mean(0))) for row in rows]


# The score.


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("count", [1, 2, 77, 1000])
def test_score_is_that_of_scipy(count: int, sharpness: float) -> None:
    probabilities = softmaxes(count, sharpness)
    found = divergences(probabilities)
    assert inception_score(probabilities) == pytest.approx(math.exp(math.fsum(found) / count), rel=1e-10)
    expected = math.fsum(map(math.exp, found)) / count
    assert mean_exponential_score(probabilities) == pytest.approx(expected, rel=1e-10)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save all extracted features:UserWarning")
@pytest.mark.filterwarnings("ignore:std.*degrees of freedom:UserWarning")  # of a single split
def test_score_is_that_of_torchmetrics() -> None:
    logits = 3 * torch.randn(500, 10, generator=seeded(), dtype=torch.float64)
    metric = InceptionScore(feature=nn.Identity(), splits=1)
    with torch.random.fork_rng(devices=[]):  # it shuffles
        metric.update(logits)
        mean, _ = metric.compute()
    assert inception_score(logits.softmax(1)) == pytest.approx(float(mean), rel=1e-5)


@pytest.mark.parametrize("label", [0, 3])
@pytest.mark.parametrize("count", [1, 64, 9973])
def test_collapsed_generator_scores_one(label: int, count: int) -> None:
    probabilities = sure([label] * count)
    assert inception_score(probabilities) == 1.0
    assert mean_exponential_score(probabilities) == 1.0
    assert bootstrap_interval(probabilities[None], 50, seeded()) == (1.0, 1.0)


def test_generator_that_makes_one_doubtful_image_scores_one() -> None:
    probabilities = softmaxes(1).expand(1000, 10).contiguous()
    assert inception_score(probabilities) == pytest.approx(1.0, abs=1e-12)
    assert mean_exponential_score(probabilities) == pytest.approx(1.0, abs=1e-12)
    assert bootstrap_interval(probabilities[None], 50, seeded()) == pytest.approx((1.0, 1.0), abs=1e-12)


def test_images_that_say_nothing_score_one() -> None:
    probabilities = torch.full((100, 10), 0.1, dtype=torch.float64)
    assert inception_score(probabilities) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("classes", range(1, 11))
def test_sure_readings_score_the_number_of_digits(classes: int) -> None:
    probabilities = sure([*range(classes)] * 13)
    assert inception_score(probabilities) == pytest.approx(classes, rel=1e-12)
    assert mean_exponential_score(probabilities) == pytest.approx(classes, rel=1e-12)


def test_digits_of_unequal_frequency() -> None:
    # Sure readings score exp(entropy of the marginal); the report's variant counts the digits instead.
    labels = [0] * 50 + [1] * 25 + [2] * 25
    assert inception_score(sure(labels)) == pytest.approx(2**1.5, rel=1e-12)
    assert mean_exponential_score(sure(labels)) == pytest.approx(3.0, rel=1e-12)


def test_reports_variant_is_never_lower() -> None:
    for seed in range(20):
        for sharpness in (0.5, 3.0, 10.0):
            probabilities = softmaxes(50, sharpness, seed)
            score = inception_score(probabilities)
            assert 1 < score < mean_exponential_score(probabilities) < 10


def test_order_and_copies_do_not_matter() -> None:
    probabilities = softmaxes(200)
    score = inception_score(probabilities)
    for other in (probabilities.flip(0), probabilities.flip(1), probabilities.repeat(3, 1)):
        assert inception_score(other) == pytest.approx(score, rel=1e-12)


def test_sharper_readings_score_higher() -> None:
    scores = [inception_score(softmaxes(500, sharpness)) for sharpness in (0.0, 0.5, 1.0, 3.0, 10.0)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 5


def test_zero_probabilities_are_finite() -> None:
    probabilities = softmaxes(300, 2000.0)  # most underflow
    assert torch.any(probabilities == 0)
    probabilities[:, 4] = 0  # and one digit never comes
    probabilities /= probabilities.sum(1, keepdim=True).clamp(min=1e-300)
    probabilities = probabilities[probabilities.sum(1) > 0.5]
    low, high = bootstrap_interval(probabilities[None], 50, seeded())
    scores = (inception_score(probabilities), mean_exponential_score(probabilities), low, high)
    assert all(1 <= score <= 9 + 1e-9 for score in scores)


# What it is made of, and its ceiling.


@pytest.mark.parametrize("sharpness", [0.1, 3.0, 2000.0])
def test_log_score_is_diversity_less_doubt(sharpness: float) -> None:
    probabilities = softmaxes(200, sharpness)
    parts = entropies(probabilities)
    rows = probabilities.numpy()
    assert parts.label == pytest.approx(float(stats.entropy(rows.mean(0))), rel=1e-10)
    expected = math.fsum(float(stats.entropy(row)) for row in rows) / 200
    assert parts.conditional == pytest.approx(expected, rel=1e-10, abs=1e-15)
    assert math.log(inception_score(probabilities)) == pytest.approx(
        parts.label - parts.conditional, rel=1e-10
    )


def test_blur_raises_doubt_alone_and_mode_drop_lowers_diversity_alone() -> None:
    sharp = sure([*range(10)] * 20)
    doubtful = entropies(0.7 * sharp + 0.3 * sharp.roll(1, 1))
    assert doubtful.label == pytest.approx(math.log(10))
    assert doubtful.conditional == pytest.approx(float(stats.entropy([0.7, 0.3])))
    assert entropies(sure([*range(4)] * 50)) == pytest.approx((math.log(4), 0), abs=1e-12)


def test_attainable_score_is_that_of_digits_read_surely() -> None:
    labels = torch.tensor([0] * 980 + [1] * 1135 + [5] * 892)
    assert attainable_score(labels) == pytest.approx(inception_score(sure(labels.tolist())), rel=1e-12)
    assert attainable_score(torch.arange(10)) == pytest.approx(10, rel=1e-12)
    assert attainable_score(torch.tensor([7, 7])) == 1.0


# The bootstrap.


def test_interval_of_a_panel_is_that_of_its_mean_score() -> None:
    panel = torch.stack([softmaxes(60, seed=seed) for seed in (1, 2, 3)])
    draws = torch.randint(60, (150, 60), generator=seeded(7))
    means = [np.mean([inception_score(member[draw]) for member in panel]) for draw in draws]
    assert bootstrap_interval(panel, 150, seeded(7)) == pytest.approx(
        tuple(np.percentile(means, [2.5, 97.5]))
    )


@pytest.mark.parametrize("at_once", [60, 7 * 60, 1_000_000])  # one resample, some, all of them
def test_interval_is_that_of_the_resampled_scores(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(inception, "DRAWS_AT_ONCE", at_once)
    probabilities = softmaxes(60)
    draws = torch.randint(60, (150, 60), generator=seeded(7))
    expected = np.percentile([inception_score(probabilities[draw]) for draw in draws], [2.5, 97.5])
    assert bootstrap_interval(probabilities[None], 150, seeded(7)) == pytest.approx(
        tuple(expected), rel=1e-10
    )


def test_interval_is_about_scipys() -> None:
    probabilities = softmaxes(300)
    scipys = stats.bootstrap(
        (np.arange(300),),
        lambda draw: inception_score(probabilities[torch.from_numpy(draw)]),
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = bootstrap_interval(probabilities[None], 2000, seeded())
    width = scipys.high - scipys.low
    assert low == pytest.approx(scipys.low, abs=0.1 * width)
    assert high == pytest.approx(scipys.high, abs=0.1 * width)


@pytest.mark.parametrize("count", [64, 500, 5000])
def test_interval_holds_the_score(count: int) -> None:
    probabilities = softmaxes(count)
    low, high = bootstrap_interval(probabilities[None], 200, seeded())
    assert low < inception_score(probabilities) < high


def test_interval_narrows_with_the_root_of_the_images() -> None:
    widths = []
    for count in (100, 400, 1600):
        low, high = bootstrap_interval(softmaxes(count)[None], 1000, seeded())
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.25)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.25)


@pytest.mark.usefixtures("global_rng_untouched")
def test_draws_come_from_the_generator_alone() -> None:
    probabilities = softmaxes(100)
    first = bootstrap_interval(probabilities[None], 150, seeded(1))
    assert bootstrap_interval(probabilities[None], 150, seeded(1)) == first
    assert bootstrap_interval(probabilities[None], 150, seeded(2)) != first
    generator = seeded(1)
    bootstrap_interval(probabilities[None], 150, generator)
    assert bootstrap_interval(probabilities[None], 150, generator) != first  # it has moved on


def test_number_of_threads_changes_nothing() -> None:
    probabilities = softmaxes(10_000)
    before, results = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            interval = bootstrap_interval(probabilities[None], 20, seeded())
            results.add((*interval, inception_score(probabilities), mean_exponential_score(probabilities)))
    finally:
        torch.set_num_threads(before)
    assert len(results) == 1


def test_probabilities_stay_as_they_are() -> None:
    probabilities = softmaxes(100)
    before = probabilities.clone()
    inception_score(probabilities)
    mean_exponential_score(probabilities)
    bootstrap_interval(probabilities[None], 20, seeded())
    assert torch.equal(probabilities, before)
