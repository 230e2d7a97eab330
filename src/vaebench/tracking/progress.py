"""A training, epoch by epoch, as the console and the record see it."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from vaebench.pipeline.stage import StageError, say
from vaebench.tracking.track import StageRun


class Epoch(Protocol):
    """One pass over the training images; as text, a line of progress."""

    @property
    def number(self) -> int:
        """Its place, from 1."""
        ...

    def losses(self) -> dict[str, float]:
        """Return its losses by name."""
        ...


AnyEpoch = TypeVar("AnyEpoch", bound=Epoch)


def follow(training: Iterable[AnyEpoch], run: StageRun, name: str, rate: str) -> list[AnyEpoch]:
    """Run through a training and return its epochs; each is printed and recorded as it ends.

    Args:
        training: the epochs.
        run: the stage's record.
        name: of what is trained, for the lines of progress.
        rate: the parameter that sets its learning rate, for the error.

    Raises:
        StageError: the loss became NaN or infinite.
    """
    epochs = []
    try:
        for epoch in training:
            epochs.append(epoch)
            run.log_metrics(epoch.losses(), step=epoch.number)
            say(f"{name}, {epoch}")
    except FloatingPointError as error:
        raise StageError(f"{error}; try a lower {rate}") from error
    return epochs
