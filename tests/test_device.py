"""The workers: order, chunks, threads and gradients; which device is taken, and what it multiplies in."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vaebench.device import CHUNK, Precision, Workers, product_dtype, select_device

ROOT = Path(__file__).resolve().parents[1]
TOGETHER = 30.0  # seconds until threads that must meet have surely met


# map.


def test_results_are_in_the_order_of_the_pieces(crews: list[Workers]) -> None:
    def late_first(piece: int) -> int:
        time.sleep(0.01 * (5 - piece))
        return piece * 10

    for workers in crews:
        assert workers.map(late_first, range(5)) == [0, 10, 20, 30, 40]


def test_map_takes_several_pieces_at_once(workers: Workers) -> None:
    assert workers.map(lambda a, b, c: f"{a}{b}{c}", "abc", [1, 2, 3], "xyz") == ["a1x", "b2y", "c3z"]
    assert workers.map(lambda a: a, []) == []


def test_error_of_a_piece_comes_back(crews: list[Workers]) -> None:
    def fail_at_two(piece: int) -> int:
        if piece == 2:
            raise FloatingPointError("piece 2")
        return piece

    for workers in crews:
        with pytest.raises(FloatingPointError, match="piece 2"):
            workers.map(fail_at_two, range(5))
        assert workers.map(fail_at_two, [0, 1]) == [0, 1]  # and the workers are still there


@pytest.mark.parametrize("count", [2, 3])
def test_workers_work_at_the_same_time(crews: list[Workers], count: int) -> None:
    barrier = threading.Barrier(count, timeout=TOGETHER)  # breaks if a piece waits for another to end
    crews[count - 1].map(lambda _: barrier.wait(), range(count))


def test_as_many_workers_as_pytorch_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    barrier = threading.Barrier(3, timeout=TOGETHER)
    busy = []

    def meet(_: int) -> None:
        busy.append(threading.get_ident())
        barrier.wait()

    workers = Workers(torch.device("cpu"))
    workers.map(meet, range(6))
    assert len(set(busy)) == 3
    assert workers.threads == 3


def test_number_of_workers_is_for_the_record(crews: list[Workers]) -> None:
    assert [workers.threads for workers in crews] == [1, 2, 3]


def test_worker_has_one_thread_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        workers = Workers(torch.device("cpu"), threads=2)
        assert workers.map(lambda _: torch.get_num_threads(), range(8)) == [1] * 8
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_caller_that_has_not_asked_keeps_its_own_threads_too() -> None:
    # PyTorch settles the number at the first question, and a worker's own must not be the answer.
    script = """
import torch
from vaebench.device import Workers

