"""The digit classifier that reads generated images: a small convolutional network."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.data.tensors import build_model, load_tensors, load_weights, save_tensors
from vaebench.pipeline.files import UnusableFileError

_ABOUT = {"model": "classifier"}  # what the file says of itself


class Reading(NamedTuple):
    """What a classifier makes of images."""

    logits: Tensor  # (B, 10)
    features: Tensor  # (B, 128), the activations before the last layer, at least 0


class Classifier(nn.Module):
    """Four convolutions with pooling between them, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # to 14×14
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # to 7×7
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # to 3×3
            nn.Flatten(),
            nn.Linear(128 * 3 * 3, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images` (B, 1, 28, 28), float32 in [0, 1]: (B, 10)."""
        return self.read(images).logits

    def read(self, images: Tensor) -> Reading:
        """Return the logits of `images` (B, 1, 28, 28), float32 in [0, 1], and the features behind them."""
        features = self.layers[:-1](images)
        return Reading(self.layers[-1](features), features)


def build_classifier(seed: int) -> Classifier:
    """Return a classifier with PyTorch's default initial weights, drawn from `seed`."""
    return build_model(Classifier, seed)


def save_classifier(path: Path, classifier: Classifier) -> None:
    """Write the weights."""
    save_tensors(path, classifier.state_dict(), _ABOUT)


def load_classifier(path: Path, device: torch.device) -> Classifier:
    """Rebuild the classifier that `save_classifier` wrote, in evaluation mode.

    Raises:
        UnusableFileError: the file is not that of a classifier.
    """
    weights, about = load_tensors(path)
    if about != _ABOUT:
        raise UnusableFileError(path, f"must hold {_ABOUT}, says that it holds {about}")
    classifier = build_classifier(seed=0)
    load_weights(path, classifier, weights)
    return classifier.to(device).eval()
