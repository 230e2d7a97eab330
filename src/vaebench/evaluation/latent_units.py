"""Which units of the latent space the encoder uses, and how much."""

from torch import Tensor

ACTIVE = 0.01  # Burda et al. 2016


def unit_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(q(z_u|x) ‖ N(0, 1)) of each unit u in nats, mean over images: (latent_dim,), float64.

    Kingma & Welling, Auto-Encoding Variational Bayes, 2014, appendix B. At least 0; their sum is the KL loss.

    Args:
        mean: of each image's posterior, (N, latent_dim).
        log_var: natural logarithm of its variance, (N, latent_dim).
    """
    mean, log_var = mean.double(), log_var.double()
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean(0)


def active_units(mean: Tensor, threshold: float = ACTIVE) -> Tensor:
    """Return which units vary with the image: (latent_dim,), bool.

    Those with Cov_x(E[z_u|x]) > 0.01: Burda et al., Importance Weighted Autoencoders, 2016, section 5.2.

    Args:
        mean: of each image's posterior, (N, latent_dim).
        threshold: of the variance over images.
    """
    return mean.double().var(0, correction=0) > threshold