Workers(torch.device("cpu"), threads=2).map(lambda _: torch.ones(3).sum(), range(8))
print(torch.get_num_threads())
"""
    variables = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, check=True, capture_output=True, encoding="utf-8"
    )
    assert done.stdout == "2\n"


def test_caller_has_one_thread_while_the_workers_are_alone(workers: Workers) -> None:
    def fail() -> None:
        with workers.alone():
            assert torch.get_num_threads() == 1
            raise FloatingPointError

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(FloatingPointError):
            fail()
        assert torch.get_num_threads() == 3
        with Workers(torch.device("meta")).alone():
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_accelerator_takes_the_pieces_one_by_one() -> None:
    workers = Workers(torch.device("meta"))  # stands for a device that is not the CPU
    assert set(workers.map(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}


# infer.


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 17])
def test_every_row_is_passed_once_in_chunks(crews: list[Workers], count: int) -> None:
    rows = torch.arange(count, dtype=torch.float32)[:, None]
    for workers in crews:
        sizes: list[int] = []

        def double(chunk: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(len(chunk))
            return chunk * 2

        assert torch.equal(torch.cat(workers.infer(double, rows)), rows * 2)
        expected = [CHUNK] * (count // CHUNK) + [count % CHUNK] * (count % CHUNK > 0)
        assert sorted(sizes, reverse=True) == expected


def test_rows_of_several_tensors_stay_together(workers: Workers) -> None:
    rows = torch.arange(2.0 * CHUNK + 3)
    for difference in workers.infer(lambda one, other: one - other / 10, rows, rows * 10):
        assert torch.all(difference == 0)


def test_no_gradient_is_kept(crews: list[Workers]) -> None:
    layer = nn.Linear(3, 2)
    for workers in (*crews, Workers(torch.device("meta"))):
        enabled: list[bool] = []

        def run(chunk: Tensor, enabled: list[bool] = enabled) -> Tensor:
            enabled.append(torch.is_grad_enabled())
            result: Tensor = layer(torch.ones(len(chunk), 3)).sum(0)
            return result

        results = workers.infer(run, torch.ones(CHUNK + 1, 3))
        assert enabled == [False, False]
        assert not any(result.requires_grad for result in results)
        assert torch.is_grad_enabled()


# The device.


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """A machine with no accelerator, and a record of what is set."""
    set_to: dict[str, object] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode: set_to.update(deterministic=mode))
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that what is set is undone
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    yield set_to
    torch.backends.cudnn.benchmark = benchmark


def test_cpu_where_there_is_nothing_else(bare: dict[str, object]) -> None:
    assert select_device() == torch.device("cpu")
    assert not bare
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_mps(bare: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device() == torch.device("mps")


def test_cuda_comes_first_and_repeats_itself(
    bare: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device() == torch.device("cuda")
    assert bare == {"deterministic": True}
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.backends.cudnn.benchmark


def test_setting_of_the_user_stays(bare: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    select_device()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


# The precision.

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor and a CUDA device that multiply bfloat16 natively."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": True})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("device", "expected"), [(CPU, torch.bfloat16), (CUDA, torch.bfloat16), (MPS, torch.float32)]
)
def test_mixed_precision_multiplies_in_bfloat16_where_that_is_native(
    device: torch.device, expected: torch.dtype
) -> None:
    assert product_dtype(device, "mixed") == expected
    assert product_dtype(torch.device(device.type, 0), "mixed") == expected
    assert product_dtype(device, "float32") == torch.float32


@pytest.mark.parametrize(
    "capabilities", [{}, {"avx2": True, "avx512_bf16": False}, {"architecture": "arm64"}]
)
def test_processor_without_bfloat16_multiplies_in_float32(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert product_dtype(CPU, "mixed") == torch.float32


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("AVX2", torch.float32),
        ("avx512_core", torch.float32),
        ("AVX512_CORE_VNNI", torch.float32),
        ("AVX512_CORE_BF16", torch.bfloat16),
        ("AVX512_CORE_AMX", torch.bfloat16),
        ("ALL", torch.bfloat16),
        ("", torch.bfloat16),
    ],
)
def test_what_onednn_is_told_to_leave_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, setting: str, expected: torch.dtype
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", setting)
    assert product_dtype(CPU, "mixed") == expected
    assert product_dtype(CUDA, "mixed") == torch.bfloat16


@pytest.mark.usefixtures("native")
def test_cuda_device_that_would_emulate_bfloat16_multiplies_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert product_dtype(CUDA, "mixed") == torch.float32
    assert product_dtype(CPU, "mixed") == torch.bfloat16


@pytest.mark.usefixtures("native")
def test_cuda_is_not_asked_on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(including_emulation: bool = True) -> bool:
        raise AssertionError("where there is no driver, asking fails")

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", ask)
    assert product_dtype(CPU, "mixed") == torch.bfloat16


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(("precision", "name"), [("mixed", "bfloat16"), ("float32", "float32")])
def test_workers_say_what_they_multiply_in(precision: Precision, name: str) -> None:
    workers = Workers(CPU, threads=1, precision=precision)
    assert workers.precision == name
    assert workers.dtype == getattr(torch, name)


@pytest.mark.usefixtures("native")
def test_workers_multiply_in_float32_unless_told() -> None:
    workers = Workers(CPU, threads=1)
    assert (workers.dtype, workers.precision) == (torch.float32, "float32")


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("precision", ["mixed", "float32"])
def test_layers_multiply_in_the_workers_type(precision: Precision) -> None:
    workers = Workers(CPU, threads=2, precision=precision)
    layer, ones = nn.Linear(3, 2), torch.ones(1, 3)

    def run(_: int) -> torch.dtype:
        with workers.autocast():
            product: Tensor = layer(ones)
        return product.dtype

    assert workers.map(run, range(4)) == [workers.dtype] * 4
    assert layer.weight.dtype == layer(ones).dtype == torch.float32


def test_double_precision_stays_where_nothing_is_mixed(workers: Workers) -> None:
    layer, ones = nn.Linear(3, 2, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    with workers.autocast():
        assert layer(ones).dtype == torch.float64


@pytest.mark.usefixtures("native")
def test_inference_is_not_mixed() -> None:
    workers = Workers(CPU, threads=2, precision="mixed")
    layer = nn.Linear(3, 2)
    rows = torch.rand(CHUNK + 1, 3, generator=torch.Generator().manual_seed(0))
    found = torch.cat(workers.infer(layer, rows))
    assert found.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(found, rows @ layer.weight.T + layer.bias, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's allocator is set")
def test_training_does_not_fault_the_same_memory_in_again() -> None:
    """In a process of its own: what other tests have freed would hide it."""
    code = """
import resource, torch
from vaebench.device import Workers
from vaebench.training.gradients import BatchGradients
from vaebench.objectives.elbo import elbo
from vaebench.models.vae import build_vae
gradients = BatchGradients(build_vae(5, 0), elbo, Workers(torch.device("cpu"), threads=1))
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    gradients(torch.rand(64, 1, 28, 28), torch.randn(64, 5))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([step() for _ in range(16)][-4:])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert max(json.loads(done.stdout)) < 500  # by glibc's defaults 2,000 to 7,000
