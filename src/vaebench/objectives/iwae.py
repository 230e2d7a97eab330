"""The importance-weighted bound: Burda et al., Importance Weighted Autoencoders, 2016, equation 8."""

import math

import torch
from torch import Tensor

from vaebench.models.losses import Terms, kl_divergence, squared_error
from vaebench.models.posterior import Posterior
from vaebench.models.vae import VAE

LIKELIHOOD = "gaussian"


def iwae(vae: VAE, images: Tensor, noise: Tensor, *, draws: int) -> Terms:
    """Return −ln (1/k Σ w) of each image, less 392·ln π, of the Gaussian decoder with σ² = 1/2.

    w = p(x|z) p(z) / q(z|x), with k = `draws` z of each image, drawn by `noise` (B, k, latent_dim).
    """
    posterior = vae.encode(images)
    mean, log_var = (each[:, None] for each in posterior)
    latents = Posterior(mean, log_var).sample(noise)
    repeated = images.repeat_interleave(draws, 0)
    errors = squared_error(repeated, vae.decode(latents.flatten(0, 1))).unflatten(0, (-1, draws))
    # ln p(z) − ln q(z|x), in terms of the noise.
    log_ratios = 0.5 * (noise.square() - latents.square() + log_var).sum(2)
    loss = math.log(draws) - torch.logsumexp(log_ratios - errors, 1)
    return Terms.of(loss, errors.mean(1), kl_divergence(*posterior))
