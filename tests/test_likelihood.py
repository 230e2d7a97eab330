"""The ELBO and the importance-weighted bound, against densities known in closed form."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import LowRankMultivariateNormal, Normal

from vaebench.data.dataset import Dataset
from vaebench.device import Workers
from vaebench.evaluation import likelihood
from vaebench.evaluation.inference import encode
from vaebench.evaluation.likelihood import (
    PIXELS,
    LikelihoodBound,
    effective_beta,
    importance_weighted_bound,
    negative_elbo,
)
from vaebench.models.losses import Losses, mean_losses, squared_error
from vaebench.models.posterior import Posterior
from vaebench.models.vae import VAE, build_vae


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


class LinearVAE(VAE):
    """x = W z + b + σ·noise with orthogonal columns W: everything about it is Gaussian and known."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, scales: list[float], variance: float, *, wider: float = 1.0, shift: float = 0.0
    ) -> None:
        nn.Module.__init__(self)
        self.latent_dim = len(scales)
        directions = torch.randn(PIXELS, self.latent_dim, generator=seeded(5), dtype=torch.float64)
        self.weight = torch.linalg.qr(directions)[0] * torch.tensor(scales, dtype=torch.float64)
        self.bias = torch.linspace(0, 1, PIXELS, dtype=torch.float64)
        self.variance = variance
        self.wider, self.shift = wider, shift  # what keeps q from being the true posterior

    def encode(self, images: Tensor) -> Posterior:
        precision = 1 + self.weight.square().sum(0) / self.variance
        mean = (images.flatten(1) - self.bias) @ self.weight / self.variance / precision
        log_var = (self.wider / precision).log().expand_as(mean)
        return Posterior(mean + self.shift * (0.5 * log_var).exp(), log_var)

    def decode(self, latents: Tensor) -> Tensor:
        return (latents @ self.weight.T + self.bias).view(-1, 1, 28, 28)

    def draw(self, count: int) -> Tensor:
        latents = torch.randn(count, self.latent_dim, generator=seeded(1), dtype=torch.float64)
        noise = torch.randn(count, 1, 28, 28, generator=seeded(2), dtype=torch.float64)
        return self.decode(latents) + math.sqrt(self.variance) * noise

    def exact_nll(self, images: Tensor) -> Tensor:
        noise = torch.full((PIXELS,), self.variance, dtype=torch.float64)
        density: Tensor = LowRankMultivariateNormal(self.bias, self.weight, noise).log_prob(images.flatten(1))
        return -density


def bound(
    vae: VAE, images: Tensor, variance: float, draws: int, workers: Workers, seed: int = 0
) -> LikelihoodBound:
    return importance_weighted_bound(vae, images, [variance], draws, seeded(seed), workers)[0]


# The ELBO.


def test_negative_elbo_at_half_is_the_combined_loss_and_the_reports_constant() -> None:
    losses = Losses(22.89452, 8.39849)
    assert negative_elbo(losses, 0.5) == pytest.approx(31.29301 + 392 * math.log(math.pi), rel=1e-12)
    assert negative_elbo(losses, 0.5) - losses.combined_loss == pytest.approx(448.73, abs=0.01)


@pytest.mark.parametrize("variance", [0.02, 0.5, 3.0])
def test_negative_elbo_is_the_gaussians(variance: float) -> None:
    images, means = torch.rand(2, 5, 1, 28, 28, generator=seeded(), dtype=torch.float64)
    density = Normal(means, variance**0.5).log_prob(images).sum((1, 2, 3)).mean()
    losses = Losses(float(squared_error(images, means).mean()), 2.5)
    assert negative_elbo(losses, variance) == pytest.approx(float(2.5 - density), rel=1e-12)


@pytest.mark.parametrize("error", [5.0, 22.9, 400.0])
def test_squared_error_per_pixel_is_the_best_variance(error: float) -> None:
    losses = Losses(error, 8.0)
    best = negative_elbo(losses, error / PIXELS)
    assert all(negative_elbo(losses, error / PIXELS * factor) > best for factor in (0.5, 0.9, 1.1, 2))


