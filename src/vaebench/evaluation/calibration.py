"""Whether a classifier is as often right as it says."""

import torch
from torch import Tensor

BINS = 15


def expected_calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return Σ_b share_b · |accuracy_b − confidence_b| over 15 equal bins of confidence; 0 to 1, 0 is best.

    Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3. An image's confidence is its
    largest probability; bin b holds those in ((b − 1)/15, b/15].

    Args:
        probabilities: p(y|x) of each image, (N, 10), float64.
        labels: the true digits, (N,), int64.
    """
    confidence, reading = probabilities.max(1)
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gaps = torch.zeros(BINS, dtype=torch.float64)
    gaps.index_add_(0, bins, (reading == labels).double() - confidence)
    return float(gaps.abs().sum()) / len(labels)
