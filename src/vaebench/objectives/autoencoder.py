"""The squared error alone, with z = mean: the plain autoencoder that the report starts from (1.2.1)."""

from torch import Tensor

from vaebench.models.losses import Terms, squared_error
from vaebench.models.vae import VAE

LIKELIHOOD = "none"


def autoencoder(vae: VAE, images: Tensor, noise: Tensor) -> Terms:  # noqa: ARG001  nothing is drawn
    """Return Σ (x − x̂)² of each image."""
    error = squared_error(images, vae.decode(vae.encode(images).mean))
    return Terms.of(error, error)
