"""Passes of a trained model over many images, in chunks, on all cores."""

import torch
from torch import Generator, Tensor

from vaebench.device import Workers
from vaebench.models.losses import encoded_loss_terms
from vaebench.models.posterior import Posterior
from vaebench.models.vae import VAE


def encode(vae: VAE, images: Tensor, workers: Workers) -> Posterior:
    """Return the posterior of each of the `images` (N, 1, 28, 28), on the CPU."""
    return Posterior(
        *torch.cat(workers.infer(lambda chunk: torch.stack(vae.encode(chunk), 1), images)).unbind(1)
    )


def decode(vae: VAE, latents: Tensor, workers: Workers) -> Tensor:
    """Return the image of each of the `latents` (N, latent_dim): (N, 1, 28, 28), in [0, 1], on the CPU."""
    return torch.cat(workers.infer(vae.decode, latents))


def image_losses(
    vae: VAE, images: Tensor, posterior: Posterior, generator: Generator, workers: Workers
) -> Tensor:
    """Return the reconstruction and the KL loss of each of the `images` (N, 1, 28, 28): (N, 2), float64.

    Of a plain autoencoder, the reconstruction loss alone: (N, 1).

    Args:
        vae: the model, on the device of `workers`.
        images: (N, 1, 28, 28).
        posterior: what `encode` returned of them.
        generator: one z an image comes from it.
        workers: who computes.
    """
    noise = torch.randn(len(images), vae.latent_dim, generator=generator)

    def terms(images: Tensor, mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        return encoded_loss_terms(vae, images, Posterior(mean, log_var), noise)

    return torch.cat(workers.infer(terms, images, *posterior, noise)).double()


def straight_lines(ends: Tensor, steps: int) -> Tensor:
    """Return evenly spaced points from one end of each line to the other: (P, steps, latent_dim).

    Args:
        ends: (P, 2, latent_dim).
        steps: points a line, its ends among them; at least 2.
    """
    weights = torch.linspace(0, 1, steps)[:, None]
    return ends[:, :1] * (1 - weights) + ends[:, 1:] * weights
