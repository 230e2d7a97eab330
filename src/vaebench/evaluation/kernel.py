"""The kernel distance between features of real and of generated images (KID), and its interval.

Bińkowski et al., Demystifying MMD GANs, 2018, with a digit classifier's features in place of Inception's:
comparable only by the same classifier.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.evaluation.interval import Interval, Z

ROWS = 64  # images compared with all others at once: bounds the memory
LEAST = 3  # images: the jackknife leaves one out, and the rest must make a pair


class KernelDistance(NamedTuple):
    """An estimate and how it would vary with other images, real and generated."""

    value: float
    interval: Interval


def kernel_distance(reference: Tensor, features: Tensor) -> KernelDistance:
    """Return the squared maximum mean discrepancy under k(x, y) = (x·y / D + 1)³, without bias.

    The mean of k over pairs of different real images, plus that over pairs of different generated ones, less
    twice that over pairs of one of each (Gretton et al., A Kernel Two-Sample Test, 2012, lemma 6). All pairs
    count; the paper's mean over random subsets estimates the same with more variance. It grows about
    as the sixth power of the features' scale. Its expectation is 0 where both sets come from one
    distribution, so it may be below 0, and so may its interval, which is not clipped.

    The interval is ± 1.96 standard errors by the delete-one jackknife over the images of both sets, which row
    sums of the kernel give exactly; in the limit, the variance of a two-sample U-statistic (ibid., corollary
    16, here of sets of unequal size). Where both come from one distribution, that is about √2 too wide.

    Sums are float64. Symmetric in its arguments.

    Args:
        reference: features of real images, (M, D).
        features: features of generated images, (N, D).

    Raises:
        ValueError: one of them has fewer than 3 images.
    """
    real, made = len(reference), len(features)
    if min(real, made) < LEAST:
        raise ValueError(f"the kernel distance needs {LEAST} images of each set, got {real} and {made}")
    reference, features = reference.double(), features.double()
    within_real, within_made = _sums_within(reference), _sums_within(features)
    across_real, across_made = _sums_across(reference, features)
    value = (
        within_real.sum() / (real * (real - 1))
        + within_made.sum() / (made * (made - 1))
        - 2 * across_real.sum() / (real * made)
    )
    # Without image i, the estimate changes by a constant less 1/(count − 1) of this.
    influence_real = 2 * (within_real / (real - 2) - across_real / made)
    influence_made = 2 * (within_made / (made - 2) - across_made / real)
    width = Z * float((influence_real.var() / real + influence_made.var() / made).sqrt())
    return KernelDistance(float(value), Interval(float(value) - width, float(value) + width))


def _sums_within(points: Tensor) -> Tensor:
    """Return each point's sum of the kernel over all other points: (N,)."""
    sums = points.new_zeros(len(points))
    for start in range(0, len(points), ROWS):
        kernel = _kernel(points[start : start + ROWS], points[start:])  # symmetric: half of it is enough
        kernel.diagonal().zero_()
        sums[start : start + ROWS] += kernel.sum(1)
        sums[start + ROWS :] += kernel[:, ROWS:].sum(0)
    return sums


def _sums_across(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of the kernel over the other set, of each point of both: (M,) and (N,)."""
    rows, columns = [], second.new_zeros(len(second))
    for points in first.split(ROWS):
        kernel = _kernel(points, second)
        rows.append(kernel.sum(1))
        columns += kernel.sum(0)
    return torch.cat(rows), columns


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first / first.shape[1] @ second.T).add_(1).pow_(3)
