"""Where the work runs: CUDA, Apple's MPS, or the cores of this machine."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

CHUNK = 250  # images a worker passes through a model at once

Result = TypeVar("Result")


def select_device() -> torch.device:
    """Return the best device present, set to repeat its results bit for bit."""
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its sums only with it
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


class Workers:
    """Maps a function over pieces of work, in order.

    On the CPU each core runs whole pieces with one thread. Operators that split one piece over threads sum in
    an order that depends on how many there are; so split by pieces, numbers do not depend on the core count,
    and nothing waits at the end of each operator. An accelerator takes the pieces one by one.
    """

    def __init__(self, device: torch.device, threads: int | None = None) -> None:
        """Start the workers; `threads` is the CPU's count, by default PyTorch's own (OMP_NUM_THREADS)."""
        self.device = device
        self._pool = None
        if device.type == "cpu":
            available = torch.get_num_threads()  # asked first, it settles the main thread's own number
            self._pool = ThreadPoolExecutor(
                threads or available, initializer=torch.set_num_threads, initargs=(1,)
            )

    def map(self, function: Callable[..., Result], *pieces: Iterable[object]) -> list[Result]:
        """Return `function` of each piece, in the order of the pieces."""
        return list((self._pool.map if self._pool else map)(function, *pieces))

    def infer(self, function: Callable[..., Tensor], *tensors: Tensor) -> list[Tensor]:
        """Return `function` of each chunk of `tensors` (N, ...), without gradients, on the CPU."""

        def run(*chunk: Tensor) -> Tensor:
            with torch.no_grad():  # the setting is a thread's own
                return function(*(tensor.to(self.device) for tensor in chunk)).cpu()

        return self.map(run, *(tensor.split(CHUNK) for tensor in tensors))
