"""Files of tensors: what comes back, that equal content is equal bytes, and weights drawn from a seed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from vaebench.data.tensors import build_model, load_tensors, load_weights, save_tensors
from vaebench.pipeline.files import UnusableFileError

ABOUT = {"model": "vae", "latent_dim": 5, "note": "σ² = ½", "nested": {"b": [1, 2.5], "a": None}}


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = Generator().manual_seed(0)
    kernel = torch.randn(4, 3, 3, 3, generator=generator)
    return {
        "float": torch.randn(5, 7, generator=generator),
        "double": torch.randn(3, generator=generator, dtype=torch.float64),
        "bytes": torch.randint(256, (2, 28, 28), generator=generator, dtype=torch.uint8),
        "labels": torch.arange(4),
        "transposed": torch.randn(6, 2, generator=generator).T,
        "channels last": kernel.to(memory_format=torch.channels_last),
        "weights": nn.Parameter(kernel.clone()),
        "scalar": torch.tensor(2.5),
        "none": torch.zeros(0, 28, 28),
    }


def layers() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(4, 5))


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def test_round_trip(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    save_tensors(tmp_path / "file", tensors, ABOUT)
    loaded, about = load_tensors(tmp_path / "file")
    assert about == ABOUT
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(loaded[name], tensor)
        assert not loaded[name].requires_grad


def test_file_is_plain_safetensors(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, tensors, ABOUT)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load_file(path).items())
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    assert json.loads(header["__metadata__"]["vaebench"]) == ABOUT


def test_equal_content_is_equal_bytes(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    written = set()
    for turn in range(8):
        order = list if turn % 2 else reversed
        save_tensors(tmp_path / "file", dict(order(list(tensors.items()))), dict(order(list(ABOUT.items()))))
        written.add((tmp_path / "file").read_bytes())
    assert len(written) == 1


def test_other_content_is_other_bytes(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    written = set()
    for changed, about in (
        ({}, ABOUT),
        ({}, {**ABOUT, "latent_dim": 6}),
        ({"scalar": torch.tensor(2.6)}, ABOUT),
        ({"labels": torch.arange(4, dtype=torch.int32)}, ABOUT),
    ):
        save_tensors(tmp_path / "file", {**tensors, **changed}, about)
        written.add((tmp_path / "file").read_bytes())
    assert len(written) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"not safetensors at all",
        lambda content: content[:7],
        lambda content: content[:-1],
        lambda content: content + b"more",
        lambda content: content[:8] + b"[" + content[9:],
        lambda content: b"\xff" * 8 + content[8:],
    ],
)
def test_broken_file_is_one_line(
    tmp_path: Path, tensors: dict[str, Tensor], spoil: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, tensors, ABOUT)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UnusableFileError, match=rf"^{path}: is no file of tensors of this project \(.*\)$"):
        load_tensors(path)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"vaebench": "{"}, {"vaebench": "[5]"}])
def test_file_that_does_not_say_what_it_holds_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "file.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata)
    with pytest.raises(UnusableFileError, match=rf"^{path}: "):
        load_tensors(path)


def test_pickle_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UnusableFileError, match="is no file of tensors"):
        load_tensors(path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"0.bias": None}, r"holds other weights than the model has: 0\.bias"),
        ({"more": torch.zeros(1)}, "holds other weights than the model has: more"),
        ({"0.bias": torch.zeros(7)}, r"0\.bias must be torch\.float32 \(8,\), is torch\.float32 \(7,\)"),
        (
            {"0.bias": torch.zeros(8).double()},
            r"0\.bias must be torch\.float32 \(8,\), is torch\.float64 \(8,\)",
        ),
        ({"0.bias": torch.full((8,), torch.nan)}, r"0\.bias holds NaN or infinity"),
        ({"0.bias": torch.full((8,), -torch.inf)}, r"0\.bias holds NaN or infinity"),
    ],
)
def test_weights_that_are_not_the_models_are_refused(changes: dict[str, Tensor | None], problem: str) -> None:
    model = build_model(layers, seed=3)
    before = bits(model)
    weights = {**build_model(layers, seed=4).state_dict(), **changes}
    given = {name: weight for name, weight in weights.items() if weight is not None}
    with pytest.raises(UnusableFileError, match=f"^file: {problem}$"):
        load_weights("file", model, given)
    assert bits(model) == before


# Weights from a seed.


def test_equal_seeds_give_equal_weights() -> None:
    assert bits(build_model(layers, seed=3)) == bits(build_model(layers, seed=3))
    assert bits(build_model(layers, seed=3)) != bits(build_model(layers, seed=4))


def test_weights_are_those_that_pytorch_draws() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = layers()
    assert bits(build_model(layers, seed=3)) == bits(expected)


def test_weights_do_not_depend_on_the_global_generator() -> None:
    with torch.random.fork_rng(devices=[]):
        built = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            built.append(bits(build_model(layers, seed=3)))
    assert built[0] == built[1]


@pytest.mark.usefixtures("global_rng_untouched")
def test_build_leaves_the_global_generator_alone() -> None:
    build_model(layers, seed=3)


def test_convolutions_are_channels_last() -> None:
    kernel = build_model(layers, seed=3).state_dict()["0.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert not kernel.is_contiguous()
