"""Passes of a trained model over many images, in chunks, on all cores."""

import torch
from torch import Tensor

from vaebench.device import Workers
from vaebench.vae import VAE, Posterior


def encode(vae: VAE, images: Tensor, workers: Workers) -> Posterior:
    """Return the posterior of each of the `images` (N, 1, 28, 28), on the CPU."""
    return Posterior(
        *torch.cat(workers.infer(lambda chunk: torch.stack(vae.encode(chunk), 1), images)).unbind(1)
    )


def decode(vae: VAE, latents: Tensor, workers: Workers) -> Tensor:
    """Return the image of each of the `latents` (N, latent_dim): (N, 1, 28, 28), in [0, 1], on the CPU."""
    return torch.cat(workers.infer(vae.decode, latents))


def straight_lines(ends: Tensor, steps: int) -> Tensor:
    """Return evenly spaced points from one end of each line to the other: (P, steps, latent_dim).

    Args:
        ends: (P, 2, latent_dim).
        steps: points a line, its ends among them; at least 2.
    """
    weights = torch.linspace(0, 1, steps)[:, None]
    return ends[:, :1] * (1 - weights) + ends[:, 1:] * weights
