"""A panel of classifiers, trained from different seeds, that reads images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.device import Workers
from vaebench.evaluation.confusion import CLASSES
from vaebench.models.classifier import Classifier


@dataclass(frozen=True)
class Readings:
    """What each of C classifiers makes of each of N images."""

    probabilities: Tensor  # (C, N, 10), float64, p(y|x)
    features: Tensor  # (C, N, 128), float32, activations before the last layer

    @property
    def consensus(self) -> Tensor:
        """The panel's own p(y|x), the mean of its members': (N, 10), float64."""
        return self.probabilities.mean(0)

    @property
    def digits(self) -> Tensor:
        """What the panel reads: (N,), int64."""
        return self.consensus.argmax(1)


def read(panel: Sequence[Classifier], images: Tensor, workers: Workers) -> Readings:
    """Return what each classifier of `panel` makes of `images` (N, 1, 28, 28), on the CPU."""

    def read_chunk(chunk: Tensor) -> Tensor:
        return torch.stack([torch.cat(classifier.read(chunk), dim=1) for classifier in panel])

    logits, features = torch.cat(workers.infer(read_chunk, images), dim=1).tensor_split([CLASSES], dim=2)
    return Readings(logits.double().softmax(2), features.contiguous())
