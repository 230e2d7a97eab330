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
from vaebench.models.losses import Terms
from vaebench.training.gradients import BatchGradients, epoch_means
from vaebench.training.optimizers import Update
from vaebench.training.outliers import outliers, soften

NO_CLASS = -1  # the label of an image that shows none
EXPOSURE = 0.5  # weight of such an image: Hendrycks et al., Outlier Exposure, 2019, section 4.3
SHIFT = 2  # pixels a training image is moved at most, in each direction


@dataclass(frozen=True)
class ClassifierEpoch:
    """What one pass over the training images left."""

    number: int  # from 1
    cross_entropy: float  # in nats, mean over the epoch's (shifted) digits

    def losses(self) -> dict[str, float]:
        """Return the loss by name."""
        return {"cross_entropy": self.cross_entropy}

    def __str__(self) -> str:
        """Return one line of progress."""
        return f"epoch {self.number}: cross-entropy {self.cross_entropy:.4f}"


def cross_entropy(classifier: nn.Module, images: Tensor, labels: Tensor) -> Terms:
    """Return each image's cross-entropy in nats; of one labelled `NO_CLASS`, from the uniform distribution.

    The latter counts `EXPOSURE` of the former in the loss, and is measured as 0.
    """
    logits = classifier(images)
    known = labels != NO_CLASS
    of_class = functional.cross_entropy(logits, labels, reduction="none", ignore_index=NO_CLASS)
    of_none = -logits.log_softmax(1).mean(1)
    return Terms.of(torch.where(known, of_class, EXPOSURE * of_none), of_class)


def train_classifier(
    classifier: Classifier,
    train: Images,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    outlier_share: float,
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
        outlier_share: images that show no digit, for each that shows one: see `outliers`.
        seed: of the order of the images, of their shifts and of the outliers.
        workers: who computes.

    Raises:
        FloatingPointError: the loss is NaN or infinite; the message says in which epoch.
    """
    generator, other = (Generator().manual_seed(seed) for _ in range(2))
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
                batch, known = shift(images[index], batch_offsets), labels[index]
                if strangers := round(outlier_share * len(batch)):
                    made = outliers(batch[:strangers], known[:strangers], other)
                    batch = soften(torch.cat([batch, made]), other)
                    known = torch.cat([known, known.new_full((strangers,), NO_CLASS)])
                yield gradients(batch, known)
                update()

        with workers.alone():
            _, mean = epoch_means(steps(), len(train), number).tolist()
        yield ClassifierEpoch(number, mean)


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
