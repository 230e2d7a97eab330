"""A training as the console and the record see it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from vaebench.pipeline.stage import StageError
from vaebench.tracking.progress import follow


@dataclass(frozen=True)
class Epoch:
    number: int

    def losses(self) -> dict[str, float]:
        return {"loss": 10.0 / self.number}

    def __str__(self) -> str:
        return f"epoch {self.number}"


@dataclass
class Record:
    logged: list[tuple[dict[str, float], int | None]] = field(default_factory=list)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.logged.append((metrics, step))


def test_each_epoch_is_printed_and_recorded_as_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    record, seen = Record(), []

    def training() -> Iterator[Epoch]:
        for number in (1, 2):
            yield Epoch(number)
            seen.append((len(record.logged), capsys.readouterr().err + capsys.readouterr().out))

    epochs = follow(training(), record, "dimension 5", "vae.fast.learning_rate")  # type: ignore[arg-type]
    assert epochs == [Epoch(1), Epoch(2)]
    assert record.logged == [({"loss": 10.0}, 1), ({"loss": 5.0}, 2)]
    assert [count for count, _ in seen] == [1, 2]
    assert ["dimension 5, epoch 1" in seen[0][1], "dimension 5, epoch 2" in seen[1][1]] == [True, True]


def test_loss_that_is_not_finite_is_one_line_that_says_what_to_do() -> None:
    def training() -> Iterator[Epoch]:
        yield Epoch(1)
        raise FloatingPointError("the loss is NaN or infinite in epoch 2")

    record = Record()
    message = "^the loss is NaN or infinite in epoch 2; try a lower vae.fast.learning_rate$"
    with pytest.raises(StageError, match=message):
        follow(training(), record, "dimension 5", "vae.fast.learning_rate")  # type: ignore[arg-type]
    assert len(record.logged) == 1
