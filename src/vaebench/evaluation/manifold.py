"""Precision, recall, density, coverage: do generated images lie among the real ones, and reach all of them?

Each set's manifold is the union of balls around its images, as far as their k-th nearest neighbour.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 64  # images compared with all others at once: bounds the memory
MANTISSA = 53  # bits of a float64


class Manifold(NamedTuple):
    """The terms of four scores, each the mean over its images; all float64.

    Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, 2019, and Naeem
    et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020.
    """

    precision: Tensor  # (N,), 0 or 1: the generated image lies in a real image's ball
    recall: Tensor  # (M,), 0 or 1: the real image lies in a generated image's ball
    density: Tensor  # (N,), at least 0: real images' balls around the generated one, over k; 1 if as the real
    coverage: Tensor  # (M,), 0 or 1: a generated image lies in the real one's ball


def manifold(reference: Tensor, features: Tensor, neighbours: int = 5) -> Manifold:
    """Return how generated images lie among real ones, by Euclidean distance between their features.

    A ball is open, as in the authors' code (`prdc`): an image at exactly the radius is outside. So an image
    with k copies of itself in its own set has an empty ball, and a generator that collapsed to one image
    recalls nothing. Each set against itself scores 1 throughout, if no image has k copies.

    Features are rounded to a grid, for 128 of them 2⁻²² of the largest magnitude, or up to twice as coarse.
    On it, every sum of squares is an integer that float64 holds: equal images are at distance 0, ties are
    ties, and neither order, nor blocks, nor threads change a bit.

    Args:
        reference: features of real images, (M, D).
        features: features of generated images, (N, D).
        neighbours: k, at least 1; the image itself is none of them.

    Raises:
        ValueError: one of the sets has no more than k images, so that no k-th neighbour exists.
    """
    if min(len(reference), len(features)) <= neighbours:
        counts = f"{len(reference)} and {len(features)}"
        raise ValueError(f"{neighbours} neighbours need more images than that in each set, got {counts}")
    real, made = _on_grid(reference, features)
    real_radii, made_radii = _squared_radii(real, neighbours), _squared_radii(made, neighbours)
    balls = torch.zeros(len(made), dtype=torch.float64)
    recalled, covered = [], []
    for squared, radii in zip(_squared_distances(real, made), real_radii.split(ROWS), strict=True):
        inside = squared < radii[:, None]
        balls += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((squared < made_radii).any(1))
    return Manifold(
        precision=(balls > 0).double(),
        recall=torch.cat(recalled).double(),
        density=balls / neighbours,
        coverage=torch.cat(covered).double(),
    )


def _on_grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as integers (in float64) of so many bits that a sum of D squared differences is exact."""
    largest = max(float(first.abs().max()), float(second.abs().max()))
    # D squared differences of numbers up to 2^bits are up to D · (2 · 2^bits)², which must not exceed 2^53.
    bits = (MANTISSA - 2 - math.ceil(math.log2(first.shape[1]))) // 2
    scale = 2.0 ** (bits - math.frexp(largest)[1])
    return (first.double() * scale).round_(), (second.double() * scale).round_()


def _squared_radii(points: Tensor, neighbours: int) -> Tensor:
    """Return each point's squared distance to its k-th nearest neighbour: (N,)."""
    nearest = [
        squared.topk(neighbours + 1, largest=False).values.amax(1)  # itself is the nearest, at 0
        for squared in _squared_distances(points, points)
    ]
    return torch.cat(nearest)


def _squared_distances(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    """Yield the squared distances of ROWS points of `first` at a time to all of `second`."""
    lengths = second.square().sum(1)
    for points in first.split(ROWS):
        yield torch.addmm(lengths, points, second.T, alpha=-2).add_(points.square().sum(1, keepdim=True))