@pytest.mark.parametrize("mse", [0.02, 0.5, 2.0])
def test_effective_beta_makes_the_reports_loss_that_of_a_beta_vae(mse: float) -> None:
    def beta_vae(losses: Losses) -> float:
        return negative_elbo(losses, mse) + (effective_beta(mse) - 1) * (losses.kl_loss or 0.0)

    one, other = Losses(30.0, 4.0), Losses(15.0, 12.5)
    gain = one.combined_loss - other.combined_loss
    assert 2 * mse * (beta_vae(one) - beta_vae(other)) == pytest.approx(gain, rel=1e-9)
    assert effective_beta(0.5) == 1


# The bound.


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("at_once", [1, 20, 25_000])
@pytest.mark.parametrize("draws", [1, 7, 300])
def test_true_posterior_makes_the_bound_exact(
    draws: int, at_once: int, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight is p(x), whatever the draw, and however the draws are cut up."""
    monkeypatch.setattr(likelihood, "DRAWS_AT_ONCE", at_once)
    vae = LinearVAE([3.0, 1.0, 0.2, 0.0], variance=0.1)
    images = vae.draw(11)
    nll, mc_error = bound(vae, images, 0.1, draws, workers)
    assert (nll.shape, nll.dtype) == ((11,), torch.float64)
    assert nll.tolist() == pytest.approx(vae.exact_nll(images).tolist(), rel=1e-10)
    assert mc_error == pytest.approx(0, abs=1e-5)


def test_bound_falls_to_the_likelihood(workers: Workers) -> None:
    vae = LinearVAE([3.0, 1.0, 0.2], variance=0.1, wider=2.0, shift=0.5)
    images = vae.draw(40)
    exact = vae.exact_nll(images).mean().item()
    gaps = [bound(vae, images, 0.1, draws, workers).nll.mean().item() - exact for draws in (1, 4, 16, 64)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.5
    nll, mc_error = bound(vae, images, 0.1, 2000, workers)
    assert abs(nll.mean().item() - exact) < 3 * mc_error < 0.02


def test_one_draw_is_the_elbo_in_expectation(workers: Workers) -> None:
    vae = LinearVAE([3.0, 1.0, 0.2], variance=0.1, wider=1.5, shift=0.3)
    image = vae.draw(1)
    mean, log_var = (each[0] for each in vae.encode(image))
    missed = squared_error(image, vae.decode(mean[None])).item()
    error = missed + float((vae.weight.square().sum(0) * log_var.exp()).sum())  # E Σ (x − W z − b)²
    kl = 0.5 * float((mean.square() + log_var.exp() - 1 - log_var).sum())
    for variance in (0.1, 0.5):
        nll, _ = bound(vae, image.expand(4000, -1, -1, -1), variance, 1, workers)
        standard_error = nll.std().item() / 4000**0.5
        expected = negative_elbo(Losses(error, kl), variance)
        assert abs(nll.mean().item() - expected) < 4 * standard_error
        assert standard_error < 0.1


def test_one_draw_is_the_elbo_that_the_losses_give(
    digits: Dataset, tiny_vae: Callable[[int, int], VAE], workers: Workers
) -> None:
    vae, images = tiny_vae(3, 0), digits.train.images
    losses = mean_losses(vae, images, seeded(1), workers)
    nll, _ = bound(vae, images, 0.5, 1, workers)
    # The draws differ, and one has the KL's closed form and the other its sampled terms.
    assert nll.mean().item() == pytest.approx(negative_elbo(losses, 0.5), abs=0.2)


@pytest.mark.parametrize("draws", [1, 13, 300])
def test_bound_is_that_of_a_plain_loop(
    draws: int, digits: Dataset, tiny_vae: Callable[[int, int], VAE], workers: Workers
) -> None:
    vae, images, variances = tiny_vae(3, 0), digits.test.images[:5], (0.5, 0.03)
    found = importance_weighted_bound(vae, images, variances, draws, seeded(), workers)
    noise = torch.randn(5, draws, 3, generator=seeded())
    prior = Normal(torch.zeros(3, dtype=torch.float64), 1)
    for variance, (nll, mc_error) in zip(variances, found, strict=True):
        expected, uncertain = [], []
        for image, mean, log_var, own in zip(images, *encode(vae, images, workers), noise, strict=True):
            deviation = torch.exp(0.5 * log_var)
            log_weights = []
            for step in own:
                z = mean + deviation * step
                with torch.no_grad():
                    decoder = Normal(vae.decode(z[None])[0].double(), variance**0.5)
                posterior = Normal(mean.double(), deviation.double())
                log_weights.append(
                    decoder.log_prob(image.double()).sum()
                    + (prior.log_prob(z.double()) - posterior.log_prob(z.double())).sum()
                )
            logs = torch.stack(log_weights)
            highest = logs.max()
            weights = (logs - highest).exp()
            expected.append(float(-highest - weights.mean().log()))
            if draws > 1:
                uncertain.append(float(weights.var() / (draws * weights.mean().square())))
        assert nll.tolist() == pytest.approx(expected, rel=1e-5)
        assert mc_error == pytest.approx(math.fsum(uncertain) ** 0.5 / 5, rel=1e-3)


def test_error_is_the_spread_over_seeds(workers: Workers) -> None:
    vae = LinearVAE([3.0, 1.0], variance=0.1, wider=1.5, shift=0.3)
    images = vae.draw(4)
    found = [bound(vae, images, 0.1, 100, workers, seed) for seed in range(150)]
    spread = torch.stack([nll.mean() for nll, _ in found]).std().item()
    claimed = math.fsum(mc_error for _, mc_error in found) / len(found)
    assert claimed == pytest.approx(spread, rel=0.15)


def test_same_draws_serve_every_variance(workers: Workers) -> None:
    vae = LinearVAE([3.0, 1.0], variance=0.1, wider=1.5)
    images, variances = vae.draw(3), [0.05, 0.1, 0.5]
    together = importance_weighted_bound(vae, images, variances, 20, seeded(), workers)
    for variance, (nll, mc_error) in zip(variances, together, strict=True):
        alone = bound(vae, images, variance, 20, workers)
        assert torch.equal(nll, alone.nll)
        assert mc_error == alone.mc_error


def test_workers_do_not_change_a_bit(digits: Dataset, crews: list[Workers]) -> None:
    vae, images = build_vae(4, seed=0).eval(), digits.test.images[:9]
    found = [importance_weighted_bound(vae, images, [0.5, 0.03], 70, seeded(), crew) for crew in crews]
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert torch.equal(one.nll, same.nll)
            assert one.mc_error == same.mc_error


def test_other_seed_is_another_estimate(
    digits: Dataset, tiny_vae: Callable[[int, int], VAE], workers: Workers
) -> None:
    vae, images = tiny_vae(3, 0), digits.test.images[:5]
    assert (
        bound(vae, images, 0.5, 10, workers, 0).nll.tolist()
        != bound(vae, images, 0.5, 10, workers, 1).nll.tolist()
    )


@pytest.mark.parametrize("variance", [1e-8, 0.5, 1e8])
def test_collapsed_or_hopeless_models_have_a_bound(variance: float, workers: Workers) -> None:
    """Each weight alone would underflow or overflow."""
    collapsed = LinearVAE([0.0, 0.0], variance=0.1)  # q is the prior, and all images are one
    far = LinearVAE([3.0, 1.0], variance=0.1, shift=300.0)
    images = collapsed.draw(4)
    for vae in (collapsed, far):
        nll, mc_error = bound(vae, images, variance, 30, workers)
        assert nll.isfinite().all()
        assert 0 <= mc_error <= 0.5  # at most 1 nat an image, of four
    same = bound(collapsed, images, variance, 30, workers)
    expected = -Normal(collapsed.bias, variance**0.5).log_prob(images.flatten(1)).sum(1)
    assert same.nll.tolist() == pytest.approx(expected.tolist(), rel=1e-10)
    assert same.mc_error == pytest.approx(0, abs=1e-6)
