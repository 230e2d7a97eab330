"""Images that show no digit: what each third of them is, and what a classifier loses by them."""

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]
from torch import Generator, Tensor, nn
from torch.nn import functional

from vaebench.data.dataset import Dataset
from vaebench.training.outliers import LEAST, MOST, RADIUS, SOFTNESS, outliers, soften
from vaebench.training.train_classifier import EXPOSURE, NO_CLASS, cross_entropy

COUNT = 30


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def images(digits: Dataset) -> Tensor:
    return digits.train.images[:COUNT]


@pytest.fixture
def labels(digits: Dataset) -> Tensor:
    return digits.train.labels[:COUNT]


def sorted_pixels(images: Tensor) -> Tensor:
    return images.flatten(1).sort(1).values


def is_shuffled(image: Tensor, found: Tensor) -> bool:
    """Whether all pixels are there, and not where they were."""
    same = torch.equal(sorted_pixels(image[None]), sorted_pixels(found[None]))
    return same and not torch.equal(image, found)


def blended_from(image: Tensor, others: Tensor, found: Tensor) -> tuple[int, float]:
    """Return which of `others` is blended with `image`, and the share of `image`, by least squares."""
    differences = (image - others).double().flatten(1)
    target = (found - others).double().flatten(1)
    shares = (differences * target).sum(1) / differences.square().sum(1)  # NaN for the image itself
    left = (target - shares[:, None] * differences).square().sum(1).nan_to_num(math.inf)
    best = int(left.argmin())
    assert left[best] < 1e-8
    return best, float(shares[best])


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_shape_and_range(images: Tensor, labels: Tensor) -> None:
    for count in (1, 2, 3, COUNT):
        found = outliers(images[:count], labels[:count], seeded())
        assert found.shape == (count, 1, 28, 28)
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 1


def test_none_of_none(images: Tensor, labels: Tensor) -> None:
    assert outliers(images[:0], labels[:0], seeded()).shape == (0, 1, 28, 28)


def test_first_of_three_is_noise(images: Tensor, labels: Tensor) -> None:
    found = outliers(images, labels, seeded())[::3]
    pixels = found.numel()
    # Of the uniform distribution: its mean and variance, each within four standard errors.
    assert abs(float(found.mean()) - 1 / 2) < 4 * math.sqrt(1 / 12 / pixels)
    assert abs(float(found.var()) - 1 / 12) < 4 * math.sqrt(1 / 180 / pixels)
    assert abs(correlation(found, images[::3])) < 4 / math.sqrt(pixels)
    assert abs(correlation(found[0], found[1])) < 4 / math.sqrt(784)


def test_second_of_three_has_its_pixels_shuffled(images: Tensor, labels: Tensor) -> None:
    found = outliers(images, labels, seeded())[1::3]
    assert all(is_shuffled(image, other) for image, other in zip(images[1::3], found, strict=True))
    # A pixel says nothing of what was in its place, edges and all.
    assert abs(correlation(found, images[1::3])) < 4 / math.sqrt(found.numel())


def test_each_is_shuffled_in_a_way_of_its_own(images: Tensor) -> None:
    image = torch.arange(784.0).view(1, 1, 28, 28) / 783
    found = outliers(image.repeat(COUNT, 1, 1, 1), torch.zeros(COUNT, dtype=torch.int64), seeded())
    shuffled = found[1::3]
    assert torch.equal(sorted_pixels(shuffled), image.flatten(1).expand(len(shuffled), -1))
    assert len(shuffled.unique(dim=0)) == len(shuffled)


def test_last_of_three_is_a_blend_of_two_classes(images: Tensor, labels: Tensor) -> None:
    found, shares, partners = outliers(images, labels, seeded()), [], []
    for index in range(2, COUNT, 3):
        if is_shuffled(images[index], found[index]):
            continue  # as of two of one class
        partner, share = blended_from(images[index], images, found[index])
        assert labels[partner] != labels[index]
        assert LEAST - 1e-6 <= share <= MOST + 1e-6
        shares.append(share)
        partners.append(partner)
    assert len(shares) >= COUNT / 3 * 0.6  # nine in ten partners are of another class
    assert len(set(partners)) == len(partners)
    assert len({round(share, 5) for share in shares}) == len(shares)


def test_shares_lie_between_three_and_seven_tenths() -> None:
    # A white image blended with black ones is as grey as its share.
    count = 3000
    white, labels = torch.zeros(count, 1, 28, 28), torch.zeros(count, dtype=torch.int64)
    white[2::3], labels[2::3] = 1, 1
    greys = outliers(white, labels, seeded())[2::3].flatten(1)
    blends = greys[(greys > 0).any(1) & (greys < 1).all(1)]
    shares = blends[:, 0]
    assert torch.equal(blends, shares[:, None].expand(-1, 784))
    assert len(shares) > 500  # two in three of a thousand
    assert (LEAST, MOST) == (0.3, 0.7)
    assert shares.min() >= 0.3
    assert shares.max() <= 0.7
    assert shares.min() < 0.31
    assert shares.max() > 0.69


