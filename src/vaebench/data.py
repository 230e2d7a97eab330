"""The data set: one verified file that every later stage reads, whatever it was made from."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vaebench.tensors import load_tensors, save_tensors


@dataclass(frozen=True)
class Images:
    """Labelled digits."""

    images: Tensor  # (N, 1, 28, 28), float32 in [0, 1]
    labels: Tensor  # (N,), int64 in 0..9

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The training and the test digits of one data set."""

    name: str  # "mnist" or "digits"
    digest: str  # first 16 hex digits of the SHA-256 over all images and labels
    train: Images
    test: Images


def save_dataset(path: Path, name: str, arrays: dict[str, Tensor]) -> None:
    """Write a data set.

    Args:
        path: the file.
        name: the data set's name.
        arrays: `train_images`, `test_images`: (N, 28, 28), uint8; `train_labels`, `test_labels`: (N,), uint8.
    """
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(arrays[key].numpy().tobytes())
    save_tensors(path, arrays, {"name": name, "digest": digest.hexdigest()[:16]})


def load_dataset(path: Path) -> Dataset:
    """Read a data set that `save_dataset` wrote, as tensors on the CPU."""
    arrays, about = load_tensors(path)
    train, test = (
        Images(
            images=arrays[f"{split}_images"].unsqueeze(1).to(torch.float32).div_(255),
            labels=arrays[f"{split}_labels"].to(torch.int64),
        )
        for split in ("train", "test")
    )
    return Dataset(about["name"], about["digest"], train, test)
