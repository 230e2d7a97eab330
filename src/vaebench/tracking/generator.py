"""The registered model: latents in, images out.

Where it is loaded, MLflow imports this module from the copy of the package that it keeps with the weights.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from vaebench.models.vae import VAE, load_vae


class Generator:
    """The decoder of a trained VAE, on the CPU."""

    def __init__(self, vae: VAE) -> None:
        self._vae = vae

    def predict(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the images of `latents` (N, latent_dim): (N, 1, 28, 28) in [0, 1]."""
        with torch.inference_mode():
            images: NDArray[np.float32] = self._vae.decode(torch.from_numpy(latents)).numpy()
        return images


def _load_pyfunc(weights: str) -> Generator:
    """Return the model that MLflow then calls `predict` of; the name is MLflow's."""
    return Generator(load_vae(weights))
