"""A variational autoencoder of any network."""

from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.data.tensors import build_model, load_tensors, load_weights, save_tensors
from vaebench.models.posterior import Posterior
from vaebench.pipeline.extensions import names
from vaebench.pipeline.files import UnusableFileError

SIDE = 28  # pixels of an image


class Network(NamedTuple):
    """What a function in `vaebench.networks` returns."""

    encoder: nn.Module  # (B, 1, 28, 28), float32 in [0, 1] → Posterior
    decoder: nn.Module  # (B, latent_dim) → (B, 1, 28, 28): the logits of pixels


class VAE(nn.Module):
    """An encoder and a decoder, and what they are trained by."""

    def __init__(self, latent_dim: int, network: str = "conv", objective: str = "elbo") -> None:
        """Draw its initial weights.

        Args:
            latent_dim: how many dimensions its latent space has.
            network: which of `vaebench.networks` it is.
            objective: which of `vaebench.objectives` it is trained by.
        """
        super().__init__()
        self.latent_dim = latent_dim
        self.network = network
        self.objective = objective
        build = getattr(import_module(f"vaebench.networks.{network}"), network)
        self.encoder, self.decoder = build(latent_dim)

    @property
    def likelihood(self) -> str:
        """What its decoder is: "gaussian", "bernoulli", or "none", where it is a plain autoencoder."""
        found: str = import_module(f"vaebench.objectives.{self.objective}").LIKELIHOOD
        return found

    def encode(self, images: Tensor) -> Posterior:
        """Return q(z|x) of `images`: (B, 1, 28, 28), float32 in [0, 1]."""
        mean, log_var = self.encoder(images)
        return Posterior(mean.to(images.dtype), log_var.to(images.dtype))

    def logits(self, latents: Tensor) -> Tensor:
        """Return the logits of the pixels of `latents` (B, latent_dim): (B, 1, 28, 28)."""
        logits: Tensor = self.decoder(latents)
        return logits.to(latents.dtype)  # in bfloat16, white would be coarse

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of `latents` (B, latent_dim): (B, 1, 28, 28), float32 in [0, 1]."""
        return self.logits(latents).sigmoid()


def build_vae(latent_dim: int, seed: int, network: str = "conv", objective: str = "elbo") -> VAE:
    """Return a VAE with PyTorch's default initial weights, drawn from `seed`."""
    return build_model(lambda: VAE(latent_dim, network, objective), seed)


def save_vae(path: Path, vae: VAE) -> None:
    """Write the weights and the configuration that rebuilds the model."""
    save_tensors(path, vae.state_dict(), _about(vae.latent_dim, vae.network, vae.objective))


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
        latent_dim = next((weights[name].numel() for name in weights if name.endswith("mean.bias")), 0)
    wanted = {"latent_dim": [latent_dim], "network": names("networks"), "objective": names("objectives")}
    known = all(about.get(key) in allowed for key, allowed in wanted.items())
    if not known or about != _about(*(about[key] for key in wanted)):
        allowed = ", ".join(f"{key} {' or '.join(map(str, values))}" for key, values in wanted.items())
        raise UnusableFileError(path, f"must hold a vae of {allowed}, says that it holds {about}")
    vae = build_vae(latent_dim, 0, about["network"], about["objective"])
    load_weights(path, vae, weights)
    return vae.requires_grad_(requires_grad=False).to(device).eval()


def _about(latent_dim: int, network: str, objective: str) -> dict[str, int | str]:
    return {"model": "vae", "latent_dim": latent_dim, "network": network, "objective": objective}
