"""The negative ELBO of a Gaussian decoder whose σ² is fitted to each batch.

Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders, 2021, section 4.2: the σ² that
makes a batch likeliest is its mean squared error per pixel. On a CPU a batch is a micro-batch here.
"""

import math

from torch import Tensor

from vaebench.models.losses import Terms, loss_terms
from vaebench.models.vae import VAE

LIKELIHOOD = "gaussian"
LEAST = 1 / (12 * 255**2)  # variance of what 256 greys cannot tell apart; a density is no sharper


def calibrated(vae: VAE, images: Tensor, noise: Tensor) -> Terms:
    """Return Σ (x − x̂)²/2σ² + 392·ln(2πσ²) + KL of each image, in nats, with z drawn by `noise`."""
    measured = loss_terms(vae, images, noise)
    pixels = images[0].numel()
    error, kl = measured.unbind(1)
    # At its best, moving σ² changes nothing to first order: taken as fixed, the gradient is the same.
    variance = (error.detach().mean() / pixels).clamp(min=LEAST)
    log_volume = pixels / 2 * (2 * math.pi * variance).log()
    return Terms(error / (2 * variance) + log_volume + kl, measured)
