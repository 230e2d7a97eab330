"""How gradients move weights: Adam, SGD, or Muon for the convolutions with AdamW for the rest."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from vaebench.device import Workers

OptimizerName = Literal["adam", "muon", "sgd"]

WARM_UP = 0.1  # of the steps, in which the one-cycle schedule rises to its peak
MOMENTUM = 0.95
WEIGHT_DECAY = 0.01  # AdamW's


class Update:
    """One step of an optimizer and of its schedule.

    `adam` is Adam at a constant rate, the report's; `sgd` is plain gradient descent at one. `muon` moves the
    kernels of convolutions by `Muon` and everything else by AdamW, on a one-cycle schedule, linear up and
    down (Smith & Topin, Super-Convergence, 2018).
    """

    def __init__(
        self, model: nn.Module, name: OptimizerName, learning_rate: float, steps: int, workers: Workers
    ) -> None:
        """Prepare to update `model`.

        Args:
            model: on the device of `workers`; its gradients are set before each step.
            name: the optimizer.
            learning_rate: Adam's and SGD's; of a one-cycle schedule, the peak.
            steps: of the whole training.
            workers: on the CPU, they share the kernels.
        """
        self._workers = workers
        self._optimizers: list[Optimizer] = []
        self._schedules: list[OneCycleLR] = []
        if name == "adam":
            self._optimizers = [Adam(model.parameters(), lr=learning_rate, fused=True)]
            return
        if name == "sgd":
            self._optimizers = [SGD(model.parameters(), lr=learning_rate, fused=True)]
            return
        kernels: dict[torch.Size, list[nn.Parameter]] = {}
        others = []
        for parameter in model.parameters():
            if _mixes_channels(parameter):
                kernels.setdefault(parameter.shape, []).append(parameter)
            else:
                others.append(parameter)
        self._optimizers = [
            *(Muon(alike, learning_rate) for alike in kernels.values()),
            AdamW(others, lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=True),
        ]
        self._schedules = [
            OneCycleLR(
                optimizer,
                max_lr=learning_rate,
                total_steps=steps + 1,  # it steps once past the last batch
                pct_start=max(WARM_UP, 2 / (steps + 1)),  # of a few steps, at least one rises
                anneal_strategy="linear",
                cycle_momentum=False,
            )
            for optimizer in self._optimizers
        ]

    def __call__(self) -> None:
        """Move the weights by their gradients."""
        self._workers.map(lambda optimizer: optimizer.step(), self._optimizers)
        for schedule in self._schedules:
            schedule.step()


class Muon(Optimizer):
    """Momentum, orthogonalised (Jordan et al., Muon: An optimizer for hidden layers, 2024).

    A kernel is taken as the matrix (first channels, all else), and steps have the size of AdamW's (Liu et
    al., Muon is Scalable for LLM Training, 2025, section 2.2), so that one learning rate serves both.
    torch.optim.Muon takes no kernels, and multiplies in bfloat16: 75 ms a step on a CPU without it.
    """

    def __init__(self, kernels: list[nn.Parameter], lr: float) -> None:
        """Take kernels of one shape."""
        super().__init__(kernels, {"lr": lr})
        self._momentum = torch.stack([torch.zeros_like(_matrix(kernel)) for kernel in kernels])

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move the kernels by their gradients."""
        [group] = self.param_groups
        gradients = torch.stack([_matrix(kernel.grad) for kernel in group["params"]])
        self._momentum.lerp_(gradients, 1 - MOMENTUM)
        updates = orthogonalize(gradients.lerp_(self._momentum, MOMENTUM))  # Nesterov's
        size = 0.2 * math.sqrt(max(updates.shape[1:]))
        for kernel, update in zip(group["params"], updates, strict=True):
            rows, _, height, width = kernel.shape
            move = update.view(rows, height, width, -1).permute(0, 3, 1, 2)
            kernel.add_(move, alpha=-group["lr"] * size)


def orthogonalize(matrices: Tensor) -> Tensor:
    """Return `matrices` (N, rows, columns) with their singular vectors, and singular values near 1.

    Five Newton-Schulz iterations with the coefficients of Jordan et al., 2024, which end in [0.68, 1.21] for
    singular values of at least 1/500 of the norm; rows must be no more than columns. Zeros stay zeros.
    """
    scaled = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    # The iterates are polynomials of the Gram matrix times the first: small products until the last.
    gram = scaled @ scaled.mT
    identity = mixing = torch.eye(gram.shape[1], device=gram.device, dtype=gram.dtype)
    for _ in range(5):
        step = 3.4445 * identity - 4.7750 * gram + 2.0315 * gram @ gram
        mixing, gram = step @ mixing, step @ gram @ step
    result: Tensor = mixing @ scaled
    return result


def _matrix(kernel: Tensor) -> Tensor:
    """Return a kernel (rows, channels, height, width) as (rows, height · width · channels)."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def _mixes_channels(parameter: Tensor) -> bool:
    """Return whether it is a kernel between several channels."""
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 1
