"""Files of named tensors that say what they hold, and models in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vaebench.pipeline.files import UnusableFileError

# One key: safetensors writes several metadata keys in random order, and equal content must give equal bytes.
_KEY = "vaebench"

Model = TypeVar("Model", bound=nn.Module)


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write `tensors` (on any device) and what they are as a safetensors file."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not by safetensors' own writer, whose errors are no OSError and name no file.
    path.write_bytes(save(content, metadata={_KEY: json.dumps(about, sort_keys=True)}))


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) that `save_tensors` wrote, and what they are.

    Raises:
        UnusableFileError: it did not write this file.
    """
    try:
        # The plain opening says why it fails.
        with Path(path).open("rb"), safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {})[_KEY])
    except (SafetensorError, KeyError, ValueError) as error:
        raise UnusableFileError(path, f"is no file of tensors of this project ({error!r})") from error
    if not isinstance(about, dict):
        raise UnusableFileError(path, f"says {about!r} of itself")
    return tensors, about


def load_weights(path: Path | str, model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put weights that were read from `path` into `model`.

    Raises:
        UnusableFileError: they are not its own: one is missing, unknown, of another shape or type, or has a
            number that is NaN or infinite.
    """
    own = model.state_dict()
    if own.keys() != weights.keys():
        odd = ", ".join(sorted(own.keys() ^ weights.keys()))
        raise UnusableFileError(path, f"holds other weights than the model has: {odd}")
    for name, weight in weights.items():
        found, wanted = ((tuple(each.shape), each.dtype) for each in (weight, own[name]))
        if found != wanted:
            raise UnusableFileError(path, f"{name} must be {wanted[1]} {wanted[0]}, is {found[1]} {found[0]}")
        if not weight.isfinite().all():
            raise UnusableFileError(path, f"{name} holds NaN or infinity")
    model.load_state_dict(weights)


def build_model(factory: Callable[[], Model], seed: int) -> Model:
    """Return a model with initial weights drawn from `seed` alone, in the fast channels-last format."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return factory().to(memory_format=torch.channels_last)
