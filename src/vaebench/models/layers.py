"""Convolutions whose bias and activation cost less on a CPU."""

from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vaebench.device import product_dtype

BLOCK = 4  # pixels on a side; sixteen are what a vector register holds


class ConvTranspose2d(nn.ConvTranspose2d):
    """The layer of that name, its bias added apart: oneDNN's own gradient of it costs more than the rest."""

    bias: Tensor

    def __init__(self, into: int, out: int, *, stride: int) -> None:
        """Take and give so many channels; 3×3, and `stride` times the side."""
        super().__init__(into, out, 3, stride, padding=1, output_padding=stride - 1)

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Return the transposed convolution of `features` (B, channels, height, width)."""
        extra = self.stride[0] - 1
        output = functional.conv_transpose2d(features, self.weight, None, self.stride, 1, extra)
        return output.add_(self.bias.to(output.dtype)[:, None, None])


class ToPixels(ConvTranspose2d):
    """The last layer of a decoder, from so many channels to one.

    A CPU computes a pixel's one channel at the price of sixteen. So, without gradients and outside mixed
    precision, it computes blocks of sixteen pixels as channels: less than half the time for 64 images.
    """

    def __init__(self, into: int) -> None:
        """Take so many channels."""
        super().__init__(into, 1, stride=1)

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Return the transposed convolution of `features` (B, channels, height, width): one channel."""
        whole = all(side % BLOCK == 0 for side in features.shape[2:])
        on_cpu = features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if torch.is_grad_enabled() or not (on_cpu and whole):
            return super().forward(features)
        kernel = self.weight[:, 0].flip(1, 2)  # of the convolution that it is
        places = [(x, BLOCK - 1 - x, y, BLOCK - 1 - y) for y in range(BLOCK) for x in range(BLOCK)]
        kernels = torch.stack([functional.pad(kernel, place) for place in places])
        kernels = kernels.contiguous(memory_format=torch.channels_last)
        blocks = functional.conv2d(features, kernels, stride=BLOCK, padding=1)
        return functional.pixel_shuffle(blocks, BLOCK).add_(self.bias[:, None, None])


class Flatten(nn.Module):
    """The features of each image in a row, as they lie in memory: no copy."""

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` (B, channels, height, width) as (B, height · width · channels)."""
        return features.permute(0, 2, 3, 1).flatten(1)


class Unflatten(nn.Module):
    """The way back from there."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self._shape = (height, width, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` (B, height · width · channels) as (B, channels, height, width)."""
        planes: Tensor = features.unflatten(1, self._shape).permute(0, 3, 1, 2)
        return planes


class Convolutions(nn.Sequential):
    """Convolutions, transposed or not, each but perhaps the last with a LeakyReLU after it.

    Where a CPU multiplies bfloat16 natively, in mixed precision, each such pair is one operation.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return what the layers make of `features` (B, channels, height, width)."""
        if not _fuses(features):
            for layer in self:
                features = layer(features)
            return features
        layers = list(self)
        for layer, activation in zip_longest(layers[::2], layers[1::2]):
            if activation is None:
                features = layer(features)
            else:
                tensors = (tensor.bfloat16() for tensor in (features, layer.weight, layer.bias))
                features = _Activated.apply(*tensors, layer, activation.negative_slope)
        return features


def _fuses(features: Tensor) -> bool:
    return (
        features.device.type == "cpu"
        and features.dtype != torch.float64  # which mixed precision leaves alone
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and product_dtype(features.device, "mixed") == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # oneDNN may be told to do without
    )


class _Activated(torch.autograd.Function):
    """A convolution and the LeakyReLU after it: its result goes to memory once, not with each of its parts.

    PyTorch has the operation for its compiler, without a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        layer: nn.Conv2d | nn.ConvTranspose2d,
        slope: float,
    ) -> Tensor:
        ctx.layer, ctx.slope = layer, slope
        inside, activation = (layer.stride, layer.dilation, layer.groups), ("leaky_relu", [slope], "")
        if layer.transposed:
            sizes = (layer.padding, layer.output_padding, *inside)
            output = torch.ops.mkldnn._convolution_transpose_pointwise(
                features, weight, bias, *sizes, *activation
            )
        else:
            output = torch.ops.mkldnn._convolution_pointwise(
                features, weight, bias, layer.padding, *inside, *activation
            )
        ctx.save_for_backward(features, weight, output)
        return output  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, output = ctx.saved_tensors
        layer = ctx.layer
        gradient = torch.ops.aten.leaky_relu_backward(gradient, output, ctx.slope, True)
        of_features, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient,
            features,
            weight,
            layer.bias.shape,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.transposed,
            layer.output_padding,
            layer.groups,
            (ctx.needs_input_grad[0], True, not layer.transposed),
        )
        if layer.transposed:  # as in ConvTranspose2d
            of_bias = gradient.sum((0, 2, 3))
        return of_features, of_weight, of_bias, None, None
