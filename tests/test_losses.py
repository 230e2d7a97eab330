"""The losses: closed forms, torch.distributions, and means that weigh every image alike."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from vaebench.data.dataset import Dataset
from vaebench.device import CHUNK, Workers
from vaebench.models.losses import Losses, kl_divergence, loss_terms, mean_losses, squared_error
from vaebench.models.vae import VAE, build_vae


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def image_terms(vae: VAE, images: Tensor, seed: int) -> Tensor:
    """Each image's two losses, in double precision and one pass."""
    noise = torch.randn(len(images), vae.latent_dim, generator=seeded(seed)).double()
    with torch.no_grad():
        mean, log_var = (tensor.double() for tensor in vae.encode(images))
        decoded = vae.decode((mean + (log_var / 2).exp() * noise).float()).double()
    posterior = Normal(mean, (log_var / 2).exp())
    kl = torch_kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    return torch.stack([((images.double() - decoded) ** 2).sum((1, 2, 3)), kl], dim=1)


# Squared error.


@pytest.mark.parametrize(("grey", "expected"), [(0.0, 0.0), (0.5, 196.0), (1.0, 784.0)])
def test_squared_error_is_a_sum_over_pixels(grey: float, expected: float) -> None:
    black = torch.zeros(4, 1, 28, 28)
    assert squared_error(black, torch.full_like(black, grey)).tolist() == [expected] * 4
    assert squared_error(torch.full_like(black, grey), black).tolist() == [expected] * 4


def test_squared_error_of_each_image() -> None:
    images, others = torch.rand(2, 5, 1, 28, 28, generator=seeded())
    expected = [
        math.fsum((float(a) - float(b)) ** 2 for a, b in zip(one.flatten(), other.flatten(), strict=True))
        for one, other in zip(images, others, strict=True)
    ]
    assert squared_error(images, others).tolist() == pytest.approx(expected, rel=1e-6)


# KL.


@pytest.mark.parametrize("latent_dim", [1, 2, 30, 512])
def test_kl_is_that_of_torch_distributions(latent_dim: int) -> None:
    mean, log_var = 3 * torch.randn(2, 50, latent_dim, generator=seeded(), dtype=torch.float64)
    posterior = Normal(mean, log_var.exp().sqrt())
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch_kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_var), expected, rtol=1e-12, atol=0)


def test_kl_of_the_prior_is_zero() -> None:
    assert kl_divergence(torch.zeros(3, 7), torch.zeros(3, 7)).tolist() == [0.0] * 3


def test_kl_sums_over_dimensions() -> None:
    # A mean of 2 costs 2²/2 nats, a variance of e costs (e − 1 − 1)/2, each in every dimension.
    assert kl_divergence(torch.full((1, 5), 2.0), torch.zeros(1, 5)).item() == 10.0
    wide = kl_divergence(torch.zeros(1, 3), torch.ones(1, 3)).item()
    assert wide == pytest.approx(3 * (math.e - 2) / 2, rel=1e-6)


def test_kl_is_never_negative() -> None:
    log_var = torch.linspace(-60, 60, 1001, dtype=torch.float64)[:, None]
    kl = kl_divergence(torch.zeros_like(log_var), log_var)
    assert torch.all(kl >= 0)
    assert kl.argmin() == 500
    assert kl[0] == pytest.approx((60 - 1) / 2)  # finite for a posterior that is a point


# Both.


def test_names() -> None:
    losses = Losses(reconstruction_loss=30.0, kl_loss=4.5)
    assert losses.combined_loss == 34.5
    assert losses.named() == {"reconstruction_loss": 30.0, "kl_loss": 4.5, "combined_loss": 34.5}
    assert losses.named("test_") == {
        "test_reconstruction_loss": 30.0,
        "test_kl_loss": 4.5,
        "test_combined_loss": 34.5,
    }


def test_terms_are_reconstruction_then_kl(digits: Dataset) -> None:
    vae, images = build_vae(2, seed=1), digits.test.images[:7]
    noise = torch.randn(7, 2, generator=seeded(3))
    with torch.no_grad():
        terms = loss_terms(vae, images, noise)
    assert terms.shape == (7, 2)
    torch.testing.assert_close(terms.double(), image_terms(vae, images, seed=3), rtol=1e-4, atol=1e-6)


