"""Files of named tensors that say what they hold, and models in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

# One key: safetensors writes several metadata keys in random order, and equal content must give equal bytes.
_KEY = "vaebench"

Model = TypeVar("Model", bound=nn.Module)


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write `tensors` (on any device) and what they are as a safetensors file."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(content, path, metadata={_KEY: json.dumps(about, sort_keys=True)})


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) that `save_tensors` wrote, and what they are."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()[_KEY])  # noqa: SIM118


def build_model(factory: Callable[[], Model], seed: int) -> Model:
    """Return a model with initial weights drawn from `seed` alone, in the fast channels-last format."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return factory().to(memory_format=torch.channels_last)
