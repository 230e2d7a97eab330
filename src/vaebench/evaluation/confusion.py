"""Which digit is taken for which."""

import torch
from torch import Tensor

CLASSES = 10


def confusion_matrix(labels: Tensor, readings: Tensor) -> Tensor:
    """Count how often each digit is read as each: (10, 10), int64; row = true digit, column = reading.

    Args:
        labels: the true digits, (N,), int64.
        readings: what the classifier reads, (N,), int64.
    """
    pairs = torch.bincount(labels * CLASSES + readings, minlength=CLASSES * CLASSES)
    return pairs.reshape(CLASSES, CLASSES)


def accuracy(confusion: Tensor) -> float:
    """Return the share of digits read as what they are."""
    return int(confusion.diagonal().sum()) / int(confusion.sum())
