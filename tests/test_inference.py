"""Passes over many images: each chunk, the ragged one too, and draws from the generator alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator

from vaebench.data.dataset import Dataset
from vaebench.device import CHUNK, Workers
from vaebench.evaluation.inference import decode, encode, image_losses, straight_lines
from vaebench.models.losses import Losses, mean_losses
from vaebench.models.vae import VAE, build_vae

BuildVAE = Callable[[int, int], VAE]
COUNTS = [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 17]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("count", COUNTS)
def test_posterior_of_every_image(
    tiny_vae: BuildVAE, digits: Dataset, workers: Workers, global_rng_untouched: None, count: int
) -> None:
    vae, images = tiny_vae(3, 1), digits.train.images[:count]
    posterior = encode(vae, images, workers)
    with torch.no_grad():
        expected = vae.encode(images)
    for found, wanted in zip(posterior, expected, strict=True):
        assert found.shape == (count, 3)
        assert not found.requires_grad
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("count", COUNTS)
def test_losses_of_encoded_images_have_the_mean_losses(
    digits: Dataset, workers: Workers, global_rng_untouched: None, count: int
) -> None:
    vae, images = build_vae(3, 1), digits.train.images[:count]
    losses = image_losses(vae, images, encode(vae, images, workers), seeded(2), workers)
    assert losses.shape == (count, 2)
    assert losses.dtype == torch.float64
    assert Losses(*losses.mean(0).tolist()) == mean_losses(vae, images, seeded(2), workers)


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
    means = [encode(vae, images, workers).mean for workers in crews]
    assert all(torch.equal(other, means[0]) for other in means)
    decoded = [decode(vae, means[0], workers) for workers in crews]
    assert all(torch.equal(other, decoded[0]) for other in decoded)
    with torch.no_grad():
        torch.testing.assert_close(means[0], vae.encode(images).mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(decoded[0], vae.decode(means[0]), rtol=1e-4, atol=1e-5)


def test_lines_are_straight_and_evenly_spaced() -> None:
    ends = torch.tensor([[[0.0, 10.0], [4.0, -10.0]], [[1.0, 1.0], [1.0, 1.0]], [[-8.0, 0.0], [8.0, 0.0]]])
    assert straight_lines(ends, 5).tolist() == [
        [[0, 10], [1, 5], [2, 0], [3, -5], [4, -10]],
        [[1, 1]] * 5,
        [[-8, 0], [-4, 0], [0, 0], [4, 0], [8, 0]],
    ]


@pytest.mark.parametrize("steps", [2, 11])
def test_ends_of_a_line_are_the_ends_given(steps: int) -> None:
    ends = torch.randn(5, 2, 30, generator=seeded())
    lines = straight_lines(ends, steps)
    assert lines.shape == (5, steps, 30)
    torch.testing.assert_close(lines[:, [0, -1]], ends)
