"""The data set: one verified file that every later stage reads, whatever it was made from."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaebench.data.tensors import load_tensors, save_tensors
from vaebench.pipeline.files import UnusableFileError

SHAPES = {"images": (28, 28), "labels": ()}  # of one image


@dataclass(frozen=True)
class Images:
    """Labelled images."""

    images: Tensor  # (N, 1, 28, 28), float32 in [0, 1]
    labels: Tensor  # (N,), int64 in 0..9

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The training and the test images of one data set."""

    name: str  # as params.yaml has it
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
    save_tensors(path, arrays, {"name": name, "digest": _digest(arrays)})


def load_dataset(path: Path) -> Dataset:
    """Read a data set that `save_dataset` wrote, as tensors on the CPU.

    Raises:
        UnusableFileError: the file is no data set, or its arrays are not those that were written.
    """
    arrays, about = load_tensors(path)
    if problem := _problem(arrays, about):
        raise UnusableFileError(path, problem)
    train, test = (
        Images(
            images=arrays[f"{split}_images"].unsqueeze(1).to(torch.float32).div_(255),
            labels=arrays[f"{split}_labels"].to(torch.int64),
        )
        for split in ("train", "test")
    )
    return Dataset(about["name"], about["digest"], train, test)


def _digest(arrays: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(arrays[key].numpy().tobytes())
    return digest.hexdigest()[:16]


def _problem(arrays: dict[str, Tensor], about: dict[str, Any]) -> str | None:
    """Say what is wrong with the content of a file."""
    names = {f"{split}_{kind}" for split in ("train", "test") for kind in SHAPES}
    if arrays.keys() != names or about.keys() != {"name", "digest"} or not isinstance(about["name"], str):
        return f"is no data set: it holds {', '.join(sorted(arrays)) or 'nothing'}, and says {about}"
    for split in ("train", "test"):
        count = len(arrays[f"{split}_labels"].flatten())
        for kind, shape in SHAPES.items():
            array = arrays[f"{split}_{kind}"]
            found, wanted = (tuple(array.shape), array.dtype), ((count, *shape), torch.uint8)
            if found != wanted:
                return f"{split}_{kind} must be {wanted[1]} {wanted[0]}, is {found[1]} {found[0]}"
        if count == 0:
            return f"has no {split} images"
        if arrays[f"{split}_labels"].max() > 9:
            return f"{split}_labels must be numbers from 0 to 9"
    if (digest := _digest(arrays)) != about["digest"]:
        return f"its digest is {digest}, not {about['digest']}, as it says"
    return None
