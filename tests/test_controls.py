"""Controls: each is as bad as it says, and a panel that knows outliers puts them in order."""

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms.functional import gaussian_blur

from vaebench.data.dataset import Dataset
from vaebench.evaluation.controls import (
    BLUR,
    SEEN,
    blended,
    blurred,
    control_sets,
    half_erased,
    photographs,
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def sets(digits: Dataset) -> dict[str, Tensor]:
    return control_sets(digits.test.images, digits.test.labels, seeded())


@pytest.mark.usefixtures("global_rng_untouched")
def test_sets_have_the_shape_and_range_of_images(digits: Dataset) -> None:
    first, again, other = (
        control_sets(digits.test.images, digits.test.labels, seeded(seed)) for seed in (0, 0, 1)
    )
    assert set(SEEN) < set(first)
    for name, images in first.items():
        assert (images.shape, images.dtype) == (digits.test.images.shape, torch.float32)
        assert images.min() >= 0
        assert images.max() <= 1
        assert torch.equal(images, again[name])
    same = {name for name, images in first.items() if torch.equal(images, other[name])}
    assert same == {"blurred", "constant grey"}


def test_blur_is_torchvisions(digits: Dataset) -> None:
    padded = torch.nn.functional.pad(digits.test.images, (12, 12, 12, 12))
    expected = gaussian_blur(padded, [13, 13], [BLUR, BLUR])[:, :, 12:-12, 12:-12]
    torch.testing.assert_close(blurred(digits.test.images), expected, rtol=0, atol=1e-5)


def test_half_of_each_image_is_left(digits: Dataset) -> None:
    white = torch.ones(400, 1, 28, 28)
    masks = half_erased(white, seeded())
    assert masks.flatten(1).sum(1).unique().tolist() == [392]
    counts = torch.unique(masks.flatten(1), dim=0, return_counts=True)[1]
    assert len(counts) == 4
    assert counts.min() > 60
    images = digits.test.images
    left = half_erased(images, seeded(1))
    assert ((left == images) | (left == 0)).all()


def test_blend_is_the_mean_of_two_images_of_different_classes(digits: Dataset) -> None:
    images, labels = digits.test.images, digits.test.labels
    blends = blended(images, labels, seeded())
    others = 2 * blends - images
    distances = torch.cdist(others.flatten(1).double(), images.flatten(1).double())
    assert distances.amin(1).max() < 1e-4
    assert (labels[distances.argmin(1)] != labels).all()


def test_shuffled_pixels_are_the_images_own(digits: Dataset, sets: dict[str, Tensor]) -> None:
    shuffled = sets["shuffled pixels"].flatten(1)
    own = digits.test.images.flatten(1)
    assert torch.equal(shuffled.sort(1).values, own.sort(1).values)
    assert not (shuffled == own).all(1).any()


def test_pieces_of_photographs_differ() -> None:
    pieces = photographs(50, seeded())
    assert len(torch.unique(pieces.flatten(1), dim=0)) == 50
    neighbours = (pieces[..., 1:] - pieces[..., :-1]).abs().mean()
    assert neighbours < 0.5 * (pieces - pieces.flip(3)).abs().mean()  # smooth, as photographs are
