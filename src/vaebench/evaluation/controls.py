"""Images that are worse than real ones in known ways: what a score must put in the right order."""

import torch
from sklearn.datasets import load_sample_images
from torch import Generator, Tensor
from torch.nn import functional

from vaebench.evaluation.baselines import SIDE, pixel_noise

BLUR = 2.0  # standard deviation of the Gaussian, pixels
# Kinds that a panel exposed to outliers has seen in training: see `vaebench.training.outliers`.
SEEN = ("blended in pairs", "shuffled pixels", "pixel noise")


def control_sets(images: Tensor, labels: Tensor, generator: Generator) -> dict[str, Tensor]:
    """Return sets of as many images each, by name.

    Args:
        images: real ones, (N, 1, 28, 28), float32 in [0, 1].
        labels: their classes, (N,), int64.
        generator: draws come from it.

    Returns:
        (N, 1, 28, 28) each, float32 in [0, 1].
    """
    noise = pixel_noise(len(images), generator)
    return {
        "blurred": blurred(images),
        "half erased": half_erased(images, generator),
        "blended in pairs": blended(images, labels, generator),
        "shuffled pixels": images.flatten(1).gather(1, noise.flatten(1).argsort(1)).view_as(images),
        "photographs": photographs(len(images), generator),
        "constant grey": torch.full_like(images, 0.5),
        "pixel noise": noise,
    }


def blurred(images: Tensor) -> Tensor:
    """Return the images under a Gaussian of `BLUR` pixels, black around them."""
    radius = int(3 * BLUR)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / BLUR).square())
    weights = weights / weights.sum()
    rows = functional.conv2d(images, weights.view(1, 1, -1, 1), padding=(radius, 0))
    return functional.conv2d(rows, weights.view(1, 1, 1, -1), padding=(0, radius)).clamp(0, 1)


def half_erased(images: Tensor, generator: Generator) -> Tensor:
    """Return each image with one half of it black: the upper, lower, left or right, drawn."""
    half = SIDE // 2
    kept = torch.zeros(4, 1, SIDE, SIDE)
    kept[0, :, half:], kept[1, :, :half] = 1, 1
    kept[2, :, :, half:], kept[3, :, :, :half] = 1, 1
    return images * kept[torch.randint(4, (len(images),), generator=generator)]


def blended(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Return the mean of each image and another one, of another class where there is any."""
    order = torch.randperm(len(images), generator=generator)
    # Sorted by class, half the set further on lies another one, if no class is half of the set.
    order = order[labels[order].argsort(stable=True)]
    partner = torch.empty_like(order)
    partner[order] = order.roll(len(order) // 2)
    return (images + images[partner]) / 2


def photographs(count: int, generator: Generator) -> Tensor:
    """Return pieces of two photographs, grey, of 28 × 28 pixels: (count, 1, 28, 28)."""
    pictures = [torch.tensor(each).double().mean(2) / 255 for each in load_sample_images().images]
    stack = torch.stack(pictures)  # (2, height, width)
    picture = torch.randint(len(stack), (count,), generator=generator)
    top, left = (
        torch.randint(size - SIDE + 1, (count,), generator=generator)[:, None] + torch.arange(SIDE)
        for size in stack.shape[1:]
    )
    return stack[picture[:, None, None], top[:, :, None], left[:, None, :]].float().unsqueeze(1)
