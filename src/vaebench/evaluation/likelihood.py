"""How likely the model finds images, in nats: the ELBO with its constant, and a tighter bound."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vaebench.device import Workers
from vaebench.evaluation.inference import encode
from vaebench.models.losses import Losses, squared_error
from vaebench.models.posterior import Posterior
from vaebench.models.vae import VAE

PIXELS = 28 * 28
DRAWS_AT_ONCE = 25_000  # bounds the memory; other chunks would be other draws


class LikelihoodBound(NamedTuple):
    """An upper bound, in expectation, on −ln p(x)."""

    nll: Tensor  # (N,), float64, nats: the bound of each image
    mc_error: float  # nats: standard error of its mean over these images, with other draws


def negative_elbo(losses: Losses, variance: float) -> float:
    """Return the negative ELBO of the decoder N(x̂, σ²·I), in nats, mean over images.

    Σ(x − x̂)²/2σ² + 392·ln(2πσ²) + KL; at σ² = 1/2 the combined loss + 392·ln π. It bounds −ln p(x) from
    above. p is a density of greys in [0, 1], so that both may be negative.

    Args:
        losses: means over images; the reconstruction loss is of sampled z.
        variance: σ² of every pixel, above 0.
    """
    return losses.reconstruction_loss / (2 * variance) + _log_volume(variance) + (losses.kl_loss or 0.0)


def effective_beta(mse: float) -> float:
    """Return β = 0.5/mse: how much more the report's loss weighs KL than the ELBO does at the best σ².

    The β-VAE (Higgins et al., 2017) of the decoder N(x̂, σ²·I) minimises −E[ln p(x|z)] + β·KL = SE/2σ² +
    392·ln(2πσ²) + β·KL, with SE the squared error summed over pixels. For a fixed σ² that is (SE +
    2σ²β·KL)/2σ² and a constant, so that the report's loss, SE + KL, is the same objective for every pair with
    β = 1/2σ²: β = 1, the ELBO itself, at σ² = 1/2. But the σ² that makes the images likeliest is the squared
    error per pixel, σ² = mse (Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders,
    2021), and with it β = 0.5/mse.

    Args:
        mse: squared error per pixel of the training images, mean, of sampled z; above 0.
    """
    return 0.5 / mse


def importance_weighted_bound(
    vae: VAE,
    images: Tensor,
    variances: Sequence[float],
    draws: int,
    generator: Generator,
    workers: Workers,
) -> list[LikelihoodBound]:
    """Return the importance-weighted bound on −ln p(x) of decoders N(x̂, σ²·I), one for each σ².

    −ln (1/k Σ w), w = p(x|z)·p(z)/q(z|x), with k draws of z from q(z|x): Burda et al., Importance Weighted
    Autoencoders, 2016, section 3. In expectation it is the negative ELBO for one draw, falls as k rises, and
    goes to −ln p(x). Where q is far from the true posterior, as at a σ² that the encoder was not trained for,
    a few of the draws carry all the weight, and it needs many.

    `mc_error` takes the variance of an image's bound for var(w)/(k·mean(w)²) (delta method). That is at most
    1 nat²: where few draws carry the weight, it is too small. Of one draw it is 0.

    Args:
        vae: the model, on the device of `workers`.
        images: (N, 1, 28, 28).
        variances: each σ², above 0. The same draws serve all.
        draws: k, at least 1.
        generator: the draws come from it.
        workers: who computes; how many does not change a bit of the result.
    """
    posterior = encode(vae, images, workers)
    bounds: list[list[Tensor]] = [[] for _ in variances]
    for chunk in torch.arange(len(images)).split(max(1, DRAWS_AT_ONCE // draws)):
        part = Posterior(posterior.mean[chunk], posterior.log_var[chunk])
        noise = torch.randn(len(chunk), draws, vae.latent_dim, generator=generator)
        errors, log_ratios = _weigh(vae, images[chunk], part, noise, workers)
        for found, variance in zip(bounds, variances, strict=True):
            found.append(_bound(log_ratios - errors / (2 * variance) - _log_volume(variance)))
    return [_collect(torch.cat(found, dim=1)) for found in bounds]


def _log_volume(variance: float) -> float:
    """Return −ln of the decoder's density at its own mean."""
    return PIXELS / 2 * math.log(2 * math.pi * variance)


def _weigh(
    vae: VAE, images: Tensor, posterior: Posterior, noise: Tensor, workers: Workers
) -> tuple[Tensor, Tensor]:
    """Return Σ(x − x̂)² and ln p(z)/q(z|x) of each draw: (N, k) twice, float64; noise: (N, k, latent_dim)."""
    mean, log_var = (each[:, None] for each in posterior)
    latents = Posterior(mean, log_var).sample(noise)
    # In terms of the noise, as (z − mean)/σ would lose digits.
    log_ratios = 0.5 * (noise.double().square() - latents.double().square() + log_var.double()).sum(2)

    images = images.to(workers.device)
    rows = torch.arange(len(images)).repeat_interleave(noise.shape[1])
    errors = workers.infer(
        lambda latents, rows: squared_error(images[rows], vae.decode(latents)), latents.flatten(0, 1), rows
    )
    return torch.cat(errors).double().view_as(log_ratios), log_ratios


def _bound(log_weights: Tensor) -> Tensor:
    """Return the bound of each image and its variance over draws: (2, N), of ln w (N, k)."""
    draws = log_weights.shape[1]
    log_sum = log_weights.logsumexp(1)
    concentration = ((2 * log_weights).logsumexp(1) - 2 * log_sum).exp()  # Σw²/(Σw)², from 1/k to 1
    variance = (draws * concentration - 1).clamp(min=0) / max(draws - 1, 1)
    return torch.stack([math.log(draws) - log_sum, variance])


def _collect(bounds: Tensor) -> LikelihoodBound:
    nll, variance = bounds
    return LikelihoodBound(nll, float(variance.sum().sqrt()) / len(nll))
