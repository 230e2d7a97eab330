"""The negative ELBO of a Bernoulli decoder, its cross-entropy on greys.

Kingma & Welling, Auto-Encoding Variational Bayes, 2014, appendix C.1. Of greys it is no likelihood: a
Bernoulli variable is 0 or 1 (Loaiza-Ganem & Cunningham, The continuous Bernoulli, 2019).
"""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vaebench.models.losses import Terms, kl_divergence, squared_error
from vaebench.models.vae import VAE

LIKELIHOOD = "bernoulli"


def bernoulli(vae: VAE, images: Tensor, noise: Tensor) -> Terms:
    """Return −Σ (x ln x̂ + (1 − x) ln(1 − x̂)) + KL of each image, in nats, with z drawn by `noise`."""
    posterior = vae.encode(images)
    logits = vae.logits(posterior.sample(noise))
    cross_entropy = binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)
    kl = kl_divergence(*posterior)
    return Terms.of(cross_entropy + kl, squared_error(images, logits.sigmoid()), kl)
