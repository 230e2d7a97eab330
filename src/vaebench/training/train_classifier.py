"""The training of the digit classifier: one record an epoch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vaebench.data.dataset import Images
from vaebench.device import Workers
from vaebench.models.classifier import Classifier
from vaebench.training.gradients import BatchGradients, epoch_means
from vaebench.training.optimizers import Update

SHIFT = 2  # pixels a training image is moved at most, in each direction


@dataclass(frozen=True)
class ClassifierEpoch:
    """What one pass over the training images left."""

    number: int  # from 1
    cross_entropy: float  # in nats, mean over the epoch's (shifted) images

    def losses(self) -> dict[str, float]:
        """Return the loss by name."""
        return {"cross_entropy": self.cross_entropy}

    def __str__(self) -> str:
        """Return one line of progress."""
        return f"epoch {self.number}: cross-entropy {self.cross_entropy:.4f}"


def cross_entropy(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return each image's cross-entropy in nats: (B, 1)."""
    return functional.cross_entropy(classifier(images), labels, reduction="none").unsqueeze(1)


def train_classifier(
    classifier: Classifier,
    train: Images,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    workers: Workers,
) -> Iterator[ClassifierEpoch]:
    """Train `classifier` in place on randomly shifted digits, one epoch at each step of the iterator.

    Args:
        classifier: the model, on the device of `workers`.
        train: digits to learn.
        epochs: passes over `train`.
        batch_size: images a step; the last batch of an epoch may be smaller.
        learning_rate: of `Update`'s Muon, at the peak of its schedule.
        seed: of the order of the images and of their shifts.
        workers: who computes.

    Raises:
        FloatingPointError: the loss is NaN or infinite; the message says in which epoch.
    """
    generator = Generator().manual_seed(seed)
    device = workers.device
    images, labels = train.images.to(device), train.labels.to(device)
    gradients = BatchGradients(classifier, cross_entropy, workers)
    batches = math.ceil(len(train) / batch_size)
    update = Update(classifier, "muon", learning_rate, epochs * batches, workers)
    for number in range(1, epochs + 1):
        order = torch.randperm(len(train), generator=generator).to(device)
        offsets = torch.randint(0, 2 * SHIFT + 1, (len(train), 2), generator=generator).to(device)

        def steps(order: Tensor = order, offsets: Tensor = offsets) -> Iterator[Tensor]:
            for index, batch_offsets in zip(order.split(batch_size), offsets.split(batch_size), strict=True):
                yield gradients(shift(images[index], batch_offsets), labels[index])
                update()

        with workers.alone():
            mean = epoch_means(steps(), len(train), number)
        yield ClassifierEpoch(number, float(mean))


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Move each image by `offsets` − SHIFT pixels, filling with black.

    Args:
        images: (B, 1, 28, 28).
        offsets: (B, 2), int64 in 0..2·SHIFT: rows up, columns left.
    """
    height, width = images.shape[2:]
    padded = functional.pad(images.squeeze(1), (SHIFT, SHIFT, SHIFT, SHIFT))
    rows = offsets[:, 0, None] + torch.arange(height, device=images.device)
    columns = offsets[:, 1, None] + torch.arange(width, device=images.device)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
