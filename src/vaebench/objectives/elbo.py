"""The report's loss: the negative ELBO of a Gaussian decoder with σ² = 1/2, less 392·ln π."""

from torch import Tensor

from vaebench.models.losses import Terms, loss_terms
from vaebench.models.vae import VAE

LIKELIHOOD = "gaussian"


def elbo(vae: VAE, images: Tensor, noise: Tensor) -> Terms:
    """Return Σ (x − x̂)² + KL of each image, with z drawn by `noise` (B, latent_dim)."""
    measured = loss_terms(vae, images, noise)
    return Terms(measured.sum(1), measured)
