"""The data set's file: the digits that come back, kept apart, and the digest that names them."""

import hashlib
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from vaebench.data.dataset import Dataset, load_dataset, save_dataset
from vaebench.data.tensors import save_tensors
from vaebench.pipeline.files import UnusableFileError

KEYS = ("test_images", "test_labels", "train_images", "train_labels")  # in the digest's order


@pytest.fixture
def arrays() -> dict[str, Tensor]:
    """Five training and three test digits."""
    generator = Generator().manual_seed(0)
    return {
        f"{split}_{kind}": torch.randint(high, (count, *shape), generator=generator, dtype=torch.uint8)
        for split, count in (("train", 5), ("test", 3))
        for kind, high, shape in (("images", 256, (28, 28)), ("labels", 10, ()))
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dataset.safetensors"


def saved(path: Path, arrays: dict[str, Tensor], name: str = "digits") -> Dataset:
    save_dataset(path, name, arrays)
    return load_dataset(path)


def test_digits_come_back(path: Path, arrays: dict[str, Tensor]) -> None:
    dataset = saved(path, arrays, "mnist")
    assert dataset.name == "mnist"
    for split, count in (("train", 5), ("test", 3)):
        digits = getattr(dataset, split)
        assert len(digits) == count
        assert (digits.images.dtype, digits.images.shape) == (torch.float32, (count, 1, 28, 28))
        assert (digits.labels.dtype, digits.labels.shape) == (torch.int64, (count,))
        assert torch.equal(digits.images[:, 0], arrays[f"{split}_images"].float() / 255)
        assert torch.equal(digits.labels, arrays[f"{split}_labels"].long())


def test_every_grey_is_exact(path: Path, arrays: dict[str, Tensor]) -> None:
    greys = torch.zeros(1, 28 * 28, dtype=torch.uint8)
    greys[0, :256] = torch.arange(256)
    arrays |= {"train_images": greys.reshape(1, 28, 28), "train_labels": torch.zeros(1, dtype=torch.uint8)}
    pixels = saved(path, arrays).train.images.flatten()[:256]
    assert pixels[0] == 0.0
    assert pixels[255] == 1.0
    assert pixels.tolist() == [torch.tensor(grey / 255).item() for grey in range(256)]
    assert torch.equal((pixels * 255).round(), torch.arange(256.0))  # what the pictures draw


def test_training_and_test_digits_are_not_mixed(path: Path, arrays: dict[str, Tensor]) -> None:
    arrays = {key: torch.full_like(array, 1 if "test" in key else 2) for key, array in arrays.items()}
    dataset = saved(path, arrays)
    assert set(dataset.train.labels.tolist()) == {2}
    assert set(dataset.test.labels.tolist()) == {1}
    assert torch.all(dataset.train.images == 2 / 255)
    assert torch.all(dataset.test.images == 1 / 255)


def test_no_training_digit_is_a_test_digit(digits: Dataset) -> None:
    def fingerprints(images: Tensor) -> set[bytes]:
        return {image.numpy().tobytes() for image in images}

    assert len(digits.train) == 1497
    assert len(digits.test) == 300
    assert not fingerprints(digits.train.images) & fingerprints(digits.test.images)


def test_digest_is_the_sha256_of_all_bytes(path: Path, arrays: dict[str, Tensor]) -> None:
    content = b"".join(bytes(arrays[key].flatten().tolist()) for key in KEYS)
    assert saved(path, arrays).digest == hashlib.sha256(content).hexdigest()[:16]


def test_digest_does_not_depend_on_the_order_of_the_arrays(path: Path, arrays: dict[str, Tensor]) -> None:
    first = saved(path, arrays).digest
    content = path.read_bytes()
    assert saved(path, dict(reversed(arrays.items()))).digest == first
    assert path.read_bytes() == content


@pytest.mark.parametrize("key", KEYS)
def test_digest_changes_with_every_array(path: Path, arrays: dict[str, Tensor], key: str) -> None:
    first = saved(path, arrays).digest
    arrays[key].view(-1)[-1] ^= 1
    assert saved(path, arrays).digest != first


def test_digest_changes_when_train_and_test_change_places(path: Path, arrays: dict[str, Tensor]) -> None:
    arrays = {key: array[:3] for key, array in arrays.items()}
    first = saved(path, arrays).digest
    other = {"train": "test", "test": "train"}
    swapped = {
        key: arrays[key.replace(split, other[split])] for split in other for key in KEYS if split in key
    }
    assert saved(path, swapped).digest != first


def changed(arrays: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    return {key: array for key, array in {**arrays, **changes}.items() if array is not None}


BYTES = torch.uint8


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"train_labels": None}, "is no data set: it holds test_images, test_labels, train_images, and says"),
        ({"more": torch.zeros(1)}, "is no data set: it holds more, test_images"),
        (
            {"train_images": torch.zeros(5, 28, 28)},
            "train_images must be torch.uint8 (5, 28, 28), is torch.float32",
        ),
        ({"train_images": torch.zeros(5, 14, 56, dtype=BYTES)}, "train_images must be"),
        ({"train_images": torch.zeros(4, 28, 28, dtype=BYTES)}, "train_images must be"),
        ({"test_labels": torch.zeros(3, 1, dtype=BYTES)}, "test_labels must be torch.uint8 (3,), is"),
        ({"test_labels": torch.zeros(3, dtype=torch.int64)}, "test_labels must be torch.uint8 (3,), is"),
        ({"test_labels": torch.full((3,), 10, dtype=BYTES)}, "test_labels must be numbers from 0 to 9"),
        (
            {"test_labels": torch.zeros(0, dtype=BYTES), "test_images": torch.zeros(0, 28, 28, dtype=BYTES)},
            "has no test images",
        ),
    ],
)
def test_file_that_is_no_data_set_is_refused(
    path: Path, arrays: dict[str, Tensor], changes: dict[str, Tensor | None], problem: str
) -> None:
    save_dataset(path, "digits", changed(arrays, **changes))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {re.escape(problem)}"):
        load_dataset(path)


def test_digits_that_are_not_those_that_were_written_are_refused(
    path: Path, arrays: dict[str, Tensor]
) -> None:
    digest = saved(path, arrays).digest
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of an image or a label
    path.write_bytes(content)
    with pytest.raises(UnusableFileError, match=rf"its digest is \w{{16}}, not {digest}, as it says$"):
        load_dataset(path)


@pytest.mark.parametrize("about", [{}, {"name": "digits"}, {"name": 5, "digest": "0"}, {"model": "vae"}])
def test_file_that_does_not_say_which_data_set_it_is_is_refused(
    path: Path, arrays: dict[str, Tensor], about: dict[str, object]
) -> None:
    save_tensors(path, arrays, about)
    with pytest.raises(UnusableFileError, match=r"is no data set: "):
        load_dataset(path)


def test_data_set_is_frozen(path: Path, arrays: dict[str, Tensor]) -> None:
    dataset = saved(path, arrays)
    with pytest.raises(FrozenInstanceError):
        dataset.test = dataset.train  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        dataset.test.images = dataset.train.images  # type: ignore[misc]
