"""The workers: order, chunks, threads and gradients; and which device is taken."""

import os
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from vaebench.device import CHUNK, Workers, select_device

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

    Workers(torch.device("cpu")).map(meet, range(6))
    assert len(set(busy)) == 3


def test_worker_has_one_thread_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        workers = Workers(torch.device("cpu"), threads=2)
        assert workers.map(lambda _: torch.get_num_threads(), range(8)) == [1] * 8
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
