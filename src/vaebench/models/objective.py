"""An objective by its name, with its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Generator, Tensor

from vaebench.models.losses import Terms
from vaebench.models.vae import VAE


@dataclass(frozen=True)
class Objective:
    """What training minimises."""

    terms: Callable[..., Terms]  # of a model, images and noise, and the parameters
    parameters: Mapping[str, float]

    def __call__(self, vae: VAE, images: Tensor, noise: Tensor) -> Terms:
        """Return what it makes of each image.

        Args:
            vae: the model.
            images: (B, 1, 28, 28), float32 in [0, 1].
            noise: as `noise` returns it.
        """
        return self.terms(vae, images, noise, **self.parameters)

    def noise(self, count: int, latent_dim: int, generator: Generator) -> Tensor:
        """Draw from N(0, I) what `count` images need: (count, latent_dim).

        Of an objective with the parameter `draws`, (count, draws, latent_dim).
        """
        draws = [int(self.parameters["draws"])] if "draws" in self.parameters else []
        return torch.randn(count, *draws, latent_dim, generator=generator)


def load_objective(name: str, parameters: Mapping[str, float] | None = None) -> Objective:
    """Return the function of that name in `vaebench.objectives`, with its parameters."""
    return Objective(getattr(import_module(f"vaebench.objectives.{name}"), name), parameters or {})
