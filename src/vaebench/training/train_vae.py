"""The training of a VAE, by the report's recipe or a faster one: one record an epoch."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from vaebench.device import Workers
from vaebench.models.losses import Losses, mean_losses
from vaebench.models.objective import Objective
from vaebench.models.vae import VAE
from vaebench.training.gradients import BatchGradients, epoch_means, require_finite
from vaebench.training.optimizers import OptimizerName, Update


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images left."""

    number: int  # from 1
    loss: float  # what was minimised, over the epoch's batches
    train: Losses  # over the epoch's batches, while the weights changed
    test: Losses | None  # after the epoch, over the whole test set, if there is one
    seconds: float  # training alone
    images_per_second: float

    def losses(self) -> dict[str, float]:
        """Return all losses by name; those of the test set start with `test_`."""
        measured = {**self.train.named(), **(self.test.named("test_") if self.test else {})}
        return {"loss": self.loss, **measured}

    def __str__(self) -> str:
        """Return one line of progress."""
        name, train = [*self.train.named().items()][-1]  # the combined loss, if there is one
        test = f", test {self.test.named()[name]:.3f}" if self.test else ""
        losses = f"{name.replace('_', ' ')} {train:.3f}{test}"
        return f"epoch {self.number}: {losses}, {self.images_per_second:,.0f} images/s"


def train_vae(
    vae: VAE,
    train: Tensor,
    test: Tensor | None = None,
    *,
    objective: Objective,
    epochs: int,
    batch_size: int,
    optimizer: OptimizerName,
    learning_rate: float,
    seed: int,
    workers: Workers,
) -> Iterator[Epoch]:
    """Train `vae` in place, one epoch at each step of the iterator.

    Args:
        vae: the model, on the device of `workers`.
        train: images to learn, (N, 1, 28, 28), float32 in [0, 1].
        test: images to score after each epoch, likewise, in the precision of training; or none.
        objective: what is minimised.
        epochs: passes over `train`.
        batch_size: images a step; the last batch of an epoch may be smaller.
        optimizer: `adam` or `sgd` at a constant rate, or `muon` on a one-cycle schedule: see `Update`.
        learning_rate: the optimizer's; of a schedule, the peak.
        seed: of the order of the images and of the noise.
        workers: who computes.

    Raises:
        FloatingPointError: the loss is NaN or infinite; the message says in which epoch.
    """
    generator = Generator().manual_seed(seed)
    device = workers.device
    images = train.to(device)
    gradients = BatchGradients(vae, objective, workers)
    batches = math.ceil(len(images) / batch_size)
    update = Update(vae, optimizer, learning_rate, epochs * batches, workers)
    for number in range(1, epochs + 1):
        started = time.perf_counter()
        order = torch.randperm(len(images), generator=generator).to(device)
        noise = objective.noise(len(images), vae.latent_dim, generator).to(device)

        def steps(order: Tensor = order, noise: Tensor = noise) -> Iterator[Tensor]:
            for index, batch_noise in zip(order.split(batch_size), noise.split(batch_size), strict=True):
                yield gradients(images[index], batch_noise)
                update()

        with workers.alone():
            loss, *measured = epoch_means(steps(), len(images), number).tolist()
        seconds = time.perf_counter() - started
        test_losses = None
        if test is not None:
            # The same noise after every epoch: the curve moves by what was learnt alone.
            test_losses = mean_losses(vae, test, Generator().manual_seed(seed), workers, mixed=True)
            require_finite(torch.tensor([*test_losses.named().values()]), number)
        else:  # the last step too may have ruined the weights
            with torch.no_grad():
                require_finite(objective(vae, images[order[:batch_size]], noise[:batch_size]).loss, number)
        yield Epoch(number, loss, Losses(*measured), test_losses, seconds, len(images) / seconds)
