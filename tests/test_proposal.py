"""The proposal of the likelihood: exact where the posterior is Gaussian, good where it is not."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import multivariate_t  # type: ignore[import-untyped]
from torch import Generator, Tensor

from test_likelihood import LinearVAE
from vaebench.data.dataset import Dataset
from vaebench.device import Workers
from vaebench.evaluation.proposal import DEGREES, Proposal, fit_proposal
from vaebench.models.vae import VAE

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("variance", [0.02, 0.5])
def test_posterior_of_a_linear_decoder_is_found(workers: Workers, variance: float) -> None:
    """Wherever the search starts: the encoder is off by three of its standard deviations."""
    vae = LinearVAE([3.0, 1.0, 0.2], variance=variance, shift=3.0)
    images = vae.draw(5)
    found = fit_proposal(vae, images, variance, workers)
    precision = vae.weight.T @ vae.weight / variance + torch.eye(3)
    mode = torch.linalg.solve(precision, vae.weight.T @ (images.flatten(1) - vae.bias).T / variance).T
    torch.testing.assert_close(found.mode, mode, rtol=1e-6, atol=1e-8)
    scale = (found.factor @ found.factor.mT)[0]
    torch.testing.assert_close(scale, torch.linalg.inv(precision), rtol=1e-6, atol=1e-8)


def test_density_of_the_draws_is_scipys() -> None:
    factor = torch.tensor([[0.5, 0.0], [0.3, 2.0]], dtype=torch.float64)
    mode = torch.tensor([[1.0, -2.0], [0.0, 5.0]], dtype=torch.float64)
    latents, log_density = Proposal(mode, factor.expand(2, 2, 2)).sample(7, seeded())
    for image in range(2):
        oracle = multivariate_t(mode[image], factor @ factor.T, df=DEGREES)
        torch.testing.assert_close(log_density[image], torch.from_numpy(oracle.logpdf(latents[image])))


@pytest.mark.usefixtures("global_rng_untouched")
def test_draws_have_the_moments_of_their_distribution() -> None:
    factor = torch.tensor([[[0.5, 0.0], [0.3, 2.0]]], dtype=torch.float64)
    latents, _ = Proposal(torch.tensor([[1.0, -2.0]], dtype=torch.float64), factor).sample(100_000, seeded())
    torch.testing.assert_close(latents[0].mean(0).tolist(), [1.0, -2.0], rtol=0, atol=0.03)
    covariance = (factor @ factor.mT)[0] * DEGREES / (DEGREES - 2)
    torch.testing.assert_close(latents[0].T.cov(), covariance, rtol=0.03, atol=0.02)


def log_weights(vae: VAE, images: Tensor, variance: float, draws: int, workers: Workers) -> Tensor:
    latents, log_density = fit_proposal(vae, images, variance, workers).sample(draws, seeded(1))
    with torch.no_grad():
        decoded = (
            vae.decode(latents.flatten(0, 1).to(images.dtype)).flatten(1).unflatten(0, latents.shape[:2])
        )
    error = (images.flatten(1)[:, None] - decoded).double().square().sum(2)
    log_likelihood = -error / (2 * variance) - 784 / 2 * math.log(2 * math.pi * variance)
    log_prior = -latents.square().sum(2) / 2 - latents.shape[2] * HALF_LOG_TAU
    found: Tensor = log_likelihood + log_prior - log_density
    return found


def test_few_draws_find_the_exact_likelihood_of_a_linear_decoder(workers: Workers) -> None:
    vae = LinearVAE([3.0, 1.0, 0.2], variance=0.05, shift=3.0)
    images = vae.draw(4)
    weights = log_weights(vae, images, 0.05, 400, workers)
    nll = math.log(400) - weights.logsumexp(1)
    torch.testing.assert_close(nll, vae.exact_nll(images), rtol=0, atol=0.1)


def test_weights_are_even_where_the_encoder_knows_nothing(
    digits: Dataset, tiny_vae: Callable[[int, int], VAE], workers: Workers
) -> None:
    """An untrained encoder, a small σ², a decoder that bends: still most draws count."""
    vae, images = tiny_vae(3, 0), digits.test.images[:6]
    with torch.no_grad():
        vae.get_parameter("decoder.0.weight").mul_(3)
    weights = log_weights(vae, images, 0.01, 200, workers).softmax(1)
    assert (1 / weights.square().sum(1)).min() > 50


def test_workers_do_not_change_a_bit(
    digits: Dataset, tiny_vae: Callable[[int, int], VAE], crews: list[Workers]
) -> None:
    found = [fit_proposal(tiny_vae(2, 0), digits.test.images[:130], 0.1, crew) for crew in crews]
    for other in found[1:]:
        assert torch.equal(other.mode, found[0].mode)
        assert torch.equal(other.factor, found[0].factor)


def test_collapsed_decoder_leaves_the_prior(workers: Workers) -> None:
    vae = LinearVAE([0.0, 0.0], variance=0.1)
    found = fit_proposal(vae, vae.draw(3), 0.1, workers)
    torch.testing.assert_close(found.mode, torch.zeros(3, 2, dtype=torch.float64))
    torch.testing.assert_close(found.factor, torch.eye(2, dtype=torch.float64).expand(3, 2, 2))
