"""The diagonal Gaussian that an encoder gives of each image."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Posterior(NamedTuple):
    """The diagonal Gaussian q(z|x) of each image."""

    mean: Tensor  # (B, latent_dim)
    log_var: Tensor  # (B, latent_dim), natural logarithm of the variance

    def sample(self, noise: Tensor) -> Tensor:
        """Return z = mean + σ · noise, where `noise` is drawn from N(0, I): (B, latent_dim)."""
        return self.mean + torch.exp(0.5 * self.log_var) * noise


class Heads(nn.Module):
    """The last layers of an encoder: one for the mean, one for the logarithm of the variance."""

    def __init__(self, features: int, latent_dim: int) -> None:
        """Take so many features."""
        super().__init__()
        self.mean = nn.Linear(features, latent_dim)
        self.log_var = nn.Linear(features, latent_dim)

    def forward(self, features: Tensor) -> Posterior:
        """Return q(z|x) of images with these `features` (B, features)."""
        return Posterior(self.mean(features), self.log_var(features))