def test_two_of_one_class_are_not_blended(images: Tensor) -> None:
    found = outliers(images, torch.full((COUNT,), 4), seeded())
    for index in range(COUNT):
        assert is_shuffled(images[index], found[index]) == (index % 3 != 0)


def test_only_blends_depend_on_the_labels(images: Tensor, labels: Tensor) -> None:
    alike, others = (outliers(images, each, seeded()) for each in (torch.zeros_like(labels), labels))
    same = [torch.equal(one, other) for one, other in zip(alike, others, strict=True)]
    assert all(same[::3])
    assert all(same[1::3])
    assert not all(same[2::3])


def test_generator_decides(images: Tensor, labels: Tensor, global_rng_untouched: None) -> None:
    one, same, other = (outliers(images, labels, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True))
    generator = seeded(3)
    first, second = (outliers(images, labels, generator) for _ in range(2))
    assert torch.equal(first, one)
    assert not torch.equal(second, first)


def test_images_stay_as_they_are(images: Tensor, labels: Tensor) -> None:
    before = images.clone(), labels.clone()
    outliers(images, labels, seeded())
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


# What is lost by them.


class Constant(nn.Module):
    """A classifier that gives these logits, whatever it is shown."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


@pytest.fixture
def classifier() -> Constant:
    return Constant(3 * torch.randn(6, 10, generator=seeded(7), dtype=torch.float64))


NONE = torch.zeros(6, 1, 28, 28)
MIXED = torch.tensor([3, NO_CLASS, 0, 9, NO_CLASS, 3])


def from_uniform(logits: Tensor) -> Tensor:
    """The cross-entropy from the uniform distribution, by torch's own of probabilities."""
    return functional.cross_entropy(logits, torch.full_like(logits, 0.1), reduction="none")


def test_loss_of_a_digit_is_torchs(classifier: Constant) -> None:
    labels = torch.tensor([3, 1, 0, 9, 5, 3])
    loss, measured = cross_entropy(classifier, NONE, labels)
    expected = functional.cross_entropy(classifier.logits, labels, reduction="none")
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(measured, expected.detach()[:, None])
    assert not measured.requires_grad


def test_loss_of_what_shows_none_is_a_part_of_that_from_uniform(classifier: Constant) -> None:
    loss, measured = cross_entropy(classifier, NONE, torch.full((6,), NO_CLASS))
    assert EXPOSURE == 0.5
    torch.testing.assert_close(loss, 0.5 * from_uniform(classifier.logits))
    assert measured.tolist() == [[0.0]] * 6


def test_each_image_has_the_loss_of_its_kind(classifier: Constant) -> None:
    loss, measured = cross_entropy(classifier, NONE, MIXED)
    logits = classifier.logits
    expected = [
        0.5 * from_uniform(logits)[i] if label == NO_CLASS else -logits.log_softmax(1)[i, label]
        for i, label in enumerate(MIXED.tolist())
    ]
    torch.testing.assert_close(loss, torch.stack(expected))
    digits = MIXED != NO_CLASS
    torch.testing.assert_close(measured[digits, 0], loss[digits].detach())
    assert measured[~digits].tolist() == [[0.0]] * 2


def test_least_is_lost_by_one_who_knows_none() -> None:
    sure = torch.full((6, 10), -5.0)
    sure[:, 2] = 5.0
    labels = torch.full((6,), NO_CLASS)
    unsure, loss = (cross_entropy(Constant(each), NONE, labels).loss for each in (torch.zeros(6, 10), sure))
    torch.testing.assert_close(unsure, torch.full((6,), math.log(10) / 2))
    assert torch.all(loss > unsure)


def test_gradient_of_what_shows_none_leads_to_uniform(classifier: Constant) -> None:
    cross_entropy(classifier, NONE, MIXED).loss.sum().backward()
    logits = classifier.logits
    # Of a softmax, it is what is said less what is wanted.
    wanted = torch.full((6, 10), 0.1, dtype=torch.float64)
    digits = MIXED != NO_CLASS
    wanted[digits] = functional.one_hot(MIXED[digits], 10).double()
    weight = torch.where(digits, 1.0, 0.5)[:, None]
    torch.testing.assert_close(logits.grad, weight * (logits.detach().softmax(1) - wanted))


# Softness.


@pytest.mark.usefixtures("global_rng_untouched")
def test_images_are_softened_by_gaussians(digits: Dataset) -> None:
    images = digits.test.images[:1].expand(400, -1, -1, -1)
    soft = soften(images, Generator().manual_seed(3))
    found, counts = torch.unique(soft.flatten(1), dim=0, return_counts=True)
    assert len(found) == len(SOFTNESS)
    assert counts.min() > 60
    for width in SOFTNESS:
        oracle = gaussian_filter(images[0, 0].double().numpy(), width or 1e-9, truncate=100, radius=RADIUS)
        expected = torch.from_numpy(oracle).float()
        inner = (slice(None), slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
        errors = (found.view(-1, 28, 28) - expected)[inner].abs().flatten(1).amax(1)
        assert errors.min() < 1e-5
