"""The gradient of one batch, computed on all cores, the same for any number of them."""

import math
from collections.abc import Callable, Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from vaebench.device import Workers
from vaebench.models.losses import Terms

SLOTS = 8  # gradient buffers; fixed, so that sums do not depend on the core count
MICRO_BATCH = 64  # images at most in one pass on a core; the activations of more fall out of its cache
LEAST = 16  # images whose halves are not worth a pass each
FINITE_CHECK = 20  # batches between two looks at the loss: on an accelerator each look waits for it


class BatchGradients:
    """Gradients of a batch, computed in micro-batches side by side.

    Each slot has a copy of the model that shares its weights and owns its gradients; micro-batches go to
    slots, slots to workers, and the slots are summed in order. So the result is the same, bit for bit, for
    any number of workers.
    """

    def __init__(self, model: nn.Module, terms: Callable[..., Terms], workers: Workers) -> None:
        """Prepare the slots.

        Args:
            model: the module whose parameters get a gradient.
            terms: of a model and the micro-batch's tensors, what it makes of each image.
            workers: on the CPU, who does the work; an accelerator takes a batch whole.
        """
        self._terms = terms
        self._workers = workers
        self._on_cpu = workers.device.type == "cpu"
        self._parameters = list(model.parameters())
        self._slots = [deepcopy(model) for _ in range(SLOTS)] if self._on_cpu else [model]
        for slot in self._slots:
            for own, shared in zip(slot.parameters(), self._parameters, strict=True):
                own.data = shared.data

    def __call__(self, *batch: Tensor) -> Tensor:
        """Set every parameter's `grad` to that of the batch's mean loss.

        Returns:
            The sums of the loss and of what is measured: (1 + K,).
        """
        size = len(batch[0])
        lone = LEAST < size <= MICRO_BATCH  # it would keep one core busy
        most = math.ceil(size / 2) if lone else MICRO_BATCH
        pieces = [tensor.split(most if self._on_cpu else size) for tensor in batch]
        micro_batches = list(zip(*pieces, strict=True))
        slots = self._slots[: len(micro_batches)]

        def run(index: int) -> Tensor:
            for parameter in slots[index].parameters():
                parameter.grad = None
            sums = []
            for micro_batch in micro_batches[index :: len(slots)]:
                with self._workers.autocast():
                    loss, measured = self._terms(slots[index], *micro_batch)
                (loss.sum() / size).backward()
                sums.append(torch.cat([loss[:, None], measured], dim=1).detach().sum(0))
            return torch.stack(sums).sum(0)

        sums = torch.stack(self._workers.map(run, range(len(slots))))
        total, *others = (_gradients(slot) for slot in slots)
        for other in others:
            torch._foreach_add_(total, other)
        # Those that the loss does not depend on have none.
        pairs = zip(self._parameters, slots[0].parameters(), strict=True)
        used = [own for own, shared in pairs if shared.grad is not None]
        for parameter, gradient in zip(used, total, strict=True):
            parameter.grad = gradient
        return sums.sum(0)


def epoch_means(batch_sums: Iterable[Tensor], count: int, epoch: int) -> Tensor:
    """Run through the batches of an epoch and return the means of the loss and of what is measured.

    Args:
        batch_sums: what `BatchGradients` returns for each batch, (1 + K,).
        count: the images of the epoch.
        epoch: its number, for the error.

    Returns:
        (1 + K,), float64, on the CPU.

    Raises:
        FloatingPointError: a loss is NaN or infinite; the message says in which epoch.
    """
    sums = []
    for step, batch_sum in enumerate(batch_sums):
        sums.append(batch_sum)
        if step % FINITE_CHECK == 0:
            require_finite(batch_sum, epoch)
    means = torch.stack(sums).cpu().double().sum(0) / count
    require_finite(means, epoch)
    return means


def require_finite(loss: Tensor, epoch: int) -> None:
    """Raise FloatingPointError, naming the epoch, if a part of `loss` is NaN or infinite."""
    if not math.isfinite(loss.sum().item()):
        raise FloatingPointError(f"the loss is NaN or infinite in epoch {epoch}")


def _gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
