"""Whether generated images are copies of training images."""

from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 50  # training images that a copy stands out from
ROWS = 250  # images compared with every training image at once: 60 MB at 60,000


class Nearest(NamedTuple):
    """How near the training images are to each of N images."""

    image: Tensor  # (N,), int64: the nearest, by its place
    distance: Tensor  # (N,), float32: Euclidean, of all pixels
    ratio: Tensor  # (N,), float32, 0 to 1: that distance over the mean of the 50 nearest


def nearest(images: Tensor, train: Tensor) -> Nearest:
    """Find the nearest training image of each image.

    The ratio tells a copy from an image that is only plain: a blurred digit is near many training images, a
    copy near one. Carlini et al., Extracting Training Data from Diffusion Models, 2023, section 4.2.

    Args:
        images: (N, 1, 28, 28).
        train: (M, 1, 28, 28), at least one.
    """
    own, others = images.flatten(1), train.flatten(1)
    lengths = others.square().sum(1)
    found = []
    for rows in own.split(ROWS):
        squared = torch.addmm(lengths, rows, others.T, alpha=-2).add_(rows.square().sum(1, keepdim=True))
        found.append(squared.topk(min(NEIGHBOURS, len(others)), largest=False))
    index = torch.cat([each.indices for each in found])
    # Anew from the pixels: a small difference of large numbers has lost its digits.
    distances = torch.stack([(own - others[column]).norm(dim=1) for column in index.unbind(1)], 1)
    distance, place = distances.min(1)
    ratio = distance / distances.mean(1).clamp(min=torch.finfo(distances.dtype).tiny)
    return Nearest(index.gather(1, place[:, None]).squeeze(1), distance, ratio)


def copy_threshold(tests: Nearest, share: float = 0.01) -> float:
    """Return the ratio below which an image is a near-copy: so are `share` of the test images."""
    return float(tests.ratio.double().quantile(share))


def near_copies(found: Nearest, threshold: float) -> Tensor:
    """Return which images are near-copies of a training image: (N,), bool."""
    return found.ratio < threshold
