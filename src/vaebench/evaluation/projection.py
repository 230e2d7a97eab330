"""The latent space as a picture can show it."""

from typing import NamedTuple

import torch
from torch import Tensor

SHOWN_WHOLE = 3  # up to so many dimensions are drawn as they are


class Projection(NamedTuple):
    """Points to draw, and how any other latent would be drawn: (latent − centre) @ axes."""

    points: Tensor  # (N, K), float32
    explained_variance: Tensor  # (K,), share of all variance on each axis
    centre: Tensor  # (latent_dim,), float32
    axes: Tensor  # (latent_dim, K), float32, orthonormal columns


def project(means: Tensor) -> Projection:
    """Return the latents as they are up to 3 dimensions, and their first two principal components above.

    Args:
        means: (N, latent_dim).
    """
    centred = (means - means.mean(0)).double()
    variance = centred.square().sum(0)
    if means.shape[1] <= SHOWN_WHOLE:
        whole = torch.eye(means.shape[1])
        return Projection(means, _shares(variance, variance.sum()), torch.zeros(len(whole)), whole)
    _, axes = torch.linalg.eigh(centred.T @ centred)  # ascending
    axes = axes[:, [-1, -2]]
    # An eigenvector's sign is arbitrary: its largest component is made positive, so that pictures repeat.
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    points = centred @ axes
    shares = _shares(points.square().sum(0), variance.sum())
    return Projection(points.float(), shares, means.mean(0), axes.float())


def _shares(variance: Tensor, total: Tensor) -> Tensor:
    """Return variance / total, and 0 where nothing varies."""
    return torch.where(total > 0, variance / total, torch.zeros_like(variance)).float()
