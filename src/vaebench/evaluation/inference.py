"""Passes of a trained model over many images, in chunks, on all cores."""

import torch
from torch import Generator, Tensor

from vaebench.device import Workers
from vaebench.vae import VAE


def encode_means(vae: VAE, images: Tensor, workers: Workers) -> Tensor:
    """Return the posterior mean of each of the `images` (N, 1, 28, 28): (N, latent_dim), on the CPU."""
    return torch.cat(workers.infer(lambda chunk: vae.encode(chunk).mean, images))


def decode(vae: VAE, latents: Tensor, workers: Workers) -> Tensor:
    """Return the image of each of the `latents` (N, latent_dim): (N, 1, 28, 28), in [0, 1], on the CPU."""
    return torch.cat(workers.infer(vae.decode, latents))


def prior_samples(vae: VAE, count: int, generator: Generator, workers: Workers) -> Tensor:
    """Return `count` images decoded from N(0, I): (count, 1, 28, 28), in [0, 1], on the CPU."""
    return decode(vae, torch.randn(count, vae.latent_dim, generator=generator), workers)


def interpolate(vae: VAE, ends: Tensor, steps: int, workers: Workers) -> Tensor:
    """Decode the straight lines between pairs of latents.

    Args:
        vae: the model.
        ends: the pairs, (P, 2, latent_dim).
        steps: images a line, its ends among them.
        workers: who computes.

    Returns:
        (P, steps, 1, 28, 28), in [0, 1].
    """
    weights = torch.linspace(0, 1, steps)[:, None]
    lines = ends[:, :1] * (1 - weights) + ends[:, 1:] * weights  # (P, steps, latent_dim)
    return decode(vae, lines.flatten(0, 1), workers).reshape(len(ends), steps, 1, 28, 28)
