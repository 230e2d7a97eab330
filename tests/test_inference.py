"""Passes over many images: each chunk, the ragged one too, and draws from the generator alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from vaebench.data import Dataset
from vaebench.device import CHUNK, Workers
from vaebench.evaluation.inference import decode, encode_means, interpolate, prior_samples
from vaebench.vae import VAE, build_vae

pytestmark = pytest.mark.usefixtures("one_thread")

BuildVAE = Callable[[int, int], VAE]
COUNTS = [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 17]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


class ShowingVAE(VAE):
    """Two dimensions, which are the first two pixels of the decoded image."""

    def decode(self, latents: Tensor) -> Tensor:
        images: Tensor = functional.pad(latents, (0, 782)).unflatten(1, (1, 28, 28))
        return images


@pytest.fixture
def showing_vae() -> VAE:
    return ShowingVAE(2)


def shown(images: Tensor) -> Tensor:
    return images.flatten(-3)[..., :2]


@pytest.mark.parametrize("count", COUNTS)
def test_means_of_every_image(
    tiny_vae: BuildVAE, digits: Dataset, workers: Workers, global_rng_untouched: None, count: int
) -> None:
    vae, images = tiny_vae(3, 1), digits.train.images[:count]
    means = encode_means(vae, images, workers)
    assert means.shape == (count, 3)
    assert not means.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(means, vae.encode(images).mean)


@pytest.mark.parametrize("count", COUNTS)
def test_image_of_every_latent(tiny_vae: BuildVAE, workers: Workers, count: int) -> None:
    vae, latents = tiny_vae(3, 1), torch.randn(count, 3, generator=seeded())
    images = decode(vae, latents, workers)
    assert images.shape == (count, 1, 28, 28)
    assert not images.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(images, vae.decode(latents))


def test_reports_network_for_any_number_of_workers(digits: Dataset, crews: list[Workers]) -> None:
    vae, images = build_vae(2, seed=1), digits.test.images[: CHUNK + 5]
    means = [encode_means(vae, images, workers) for workers in crews]
    assert all(torch.equal(other, means[0]) for other in means)
    decoded = [decode(vae, means[0], workers) for workers in crews]
    assert all(torch.equal(other, decoded[0]) for other in decoded)
    with torch.no_grad():
        torch.testing.assert_close(means[0], vae.encode(images).mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(decoded[0], vae.decode(means[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("global_rng_untouched")
def test_samples_are_decoded_from_the_generators_draws(tiny_vae: BuildVAE, workers: Workers) -> None:
    vae, generator = tiny_vae(3, 1), seeded(4)
    samples = prior_samples(vae, CHUNK + 5, generator, workers)
    expected = seeded(4)
    latents = torch.randn(CHUNK + 5, 3, generator=expected)
    assert torch.equal(samples, decode(vae, latents, workers))
    assert torch.equal(generator.get_state(), expected.get_state())
    assert not torch.equal(prior_samples(vae, CHUNK + 5, seeded(5), workers), samples)


def test_samples_are_from_the_standard_normal(showing_vae: VAE, workers: Workers) -> None:
    latents = shown(prior_samples(showing_vae, 20_000, seeded(), workers)).double()
    assert latents.mean(0).tolist() == pytest.approx([0, 0], abs=0.03)
    assert latents.T.cov().flatten().tolist() == pytest.approx([1, 0, 0, 1], abs=0.05)
    within = (latents.abs() < 1).double().mean(0)
    assert within.tolist() == pytest.approx([0.6827, 0.6827], abs=0.015)


def test_lines_are_straight_and_evenly_spaced(showing_vae: VAE, workers: Workers) -> None:
    ends = torch.tensor([[[0.0, 10.0], [4.0, -10.0]], [[1.0, 1.0], [1.0, 1.0]], [[-8.0, 0.0], [8.0, 0.0]]])
    lines = interpolate(showing_vae, ends, 5, workers)
    assert lines.shape == (3, 5, 1, 28, 28)
    expected = [
        [[0, 10], [1, 5], [2, 0], [3, -5], [4, -10]],
        [[1, 1]] * 5,
        [[-8, 0], [-4, 0], [0, 0], [4, 0], [8, 0]],
    ]
    assert shown(lines).tolist() == expected


def test_ends_of_a_line_are_the_ends_given(workers: Workers) -> None:
    vae = build_vae(5, seed=1)
    ends = torch.randn(5, 2, 5, generator=seeded())
    lines = interpolate(vae, ends, 11, workers)
    torch.testing.assert_close(lines[:, 0], decode(vae, ends[:, 0], workers))
    torch.testing.assert_close(lines[:, -1], decode(vae, ends[:, 1], workers))
    torch.testing.assert_close(lines[:, 5], decode(vae, ends.mean(1), workers))
