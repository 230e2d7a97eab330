"""A panel's readings: each member's own, chunk by chunk, and what they make together."""

import pytest
import torch

from vaebench.data.dataset import Dataset
from vaebench.device import CHUNK, Workers
from vaebench.evaluation.panel import Readings, read
from vaebench.models.classifier import Classifier, build_classifier


@pytest.fixture(scope="module")
def panel() -> list[Classifier]:
    return [build_classifier(seed).eval() for seed in (1, 2, 3)]


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 3])
def test_each_member_reads_each_image(
    panel: list[Classifier], digits: Dataset, workers: Workers, count: int
) -> None:
    images = digits.train.images[:count]
    readings = read(panel, images, workers)
    assert (readings.probabilities.shape, readings.probabilities.dtype) == ((3, count, 10), torch.float64)
    assert (readings.features.shape, readings.features.dtype) == ((3, count, 128), torch.float32)
    assert not readings.features.requires_grad
    for member, probabilities, features in zip(panel, readings.probabilities, readings.features, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(
                probabilities, member(images).double().softmax(1), rtol=1e-5, atol=1e-7
            )
            # The features are what the last layer sees.
            logits = member.layers[-1](features)
        torch.testing.assert_close(logits.double().softmax(1), probabilities, rtol=1e-5, atol=1e-7)
        assert features.min() >= 0


def test_number_of_workers_changes_no_bit(
    panel: list[Classifier], digits: Dataset, crews: list[Workers]
) -> None:
    one, *others = (read(panel, digits.test.images, workers) for workers in crews)
    for other in others:
        assert torch.equal(other.probabilities, one.probabilities)
        assert torch.equal(other.features, one.features)


def test_consensus_is_the_mean_and_not_the_vote() -> None:
    two_lean, one_sure = [0.55, 0.45] + [0.0] * 8, [0.02, 0.98] + [0.0] * 8
    probabilities = torch.tensor([[two_lean], [two_lean], [one_sure]], dtype=torch.float64)
    readings = Readings(probabilities, torch.zeros(3, 1, 128))
    assert readings.consensus[0, :2].tolist() == pytest.approx([1.12 / 3, 1.88 / 3])
    assert readings.digits.tolist() == [1]


def test_readings_of_a_classifier_that_is_too_sure(digits: Dataset, workers: Workers) -> None:
    classifier = build_classifier(seed=1)
    with torch.no_grad():
        list(classifier.parameters())[-2].mul_(1e6)  # the last layer's weights
    probabilities = read([classifier], digits.test.images[:9], workers).consensus
    assert probabilities.isfinite().all()
    assert (probabilities == 0).any()
    assert probabilities.sum(1).tolist() == pytest.approx([1.0] * 9, abs=1e-12)
