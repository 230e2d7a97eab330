"""A network's weights as the page carries them: 16 bits each, in the order and layout of its JavaScript."""

import base64
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LEVELS = 2**15 - 1  # of an int16, on either side of 0


@dataclass(frozen=True)
class PackedTensor:
    """One tensor among the values of a network: its element i is scale · value[i]."""

    name: str
    shape: list[int]  # kernels: height, width, from, to; matrices: from, to
    scale: float


@dataclass(frozen=True)
class PackedModel:
    """All weights of one network."""

    tensors: list[PackedTensor]  # in the order of their values
    values: str  # base64 of little-endian int16


def pack(network: nn.Module) -> PackedModel:
    """Round each weight of a VAE or a classifier to 1/32767 of the largest in its tensor.

    That moves a pixel, or a probability, by less than 10⁻³.
    """
    tensors, values = [], []
    for name, weight in network.state_dict().items():
        turned = _as_tensorflow(name, weight.detach().cpu().float())
        scale = max(float(turned.abs().max()) / LEVELS, torch.finfo(torch.float32).tiny)
        tensors.append(PackedTensor(name, list(turned.shape), scale))
        values.append((turned / scale).round().to(torch.int16).flatten())
    return PackedModel(tensors, encode_base64(torch.cat(values)))


def encode_base64(values: Tensor) -> str:
    """Return the bytes of `values`, little-endian, as text."""
    array = values.contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def _as_tensorflow(name: str, weight: Tensor) -> Tensor:
    """Turn a kernel or a matrix as TensorFlow.js has it.

    A transposed convolution becomes the convolution with the turned kernel of its input, zeros between.
    """
    if name.startswith("decoder.") and weight.ndim == 4:  # (from, to, height, width)
        return weight.permute(2, 3, 0, 1).flip(0, 1)
    if weight.ndim == 4:  # (to, from, height, width)
        return weight.permute(2, 3, 1, 0)
    return weight.T if weight.ndim == 2 else weight
