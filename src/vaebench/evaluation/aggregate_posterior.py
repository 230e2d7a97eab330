"""The aggregated posterior q(z): the mean of all images' posteriors, which the prior stands for."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaebench.evaluation.confusion import CLASSES
from vaebench.models.posterior import Posterior

BLOCK = 500  # points compared with every posterior at once: 40 MB at 10,000 images


class AggregatePosterior(NamedTuple):
    """What `aggregate_posterior` finds, in nats."""

    mutual_information: float  # between image and z; 0 to ln N, up to the noise of the draws
    marginal_kl: float  # KL(q(z) ‖ N(0, I)), at least 0, up to the noise of the draws
    marginal_kl_floor: float  # at least 0: a lower bound of what it would be with any number of images
    overlap: Tensor  # (10, 10), float64; row: digit of a point, column: expected share of each digit there


def aggregate_posterior(posterior: Posterior, labels: Tensor, noise: Tensor) -> AggregatePosterior:
    """Compare one z of each image with every image's posterior.

    q(z) = 1/N Σ_j q(z|x_j), over these N images. KL falls into two parts (Hoffman & Johnson, ELBO surgery,
    2016), E KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ p(z)), estimated by the means, over the N points z, of
    ln q(z|x) − ln q(z) and of ln q(z) − ln p(z). Their sum is the sampled KL exactly.

    ln N caps the mutual information: ln N nats tell one of N images from the others, 9.21 at 10,000. Near the
    cap, the marginal KL is little more than KL − ln N: it says that N small posteriors do not fill the prior,
    and nothing of how well those of all possible images would. Theirs lies, in expectation, between the floor
    and the marginal KL of N images. The floor leaves each point's own posterior out of q(z): the
    leave-one-out bound of Poole et al., On Variational Bounds of Mutual Information, 2019.

    The overlap is the mean, over the points of a digit, of each digit's responsibility for them: the sum of
    q(z|x_j) over that digit's images, divided by the sum over all images, so that digits weigh as often as
    they occur. A point's own posterior is left out of both. In many dimensions it is by far the nearest, and
    every point would find its own digit, however mixed the digits are. Rows sum to 1; that of a digit that
    does not occur is 0.

    Args:
        posterior: q(z|x) of N images, at least two.
        labels: the digits, (N,), int64.
        noise: (N, latent_dim), drawn from N(0, I): makes each image's z.
    """
    exact = Posterior(posterior.mean.double(), posterior.log_var.double())
    noise = noise.double()
    latents = exact.sample(noise)
    digits = one_hot(labels, CLASSES).double()
    components = _components(exact)

    log_others = []  # ln Σ q(z|x_j) over the other images
    shares = []
    for rows in torch.arange(len(labels)).split(BLOCK):
        z = latents[rows]
        log_densities = torch.cat([z.square(), z, torch.ones(len(z), 1, dtype=z.dtype)], dim=1) @ components
        log_densities[torch.arange(len(z)), rows] = -math.inf
        highest = log_densities.amax(1, keepdim=True)
        by_digit = log_densities.sub_(highest).exp_() @ digits
        total = by_digit.sum(1, keepdim=True)
        log_others.append(highest + total.log())
        shares.append(by_digit / total)

    count = len(labels)
    log_own = _log_normal(noise) - 0.5 * exact.log_var.sum(1)
    without_own = torch.cat(log_others).squeeze(1)
    log_marginal = torch.logaddexp(without_own, log_own) - math.log(count)
    log_prior = _log_normal(latents)
    floor = float((without_own - math.log(count - 1) - log_prior).mean())
    overlap = digits.T @ torch.cat(shares) / digits.sum(0).clamp(min=1)[:, None]
    return AggregatePosterior(
        float((log_own - log_marginal).mean()),
        float((log_marginal - log_prior).mean()),
        max(0.0, floor),
        overlap,
    )


def _components(posterior: Posterior) -> Tensor:
    """Return the columns whose products with (z², z, 1) are ln q(z|x_j): (2·latent_dim + 1, N)."""
    mean, log_var = posterior
    precision = torch.exp(-log_var)
    constant = -0.5 * (mean.square() * precision + log_var + math.log(2 * math.pi)).sum(1)
    return torch.cat([-0.5 * precision.T, (mean * precision).T, constant[None]])


def _log_normal(points: Tensor) -> Tensor:
    """Return ln N(z; 0, I) of each of the `points` (N, latent_dim): (N,)."""
    return -0.5 * (points.square() + math.log(2 * math.pi)).sum(1)
