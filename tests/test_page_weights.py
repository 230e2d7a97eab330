"""The weights that the page carries: what its JavaScript computes from them, computed here by PyTorch."""

import base64

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from pages import sharpened
from vaebench.models.classifier import build_classifier
from vaebench.models.vae import build_vae
from vaebench.page.weights import LEVELS, PackedModel, encode_base64, pack

PIXEL = 1e-3  # what the page may be off


def unpack(packed: PackedModel) -> dict[str, Tensor]:
    values = np.frombuffer(base64.b64decode(packed.values), dtype="<i2")
    found, start = {}, 0
    for tensor in packed.tensors:
        end = start + int(np.prod(tensor.shape))
        numbers = torch.from_numpy(values[start:end].astype(np.float32)) * tensor.scale
        found[tensor.name] = numbers.view(tensor.shape)
        start = end
    assert start == len(values)
    return found


def convolve(features: Tensor, kernel: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """A convolution as TensorFlow.js has it: NHWC, kernel (height, width, from, to)."""
    rows = features.permute(0, 3, 1, 2)
    return functional.conv2d(rows, kernel.permute(3, 2, 0, 1), bias, stride, padding=1).permute(0, 2, 3, 1)


def spread(features: Tensor) -> Tensor:
    count, height, width, channels = features.shape
    doubled = torch.zeros(count, 2 * height, 2 * width, channels)
    doubled[:, ::2, ::2] = features
    return doubled


def decode(weights: dict[str, Tensor], latents: Tensor) -> Tensor:
    features = (latents @ weights["decoder.0.weight"] + weights["decoder.0.bias"]).view(-1, 7, 7, 64)
    for layer, stride in enumerate((1, 2, 2, 1)):
        name = f"decoder.2.{2 * layer}"
        inputs = spread(features) if stride == 2 else features
        features = convolve(inputs, weights[f"{name}.weight"], weights[f"{name}.bias"])
        features = functional.leaky_relu(features) if layer < 3 else features.sigmoid()
    return features.permute(0, 3, 1, 2)


def encode(weights: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    features = images.permute(0, 2, 3, 1)
    for layer, stride in enumerate((1, 2, 2, 1)):
        name = f"encoder.0.{2 * layer}"
        features = convolve(features, weights[f"{name}.weight"], weights[f"{name}.bias"], stride)
        features = functional.leaky_relu(features)
    flat = features.flatten(1)
    return [
        flat @ weights[f"encoder.2.{head}.weight"] + weights[f"encoder.2.{head}.bias"]
        for head in ("mean", "log_var")
    ]


def read(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    features = images.permute(0, 2, 3, 1)
    for layer, pooled in ((0, True), (3, False), (5, True), (8, True)):
        features = convolve(
            features, weights[f"layers.{layer}.weight"], weights[f"layers.{layer}.bias"]
        ).relu()
        if pooled:
            features = functional.max_pool2d(features.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    flat = features.permute(0, 3, 1, 2).flatten(1)
    hidden = (flat @ weights["layers.12.weight"] + weights["layers.12.bias"]).relu()
    return (hidden @ weights["layers.14.weight"] + weights["layers.14.bias"]).softmax(1)


@pytest.mark.parametrize("latent_dim", [1, 2, 30])
@torch.no_grad()
def test_pictures_and_posteriors_are_the_models(latent_dim: int) -> None:
    vae = sharpened(build_vae(latent_dim, seed=0))
    weights = unpack(pack(vae))
    latents = 2 * torch.randn(20, latent_dim, generator=Generator().manual_seed(0))
    images = vae.decode(latents)
    assert images.std() > 0.05
    torch.testing.assert_close(decode(weights, latents), images, rtol=0, atol=PIXEL)
    for found, expected in zip(encode(weights, images), vae.encode(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_readings_are_the_classifiers() -> None:
    classifier = sharpened(build_classifier(0), 2.5)
    images = torch.rand(20, 1, 28, 28, generator=Generator().manual_seed(0))
    expected = classifier(images).softmax(1)
    assert expected.max() > 0.5
    torch.testing.assert_close(read(unpack(pack(classifier)), images), expected, rtol=0, atol=PIXEL)


def test_every_weight_is_within_half_a_step() -> None:
    vae = build_vae(3, seed=1)
    packed = pack(vae)
    weights = unpack(packed)
    assert [tensor.name for tensor in packed.tensors] == list(vae.state_dict())
    for tensor in packed.tensors:
        own = vae.state_dict()[tensor.name]
        assert weights[tensor.name].numel() == own.numel()
        assert tensor.scale == pytest.approx(float(own.abs().max()) / LEVELS)
        sorted_own, sorted_packed = own.flatten().sort().values, weights[tensor.name].flatten().sort().values
        torch.testing.assert_close(sorted_packed, sorted_own, rtol=0, atol=0.51 * tensor.scale)


def test_weights_of_zero_stay_zero() -> None:
    vae = build_vae(2, seed=0)
    with torch.no_grad():
        vae.get_parameter("encoder.2.mean.weight").zero_()
    assert not unpack(pack(vae))["encoder.2.mean.weight"].any()


def test_text_is_little_endian() -> None:
    assert base64.b64decode(encode_base64(torch.tensor([1, -2], dtype=torch.int16))) == b"\x01\x00\xfe\xff"
