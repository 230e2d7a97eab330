"""Which digit is taken for which."""

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

CLASSES = 10


class ConfusedPair(NamedTuple):
    """Two digits that are taken for one another."""

    first: int  # the lower digit
    second: int
    rate: float  # 0 to 1: mean of the shares of the first taken for the second, and the other way round


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


def most_confused(matrix: Tensor, count: int) -> list[ConfusedPair]:
    """Return the `count` pairs of digits with the highest rates, falling; all pairs where there are fewer.

    Pairs with the same rate come by digit. None of a digit that does not occur is taken for another.

    Args:
        matrix: counts or shares, (C, C), at least 0; row: true digit, column: what it is taken for.
        count: how many pairs.
    """
    matrix = matrix.double()
    totals = matrix.sum(1, keepdim=True)
    rates = matrix / totals.where(totals > 0, 1)
    mutual = ((rates + rates.T) / 2).tolist()
    pairs = [ConfusedPair(*pair, mutual[pair[0]][pair[1]]) for pair in combinations(range(len(matrix)), 2)]
    return sorted(pairs, key=lambda pair: pair.rate, reverse=True)[:count]  # stable
