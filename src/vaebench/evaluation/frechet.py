"""The Fréchet distance between features of real and of generated images (FID), and its interval.

Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, 2017, with
a digit classifier's features in place of Inception's: comparable only by the same classifier.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from scipy.special import stdtrit  # type: ignore[import-untyped]
from torch import Tensor

from vaebench.evaluation.interval import Interval

GOLDEN_RATIO = 1.618033988749895  # fractional parts of squares times it fall as if drawn at random


class Moments(NamedTuple):
    """Mean and covariance of features, which are all that the distance knows of them."""

    mean: Tensor  # (D,), float64
    covariance: Tensor  # (D, D), float64, over n − 1; 0 of a single image


def moments(features: Tensor) -> Moments:
    """Return mean and covariance of `features` (N, D), N at least 1; sums are float64."""
    points = features.double()
    mean = points.mean(0)
    centred = points - mean
    return Moments(mean, centred.T @ centred / max(len(points) - 1, 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), in squared units of the features (eq. 6).

    The square of the distance between two Gaussians, as is usual. At least 0, symmetric, and 0 where the
    moments are equal. Covariances may be singular, as those of unused features, of fewer images than
    features, or of a generator that collapsed to one image (Σ = 0). Finite samples raise it, by an amount
    that falls as 1/N: compare only sets of equal size.
    """
    # With Σ = F Fᵀ, tr (Σ₁Σ₂)^½ = tr (F₁ᵀ Σ₂ F₁)^½ is the sum of the singular values of F₁ᵀ F₂. The roots of
    # that symmetric product's eigenvalues are the same numbers, but make 1e-8 of a 0 rounded to 1e-16.
    shared = torch.linalg.svdvals(_factor(first.covariance).T @ _factor(second.covariance)).sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * shared
    return max(0.0, float((first.mean - second.mean).square().sum() + spread))


def frechet_interval(reference: Moments, features: Tensor, groups: int = 20) -> Interval:
    """Return the 95 % interval of the Fréchet distance: how it would vary with other generated images.

    By the delete-a-group jackknife: the distance d₍g₎ without each of G groups gives the variance
    (G − 1)/G Σ (d₍g₎ − mean)², and Student's t of G − 1 degrees of freedom the width around the distance of
    all images. Not by a bootstrap: resamples repeat images, so they hold fewer different ones, which raises
    their distance above the one they should enclose. The images of `reference` are taken as given, and the
    bias of a finite sample remains.

    Args:
        reference: of the real images.
        features: of generated images, (N, D), in any order; which are grouped depends on it.
        groups: at least 2; with fewer images, each is a group of its own.

    Returns:
        The interval, with `low` at least 0. A single image has no spread: both ends are its distance.
    """
    distance = frechet_distance(reference, moments(features))
    left_out = torch.tensor(
        [frechet_distance(reference, others) for others in _leave_group_out(features, groups)],
        dtype=torch.float64,
    )
    if len(left_out) < 2:
        return Interval(distance, distance)
    freedom = len(left_out) - 1
    error = (left_out.var(correction=0) * freedom).sqrt()
    width = float(stdtrit(freedom, 0.975) * error)
    return Interval(max(0.0, distance - width), distance + width)


def _leave_group_out(features: Tensor, groups: int) -> Iterator[Moments]:
    """Yield the moments of all images but one group's, for every group, from sums over the groups."""
    points = features.double()
    count = len(points)
    if count < 2:
        return
    mean = points.mean(0)
    centred = points - mean  # small sums lose little where group is taken from total
    # Groups as if drawn, whether images are sorted by digit or the digits take turns; nothing is drawn.
    order = (torch.arange(count, dtype=torch.float64).square() * GOLDEN_RATIO).frac().argsort(stable=True)
    parts = centred[order].tensor_split(min(groups, count))
    products = torch.stack([part.T @ part for part in parts])
    total = products.sum(0)
    for part, product in zip(parts, products, strict=True):
        rest = count - len(part)
        offset = -part.sum(0) / rest  # of the rest's mean: all sum to 0
        scatter = total - product - rest * offset.outer(offset)
        yield Moments(mean + offset, scatter / max(rest - 1, 1))


def _factor(covariance: Tensor) -> Tensor:
    """Return F with F Fᵀ = `covariance` (D, D)."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = values[-1] * len(values) * torch.finfo(values.dtype).eps  # what rounding makes of a 0
    factor: Tensor = vectors * torch.where(values > noise, values, 0).sqrt()
    return factor
