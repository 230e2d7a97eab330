"""Near-copies: told from images that are only plain."""

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Generator

from vaebench.data.dataset import Dataset
from vaebench.evaluation.controls import blurred
from vaebench.evaluation.memory import NEIGHBOURS, Nearest, copy_threshold, near_copies, nearest


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_nearest_images_are_scikit_learns(digits: Dataset) -> None:
    train, test = digits.train.images, digits.test.images
    found = nearest(test, train)
    oracle = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(
        train.flatten(1).double().numpy()
    )
    distances, places = map(torch.from_numpy, oracle.kneighbors(test.flatten(1).double().numpy()))
    assert torch.equal(found.image, places[:, 0])
    torch.testing.assert_close(found.distance.double(), distances[:, 0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        found.ratio.double(), distances[:, 0] / distances.mean(1), rtol=1e-5, atol=1e-6
    )


def test_batch_size_does_not_matter(digits: Dataset) -> None:
    whole = nearest(digits.test.images, digits.train.images)
    parts = [nearest(part, digits.train.images) for part in digits.test.images.split(7)]
    assert torch.equal(whole.image, torch.cat([part.image for part in parts]))
    torch.testing.assert_close(whole.ratio, torch.cat([part.ratio for part in parts]))


def share(found: Nearest, threshold: float) -> float:
    return near_copies(found, threshold).double().mean().item()


def test_copies_are_told_from_blurred_and_from_real_images(digits: Dataset) -> None:
    train = digits.train.images
    tests = nearest(digits.test.images, train)
    threshold = copy_threshold(tests)
    assert 0 < share(tests, threshold) <= 0.0134  # 1 % of 300

    copied = train[torch.randperm(len(train), generator=seeded())[:200]]
    noise = 0.03 * torch.randn(copied.shape, generator=seeded(1))
    faint = (copied + noise).clamp(0, 1)
    for copies in (copied, faint):
        found = nearest(copies, train)
        assert share(found, threshold) > 0.95
        assert (train[found.image] - copied).abs().flatten(1).amax(1).eq(0).double().mean() > 0.95
    assert share(nearest(blurred(digits.test.images), train), threshold) < 0.05


def test_one_training_image_is_no_error() -> None:
    images = torch.rand(3, 1, 28, 28, generator=seeded())
    found = nearest(images, images[:1])
    assert found.image.tolist() == [0, 0, 0]
    assert found.distance[0] == 0
    assert found.ratio.tolist() == [0, 1, 1]


def test_images_that_are_all_alike_are_no_error() -> None:
    black = torch.zeros(4, 1, 28, 28)
    found = nearest(black, black)
    assert torch.isfinite(found.ratio).all()
    assert copy_threshold(found) == 0
