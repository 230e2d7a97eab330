"""Images that show no digit, for a classifier to learn that it knows none of them.

Hendrycks et al., Deep Anomaly Detection with Outlier Exposure, 2019.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional

SOFTNESS = (0.0, 0.5, 0.75, 1.0)  # standard deviations of the Gaussians, pixels
RADIUS = 3  # of their kernels, pixels
LEAST, MOST = 0.3, 0.7  # the share of the first of two blended images


def outliers(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Return as many images that show none: noise, shuffled pixels and blends of two classes in turn.

    Args:
        images: (B, 1, 28, 28), float32 in [0, 1].
        labels: their classes, (B,), int64.
        generator: draws come from it.

    Returns:
        (B, 1, 28, 28). Where the other image of a blend is of the same class, its pixels are shuffled.
    """
    device = images.device
    kind = torch.arange(len(images), device=device) % 3
    noise = torch.rand(images.shape, generator=generator).to(device)
    partner = torch.randperm(len(images), generator=generator).to(device)
    share = torch.rand(len(images), 1, 1, 1, generator=generator).to(device) * (MOST - LEAST) + LEAST
    blends = share * images + (1 - share) * images[partner]
    shuffled = images.flatten(1).gather(1, noise.flatten(1).argsort(1)).view_as(images)
    blended = (kind == 2) & (labels != labels[partner])
    found = torch.where((kind == 0)[:, None, None, None], noise, shuffled)
    return torch.where(blended[:, None, None, None], blends, found)


def soften(images: Tensor, generator: Generator) -> Tensor:
    """Return each image under one of four Gaussians, drawn.

    Else a panel would take softness, which blends have and real digits have not, for a sign of no digit: it
    called 2 % of a VAE's samples legible where people call most of them so.

    Args:
        images: (B, 1, 28, 28).
        generator: which of `SOFTNESS` comes from it.
    """
    places = torch.arange(-RADIUS, RADIUS + 1.0)
    kernels = []
    for width in SOFTNESS:
        weights = torch.exp(-0.5 * (places / width).square()) if width else (places == 0).float()
        kernels.append(weights.outer(weights) / weights.sum() ** 2)
    blurred = functional.conv2d(images, torch.stack(kernels)[:, None].to(images.device), padding=RADIUS)
    chosen = torch.randint(len(SOFTNESS), (len(images),), generator=generator).to(images.device)
    return blurred[torch.arange(len(images), device=images.device), chosen][:, None]
