"""Scores of a set of images: each is the panel's mean of a pure function, and obvious cases rank right."""

from dataclasses import replace
from statistics import mean, stdev

import pytest
import torch
from torch import Generator, Tensor

from vaebench.evaluation.frechet import frechet_distance, moments
from vaebench.evaluation.inception import entropies, inception_score
from vaebench.evaluation.kernel import kernel_distance
from vaebench.evaluation.manifold import manifold
from vaebench.evaluation.panel import Readings
from vaebench.evaluation.quality import sample_quality, share

PANEL, COUNT = 3, 300


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def readings(count: int = COUNT, seed: int = 0, doubt: float = 1.0) -> Readings:
    """A panel's readings of digits that come equally often; `doubt` blurs them."""
    generator = seeded(seed)
    labels = torch.arange(count) % 10
    noise = torch.randn(PANEL, count, 10, generator=generator, dtype=torch.float64)
    probabilities = (8 * torch.eye(10, dtype=torch.float64)[labels] / doubt + noise).softmax(2)
    centres = torch.randn(PANEL, 10, 128, generator=seeded(99))
    features = (3 * centres[:, labels] + doubt * torch.randn(PANEL, count, 128, generator=generator)).relu()
    return Readings(probabilities, features)


def score(generated: Readings, reference: Readings) -> dict[str, float]:
    return sample_quality(generated, reference, threshold=0.9, bootstrap=50, generator=seeded())


def only(digits: list[int], some: Readings) -> Readings:
    chosen = torch.isin(torch.arange(COUNT) % 10, torch.tensor(digits))
    return Readings(some.probabilities[:, chosen], some.features[:, chosen])


@pytest.mark.slow
@pytest.mark.usefixtures("global_rng_untouched")
def test_scores_are_means_over_the_panel_with_the_spread_between_its_members() -> None:
    generated, reference = readings(seed=1, doubt=2), readings(seed=2)
    scores = score(generated, reference)
    pairs = list(zip(reference.features, generated.features, strict=True))
    manifolds = [manifold(*pair) for pair in pairs]
    expected: dict[str, list[float]] = {
        "inception_score": [inception_score(each) for each in generated.probabilities],
        "fid": [frechet_distance(moments(known), moments(features)) for known, features in pairs],
        "kid": [kernel_distance(*pair).value for pair in pairs],
        **{
            name: [getattr(each, name).mean().item() for each in manifolds]
            for name in ("precision", "recall", "density", "coverage")
        },
    }
    for name, values in expected.items():
        assert scores[name] == pytest.approx(mean(values), rel=1e-9)
        assert scores[f"{name}_spread"] == pytest.approx(stdev(values), rel=1e-6, abs=1e-12)
        assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"] or name == "inception_score"
    parts = [entropies(each) for each in generated.probabilities]
    assert scores["label_entropy"] == pytest.approx(mean(part.label for part in parts))
    assert scores["conditional_entropy"] == pytest.approx(mean(part.conditional for part in parts))
    legible = (generated.probabilities.mean(0).max(1).values >= 0.9).double().mean().item()
    assert scores["legible_share"] == legible


@pytest.mark.slow
def test_obvious_cases_rank_right() -> None:
    reference = readings(seed=1)
    same, blurred, few = readings(seed=2), readings(seed=3, doubt=4), only([0, 1, 2], readings(seed=2))
    good, blur, drop = (score(each, reference) for each in (same, blurred, few))
    for bad in (blur, drop):
        assert good["inception_score"] > bad["inception_score"]
        assert good["fid"] < bad["fid"]
        assert good["kid"] < bad["kid"]
        assert good["coverage"] > bad["coverage"]
    assert drop["recall"] < good["recall"] / 2
    assert drop["label_entropy"] < good["label_entropy"] - 1
    assert drop["conditional_entropy"] == pytest.approx(good["conditional_entropy"], rel=0.1)
    assert blur["conditional_entropy"] > good["conditional_entropy"] + 0.1
    assert blur["legible_share"] < good["legible_share"]
    assert blur["precision"] < good["precision"]
    assert drop["precision"] == pytest.approx(good["precision"], abs=0.1)


def test_order_of_the_images_does_not_matter() -> None:
    generated, reference = readings(seed=1, doubt=2), readings(seed=2)
    order = torch.randperm(COUNT, generator=seeded())
    shuffled = Readings(generated.probabilities[:, order], generated.features[:, order])
    one, other = score(generated, reference), score(shuffled, reference)
    intervals = ("fid_low", "fid_high", "inception_score_low", "inception_score_high")  # of groups, of draws
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=0.2 if name in intervals else 1e-6, abs=1e-9)


def test_one_classifier_has_no_spread() -> None:
    one = Readings(readings().probabilities[:1], readings().features[:1])
    assert all(value == 0 for name, value in score(one, one).items() if name.endswith("_spread"))


def test_generator_that_collapsed_to_one_image_is_scored() -> None:
    reference = readings(seed=1)
    first = Readings(reference.probabilities[:, :1], reference.features[:, :1])
    collapsed = Readings(first.probabilities.expand(-1, COUNT, -1), first.features.expand(-1, COUNT, -1))
    scores = score(collapsed, reference)
    assert all(torch.tensor(value).isfinite() for value in scores.values())
    assert scores["inception_score"] == pytest.approx(1)
    assert scores["recall"] <= 2 / COUNT
    assert scores["coverage"] < 0.1
    assert scores["fid"] > score(readings(seed=2), reference)["fid"]


def test_share_has_wilsons_interval() -> None:
    hits: Tensor = torch.arange(64) < 60
    found = share("legible_share", hits)
    assert found["legible_share"] == 60 / 64
    assert found["legible_share_low"] == pytest.approx(0.850, abs=0.001)
    assert found["legible_share_high"] == pytest.approx(0.975, abs=0.001)


def test_confidence_decides_what_is_legible() -> None:
    generated = readings()
    unsure = replace(generated, probabilities=generated.probabilities * 0.5 + 0.05)
    assert score(generated, generated)["legible_share"] > 0.9
    assert score(unsure, generated)["legible_share"] == 0
