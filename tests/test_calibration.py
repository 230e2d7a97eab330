"""The calibration error, against torchmetrics and cases that can be worked out by hand."""

import pytest
import torch
from torch import Generator, Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from vaebench.evaluation.calibration import BINS, expected_calibration_error


def rows(*confidences: float) -> Tensor:
    """Images read as 0 with these probabilities, the rest even on the other digits."""
    rest = [[(1 - confidence) / 9] * 9 for confidence in confidences]
    pairs = zip(confidences, rest, strict=True)
    return torch.tensor([[confidence, *others] for confidence, others in pairs], dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 7, 3000])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 5.0])
def test_error_is_that_of_torchmetrics(count: int, sharpness: float) -> None:  # which sums in float32
    generator = Generator().manual_seed(count)
    logits = sharpness * torch.randn(count, 10, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (count,), generator=generator)
    probabilities = logits.softmax(1)
    expected = multiclass_calibration_error(probabilities, labels, 10, n_bins=BINS, norm="l1")
    assert expected_calibration_error(probabilities, labels) == pytest.approx(float(expected), abs=1e-5)


def test_images_that_are_sure_and_right_have_none() -> None:
    labels = torch.arange(10)
    assert expected_calibration_error(torch.eye(10, dtype=torch.float64), labels) == 0.0
    assert expected_calibration_error(torch.eye(10, dtype=torch.float64), (labels + 1) % 10) == 1.0


def test_errors_of_one_bin_cancel_and_of_two_bins_add() -> None:
    right, wrong = 0, 1
    one_bin = expected_calibration_error(rows(0.75, 0.75, 0.75, 0.75), torch.tensor([right] * 3 + [wrong]))
    assert one_bin == pytest.approx(0, abs=1e-12)
    two_bins = expected_calibration_error(rows(0.9, 0.6), torch.tensor([wrong, right]))
    assert two_bins == pytest.approx((0.9 + 0.4) / 2)


def test_no_confidence_at_all() -> None:
    probabilities = torch.full((50, 10), 0.1, dtype=torch.float64)
    labels = torch.arange(50) % 10  # read as 0: right in a tenth
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0, abs=1e-12)
