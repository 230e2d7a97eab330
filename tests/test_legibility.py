"""Legible images: the threshold of 99 in 100, and paths between different digits."""

import math

import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]
from torch import Generator, Tensor

from vaebench.evaluation.legibility import legibility_threshold, legible, path_ends


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def readings_as_zero(confidence: Tensor) -> Tensor:
    rest = (1 - confidence)[:, None].expand(-1, 9) / 9
    return torch.cat([confidence[:, None], rest], dim=1)


@pytest.mark.parametrize("count", [1, 50, 100, 101, 9_950, 10_000])
def test_99_of_100_right_digits_are_legible_and_no_more(count: int) -> None:
    confidence = 0.2 + 0.8 * torch.rand(count, generator=seeded(), dtype=torch.float64)
    probabilities = readings_as_zero(confidence)
    threshold = legibility_threshold(probabilities, torch.zeros(count, dtype=torch.int64))
    share = legible(probabilities, threshold).double().mean().item()
    assert 0.99 <= share < 0.99 + 1 / count


def test_digits_read_wrongly_do_not_count() -> None:
    confidence = torch.linspace(0.5, 1, 200, dtype=torch.float64)
    labels = torch.zeros(200, dtype=torch.int64)
    labels[:100] = 7  # the doubtful half is read as 0 and is not
    expected = legibility_threshold(readings_as_zero(confidence[100:]), labels[100:])
    assert legibility_threshold(readings_as_zero(confidence), labels) == expected


def test_classifier_that_is_never_right_finds_nothing_legible() -> None:
    probabilities = readings_as_zero(torch.full((20,), 0.9, dtype=torch.float64))
    threshold = legibility_threshold(probabilities, torch.ones(20, dtype=torch.int64))
    assert threshold == math.inf
    assert not legible(torch.eye(10, dtype=torch.float64), threshold).any()


def test_classifier_that_is_always_sure() -> None:
    probabilities = torch.eye(10, dtype=torch.float64)
    threshold = legibility_threshold(probabilities, torch.arange(10))
    assert threshold == 1.0
    assert legible(probabilities, threshold).all()
    assert not legible(probabilities.mean(0, keepdim=True), threshold).any()


@pytest.mark.usefixtures("global_rng_untouched")
def test_ends_show_different_digits_all_equally_likely() -> None:
    labels = torch.tensor([5, 2, 2, 9, 5, 2])
    ends = path_ends(labels, 30_000, seeded())
    assert ends.shape == (30_000, 2)
    assert (labels[ends[:, 0]] != labels[ends[:, 1]]).all()
    found = torch.zeros(6, 6)
    found.index_put_((ends[:, 0], ends[:, 1]), torch.ones(30_000), accumulate=True)
    different = labels[:, None] != labels
    expected = different / different.sum(1, keepdim=True) / 6 * 30_000
    assert stats.chisquare(found[different].numpy(), expected[different].numpy()).pvalue > 0.01
    assert torch.equal(path_ends(labels, 100, seeded(3)), path_ends(labels, 100, seeded(3)))
    assert not torch.equal(path_ends(labels, 100, seeded(3)), path_ends(labels, 100, seeded(4)))
