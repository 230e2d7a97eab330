"""The report's convolutional variational autoencoder."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.data.tensors import build_model, load_tensors, load_weights, save_tensors
from vaebench.models.layers import Convolutions, ConvTranspose2d, ToPixels
from vaebench.pipeline.files import UnusableFileError


class Posterior(NamedTuple):
    """The diagonal Gaussian q(z|x) of each image."""

    mean: Tensor  # (B, latent_dim)
    log_var: Tensor  # (B, latent_dim), natural logarithm of the variance

    def sample(self, noise: Tensor) -> Tensor:
        """Return z = mean + σ · noise, where `noise` is drawn from N(0, I): (B, latent_dim)."""
        return self.mean + torch.exp(0.5 * self.log_var) * noise


class VAE(nn.Module):
    """Four convolutions, two linear heads, and the mirror of it.

    The filters and strides are the report's (and those of Foster, Generative Deep Learning, ch. 3).
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        # In place: the backward pass of LeakyReLU needs its output alone.
        self.encoder = Convolutions(
            nn.Conv2d(1, 32, 3, stride=1, padding=1),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),  # to 14×14
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),  # to 7×7
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(64, 64, 3, stride=1, padding=1),
            nn.LeakyReLU(inplace=True),
        )
        self.mean = nn.Linear(7 * 7 * 64, latent_dim)
        self.log_var = nn.Linear(7 * 7 * 64, latent_dim)
        self.expand = nn.Linear(latent_dim, 7 * 7 * 64)
        self.decoder = Convolutions(
            ConvTranspose2d(64, 64, stride=1),
            nn.LeakyReLU(inplace=True),
            ConvTranspose2d(64, 64, stride=2),  # to 14×14
            nn.LeakyReLU(inplace=True),
            ConvTranspose2d(64, 32, stride=2),  # to 28×28
            nn.LeakyReLU(inplace=True),
            ToPixels(32),
        )

    def encode(self, images: Tensor) -> Posterior:
        """Return q(z|x) of `images`: (B, 1, 28, 28), float32 in [0, 1]."""
        features = self.encoder(images).permute(0, 2, 3, 1).flatten(1)  # as they lie in memory: no copy
        return Posterior(self.mean(features).to(images.dtype), self.log_var(features).to(images.dtype))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of `latents` (B, latent_dim): (B, 1, 28, 28), float32 in [0, 1]."""
        features = self.expand(latents).unflatten(1, (7, 7, 64)).permute(0, 3, 1, 2)
        logits: Tensor = self.decoder(features)
        return logits.to(latents.dtype).sigmoid()  # in bfloat16, white would be coarse


def build_vae(latent_dim: int, seed: int) -> VAE:
    """Return a VAE with PyTorch's default initial weights, drawn from `seed`."""
    return build_model(lambda: VAE(latent_dim), seed)


def save_vae(path: Path, vae: VAE) -> None:
    """Write the weights and the configuration that rebuilds the model."""
    save_tensors(path, vae.state_dict(), {"model": "vae", "latent_dim": vae.latent_dim})


def load_vae(path: Path | str, device: torch.device | str = "cpu", latent_dim: int | None = None) -> VAE:
    """Rebuild the model that `save_vae` wrote, in evaluation mode and without gradients.

    Args:
        path: the file.
        device: where the model goes.
        latent_dim: how many dimensions it must have; where None, as many as the file says.

    Raises:
        UnusableFileError: the file is not that of such a model.
    """
    weights, about = load_tensors(path)
    if latent_dim is None:  # from the weights, which are as large as they say
        latent_dim = weights["mean.bias"].numel() if "mean.bias" in weights else 0
    wanted = {"latent_dim": latent_dim, "model": "vae"}
    if about != wanted:
        raise UnusableFileError(path, f"must hold {wanted}, says that it holds {about}")
    vae = build_vae(latent_dim, seed=0)
    load_weights(path, vae, weights)
    return vae.requires_grad_(requires_grad=False).to(device).eval()
