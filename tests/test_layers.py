"""The layers against PyTorch's own: values and gradients, alone and in mixed precision."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vaebench.device import product_dtype
from vaebench.models import layers
from vaebench.models.layers import BLOCK, Convolutions, ConvTranspose2d, ToPixels

CPU = torch.device("cpu")


def build(kind: type[nn.Conv2d] | type[ConvTranspose2d], stride: int, slope: float) -> Convolutions:
    """Two convolutions; a LeakyReLU between them and none at the end."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, last = (
            nn.Conv2d(into, out, 3, stride, padding=1)
            if kind is nn.Conv2d
            else ConvTranspose2d(into, out, stride=stride)
            for into, out in ((5, 16), (16, 3))
        )
        return Convolutions(first, nn.LeakyReLU(slope), last).to(memory_format=torch.channels_last)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def results(compute: Callable[[Tensor], Tensor], parameters: list[nn.Parameter]) -> list[Tensor]:
    """The output for drawn features, and the gradients of features and parameters along a drawn direction."""
    features = draw(6, 5, 7, 7, seed=1).requires_grad_()
    output = compute(features).float()
    gradients = torch.autograd.grad(output, [features, *parameters], draw(*output.shape, seed=2))
    return [output.detach(), *gradients]


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolution_is_pytorchs(stride: int) -> None:
    own = ConvTranspose2d(5, 3, stride=stride).double()
    plain = nn.ConvTranspose2d(5, 3, 3, stride, padding=1, output_padding=stride - 1).double()
    plain.load_state_dict(own.state_dict())
    generator = Generator().manual_seed(0)
    tensor = torch.randn(2, 5, 7, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    results = [layer(tensor) for layer in (own, plain)]
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    direction = torch.randn(results[0].shape, generator=generator, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad(result, [tensor, *layer.parameters()], direction)
        for result, layer in zip(results, (own, plain), strict=True)
    )
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("sides", "in_blocks"), [((8, 12), True), ((8, 6), False)])
def test_pixels_without_gradients_are_those_with(
    monkeypatch: pytest.MonkeyPatch, sides: tuple[int, int], in_blocks: bool
) -> None:
    shuffled = []

    def shuffle(blocks: Tensor, side: int) -> Tensor:
        shuffled.append(side)
        return torch.pixel_shuffle(blocks, side)

    monkeypatch.setattr(functional, "pixel_shuffle", shuffle)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = ToPixels(5).double()
    features = draw(3, 5, *sides, seed=1).double()
    expected = layer(features)
    assert not shuffled
    plain = functional.conv_transpose2d(features, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(expected, plain, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        found = layer(features)
    assert shuffled == [BLOCK] * in_blocks
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# A convolution and its LeakyReLU in one operation.


def fused(network: Convolutions, features: Tensor) -> Tensor:
    """As in mixed precision, but in the precision of the features."""
    first, activation, last = network
    output = layers._Activated.apply(features, first.weight, first.bias, first, activation.negative_slope)
    result: Tensor = last(output)
    return result


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN is not there")
@pytest.mark.parametrize("slope", [0.01, 0.3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", [nn.Conv2d, ConvTranspose2d])
def test_in_float32_the_fused_operation_is_the_two_layers(
    kind: type[nn.Conv2d] | type[ConvTranspose2d], stride: int, slope: float
) -> None:
    network = build(kind, stride, slope)
    parameters = list(network.parameters())
    found = results(lambda features: fused(network, features), parameters)
    expected = results(network, parameters)
    for tensor, other in zip(found, expected, strict=True):
        assert tensor.shape == other.shape
        torch.testing.assert_close(tensor, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("kind", [nn.Conv2d, ConvTranspose2d])
def test_gradient_of_the_features_is_computed_where_it_is_needed(
    kind: type[nn.Conv2d] | type[ConvTranspose2d], needed: bool
) -> None:
    first, activation, _ = build(kind, 2, 0.01)
    features = draw(2, 5, 7, 7, seed=1)
    with torch.no_grad():
        output = activation(first(features))
    ctx = SimpleNamespace(
        saved_tensors=(features, first.weight, output),
        layer=first,
        slope=activation.negative_slope,
        needs_input_grad=(needed,),
    )
    with torch.no_grad():
        of_features, *of_parameters = layers._Activated.backward(ctx, draw(*output.shape, seed=2))
    assert (of_features is not None) == needed
    for gradient, parameter in zip(of_parameters[:2], first.parameters(), strict=True):
        assert gradient is not None
        assert gradient.shape == parameter.shape


@pytest.fixture
def count_fused(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each call of the fused operation."""
    calls: list[object] = []
    apply = layers._Activated.apply

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return apply(*arguments)

    monkeypatch.setattr(layers._Activated, "apply", counted)
    return calls


@pytest.mark.skipif(
    product_dtype(CPU, "mixed") == torch.float32 or not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="this processor does not multiply bfloat16 natively",
)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", [nn.Conv2d, ConvTranspose2d])
def test_mixed_precision_fuses_and_errs_no_more_than_plain_layers(
    count_fused: list[object], kind: type[nn.Conv2d] | type[ConvTranspose2d], stride: int
) -> None:
    network = build(kind, stride, 0.01)
    parameters = list(network.parameters())

    def mixed(layers: nn.Sequential) -> list[Tensor]:
        def compute(features: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                output: Tensor = layers(features)
            assert output.dtype == torch.bfloat16
            return output

        return results(compute, parameters)

    precise, plain = results(network, parameters), mixed(nn.Sequential(*network))
    assert not count_fused
    found = mixed(network)
    assert len(count_fused) == 1  # the last convolution has no activation
    for tensor, other, expected in zip(found, plain, precise, strict=True):
        assert tensor.dtype == torch.float32
        assert 0 < (tensor - expected).norm() < 1.2 * (other - expected).norm() < 0.1 * expected.norm()


def test_without_native_products_layers_are_plain(
    count_fused: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    network = build(nn.Conv2d, 1, 0.01)
    features = draw(2, 5, 7, 7, seed=1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = network(features), nn.Sequential(*network)(features)
    assert not count_fused
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_precisions_are_left_to_autocast(count_fused: list[object], dtype: torch.dtype) -> None:
    network, features = build(nn.Conv2d, 1, 0.01), draw(2, 5, 7, 7, seed=1)
    target = torch.bfloat16 if dtype == torch.float64 else dtype
    if dtype == torch.float64:
        network, features = network.double(), features.double()
    with torch.no_grad(), torch.autocast("cpu", target):
        found, expected = network(features), nn.Sequential(*network)(features)
    assert not count_fused
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