def test_combined_is_the_negative_elbo_of_a_gaussian_decoder(digits: Dataset) -> None:
    vae, images = build_vae(2, seed=1), digits.test.images[:7]
    noise = torch.randn(7, 2, generator=seeded(3))
    with torch.no_grad():
        combined = loss_terms(vae, images, noise).double().sum(1)
        mean, log_var = vae.encode(images)
        posterior = Normal(mean, log_var.exp().sqrt())
        latents = posterior.mean + posterior.stddev * noise
        likelihood = Normal(vae.decode(latents), math.sqrt(0.5)).log_prob(images).double().sum((1, 2, 3))
        kl = torch_kl_divergence(posterior, Normal(0.0, 1.0)).double().sum(1)
    elbo = likelihood - kl
    torch.testing.assert_close(combined + 392 * math.log(math.pi), -elbo, rtol=1e-5, atol=1e-3)


# Means.


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 37])
def test_every_image_weighs_the_same(
    tiny_vae: Callable[[int, int], VAE], digits: Dataset, workers: Workers, count: int
) -> None:
    vae, images = tiny_vae(3, 1), digits.train.images[:count].clone()
    images[-1] = 1 - images[-1]  # unlike the others, and alone in the last chunk where there is one
    terms = image_terms(vae, images, seed=5)
    losses = mean_losses(vae, images, seeded(5), workers)
    assert losses == pytest.approx(terms.mean(0).tolist(), rel=1e-5)
    if count > CHUNK:
        first, *_, last = (chunk.mean(0) for chunk in terms.split(CHUNK))
        assert losses.reconstruction_loss != pytest.approx(float(first[0]), rel=1e-5)
        of_chunks = torch.stack([chunk.mean(0) for chunk in terms.split(CHUNK)]).mean(0)
        assert losses.reconstruction_loss != pytest.approx(float(of_chunks[0]), rel=1e-4)
        assert losses.reconstruction_loss != pytest.approx(float(last[0]), rel=1e-4)


def test_mean_losses_of_the_reports_network(digits: Dataset, workers: Workers) -> None:
    vae, images = build_vae(2, seed=1), digits.test.images[: CHUNK + 7]
    expected = image_terms(vae, images, seed=5).mean(0).tolist()
    assert mean_losses(vae, images, seeded(5), workers) == pytest.approx(expected, rel=1e-4)


def test_number_of_workers_changes_nothing(digits: Dataset, crews: list[Workers]) -> None:
    vae, images = build_vae(2, seed=1), digits.test.images
    assert len({mean_losses(vae, images, seeded(5), workers) for workers in crews}) == 1


def test_noise_comes_from_the_generator_alone(
    tiny_vae: Callable[[int, int], VAE], digits: Dataset, workers: Workers, global_rng_untouched: None
) -> None:
    vae, images = tiny_vae(3, 1), digits.test.images
    generator = seeded(5)
    losses = mean_losses(vae, images, generator, workers)
    expected = seeded(5)
    torch.randn(len(images), 3, generator=expected)
    assert torch.equal(generator.get_state(), expected.get_state())  # one z an image, no more
    assert mean_losses(vae, images, seeded(5), workers) == losses
    other = mean_losses(vae, images, seeded(6), workers)
    assert other.reconstruction_loss != losses.reconstruction_loss
    assert other.kl_loss == losses.kl_loss  # the closed form has no noise


def test_nothing_is_left_in_the_model(
    tiny_vae: Callable[[int, int], VAE], digits: Dataset, workers: Workers
) -> None:
    vae = tiny_vae(3, 1)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    mean_losses(vae, digits.test.images, seeded(), workers)
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items())


def test_losses_of_a_model_that_knows_nothing(
    tiny_vae: Callable[[int, int], VAE], digits: Dataset, workers: Workers
) -> None:
    vae = tiny_vae(3, 1)
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    losses = mean_losses(vae, digits.test.images, seeded(), workers)
    assert losses.kl_loss == 0  # every posterior is the prior
    grey = float((digits.test.images.double() - 0.5).square().sum() / len(digits.test))
    assert losses.reconstruction_loss == pytest.approx(grey, rel=1e-6)
