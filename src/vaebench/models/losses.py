"""The report's loss: squared error + KL, both in the convention of its table."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vaebench.device import Workers
from vaebench.models.posterior import Posterior
from vaebench.models.vae import VAE


class Losses(NamedTuple):
    """Means over images."""

    reconstruction_loss: float  # squared error, summed over pixels
    kl_loss: float | None = None  # nats, summed over latent dimensions; a plain autoencoder has none

    @property
    def combined_loss(self) -> float:
        """Reconstruction + KL: the negative ELBO of a Gaussian decoder with σ² = 1/2, less 392·ln π."""
        return self.reconstruction_loss + (self.kl_loss or 0.0)

    def named(self, prefix: str = "") -> dict[str, float]:
        """Return the three losses by name; without KL, the first alone."""
        names = ("reconstruction_loss", "kl_loss", "combined_loss")
        return {f"{prefix}{name}": getattr(self, name) for name in names[: 1 if self.kl_loss is None else 3]}


class Terms(NamedTuple):
    """What a model makes of each image of a batch."""

    loss: Tensor  # (B,), whose mean is minimised
    measured: Tensor  # (B, K), what is watched: of a VAE, the fields of `Losses`

    @classmethod
    def of(cls, loss: Tensor, *measured: Tensor) -> "Terms":
        """Take each measure as a tensor of its own, (B,), apart from any gradient."""
        return cls(loss, torch.stack([each.detach() for each in measured], dim=1))


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Return Σ (x − x̂)² over the pixels of each image: (B, 1, 28, 28) twice → (B,)."""
    return (images - reconstructions).square().flatten(1).sum(1)


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_var)) ‖ N(0, I)) in nats: (B, latent_dim) twice → (B,).

    Kingma & Welling, Auto-Encoding Variational Bayes, 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)


def loss_terms(vae: VAE, images: Tensor, noise: Tensor) -> Tensor:
    """Return each image's reconstruction and KL loss, with z drawn by `noise`: (B, 2).

    Of a plain autoencoder, the reconstruction loss alone, with z = mean: (B, 1).
    """
    return encoded_loss_terms(vae, images, vae.encode(images), noise)


def encoded_loss_terms(vae: VAE, images: Tensor, posterior: Posterior, noise: Tensor) -> Tensor:
    """Return what `loss_terms` does, of images that are encoded already."""
    if vae.likelihood == "none":
        return squared_error(images, vae.decode(posterior.mean))[:, None]
    reconstructions = vae.decode(posterior.sample(noise))
    return torch.stack([squared_error(images, reconstructions), kl_divergence(*posterior)], dim=1)


def mean_losses(
    vae: VAE, images: Tensor, generator: Generator, workers: Workers, *, mixed: bool = False
) -> Losses:
    """Return the mean losses over all images.

    Args:
        vae: the model, on the device of `workers`.
        images: (N, 1, 28, 28), float32 in [0, 1].
        generator: one z an image comes from it.
        workers: who computes.
        mixed: whether to multiply in the precision of training; else in that of the weights.
    """
    noise = torch.randn(len(images), vae.latent_dim, generator=generator)

    def terms(*chunk: Tensor) -> Tensor:
        with workers.autocast(enabled=mixed):
            return loss_terms(vae, *chunk)

    return Losses(*torch.cat(workers.infer(terms, images, noise)).double().mean(0).tolist())
