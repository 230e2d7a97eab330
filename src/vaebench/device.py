"""Where the work runs: CUDA, Apple's MPS, or the cores of this machine."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, TypeVar

import torch
from torch import Tensor

Precision = Literal["mixed", "float32"]

CHUNK = 64  # images a worker passes through a model at once; of more, the activations fall out of its cache

# The instructions that oneDNN may be told to keep to; these have bfloat16.
_ANY = "ALL"
_WITH_BFLOAT16 = (_ANY, "DEFAULT", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10")

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


def product_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the type that training multiplies in; weights, sums of the loss and the optimiser stay float32.

    Mixed precision takes bfloat16 where the processor multiplies it natively, which doubles the rate; where
    it does not (no AVX512-BF16 or AMX), or oneDNN is told not to, bfloat16 would be ten times as slow.
    """
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() or _ANY
    native = {
        "cpu": allowed.startswith(_WITH_BFLOAT16) and torch.cpu.get_capabilities().get("avx512_bf16", False),
        "cuda": device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False),
    }
    return torch.bfloat16 if precision == "mixed" and native.get(device.type) else torch.float32


class Workers:
    """Maps a function over pieces of work, in order.

    On the CPU each core runs whole pieces with one thread. Operators that split one piece over threads sum in
    an order that depends on how many there are; so split by pieces, what they compute does not depend on the
    core count, and nothing waits at the end of each operator. An accelerator takes the pieces one by one.
    """

    def __init__(
        self, device: torch.device, threads: int | None = None, precision: Precision = "float32"
    ) -> None:
        """Start the workers.

        Args:
            device: where they run.
            threads: the CPU's count; by default PyTorch's own (OMP_NUM_THREADS).
            precision: of the products in training.
        """
        self.device = device
        self.dtype = product_dtype(device, precision)
        self.precision = str(self.dtype).removeprefix("torch.")  # for the record
        available = torch.get_num_threads()  # asked first, it settles the main thread's own number
        self.threads = threads or available
        self._pool = None
        if device.type == "cpu":
            _keep_freed_memory()
            self._pool = ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,))

    def map(self, function: Callable[..., Result], *pieces: Iterable[object]) -> list[Result]:
        """Return `function` of each piece, in the order of the pieces."""
        return list((self._pool.map if self._pool else map)(function, *pieces))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the caller's operators to one thread: others would spin for a while on the workers' cores."""
        threads = torch.get_num_threads()
        if self._pool:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def autocast(self, *, enabled: bool = True) -> torch.autocast:
        """Return a context in which layers multiply in `dtype`; training's alone, scores are float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=enabled and self.dtype != torch.float32)

    def infer(self, function: Callable[..., Tensor], *tensors: Tensor) -> list[Tensor]:
        """Return `function` of each chunk of `tensors` (N, ...), without gradients, on the CPU."""

        def run(*chunk: Tensor) -> Tensor:
            with torch.no_grad():  # the setting is a thread's own
                return function(*(tensor.to(self.device) for tensor in chunk)).cpu()

        return self.map(run, *(tensor.split(CHUNK) for tensor in tensors))


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed: else each batch's activations fault in again, a sixth of its time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD at its largest: nothing up to 32 MiB is mapped alone
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD: nothing below 1 GiB is given back
