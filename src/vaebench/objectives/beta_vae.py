"""The loss with another weight of KL: Higgins et al., beta-VAE, 2017, equation 4."""

from torch import Tensor

from vaebench.models.losses import Terms, loss_terms
from vaebench.models.vae import VAE

LIKELIHOOD = "gaussian"


def beta_vae(vae: VAE, images: Tensor, noise: Tensor, *, beta: float) -> Terms:
    """Return Σ (x − x̂)² + β · KL of each image, with z drawn by `noise` (B, latent_dim)."""
    measured = loss_terms(vae, images, noise)
    return Terms(measured[:, 0] + beta * measured[:, 1], measured)
