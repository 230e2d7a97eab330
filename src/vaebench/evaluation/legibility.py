"""Whether a panel of classifiers recognises an image as a digit, as surely as it does real ones.

The report counted legible samples by eye ("60 of 64"); this count needs none.
"""

import math

import torch
from torch import Tensor

RECOGNISED = 0.99  # of the real digits that are read right, as many are legible


def legibility_threshold(probabilities: Tensor, labels: Tensor) -> float:
    """Return the confidence that 99 % of the correctly read real digits reach.

    An image's confidence is its largest probability. Where no digit is read right, nothing is legible: ∞.

    Args:
        probabilities: the panel's p(y|x) of real digits, (N, 10), float64.
        labels: the true digits, (N,), int64.
    """
    confidence, readings = probabilities.max(1)
    right = confidence[readings == labels].sort().values
    return float(right[int(len(right) * (1 - RECOGNISED))]) if len(right) else math.inf


def legible(probabilities: Tensor, threshold: float) -> Tensor:
    """Return which images the panel recognises with at least the confidence `threshold`: (N,), bool.

    Args:
        probabilities: the panel's p(y|x), (N, 10), float64.
        threshold: see `legibility_threshold`.
    """
    return probabilities.max(1).values >= threshold


def path_ends(labels: Tensor, paths: int, generator: torch.Generator) -> Tensor:
    """Draw pairs of images that show different digits: (paths, 2), int64 indices.

    Args:
        labels: the digits, (N,), int64; at least two different ones.
        paths: how many pairs.
        generator: the draws come from it.
    """
    first = torch.randint(len(labels), (paths,), generator=generator)
    # The digits sorted, an image's own are one run: the other end is any outside it, all equally likely.
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    own, start = counts[labels[first]], starts[labels[first]]
    step = (torch.rand(paths, generator=generator, dtype=torch.float64) * (len(labels) - own)).long()
    return torch.stack([first, order[(start + own + step) % len(labels)]], dim=1)
