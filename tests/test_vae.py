"""The network of the report: its layers, sizes and outputs, and the file that rebuilds it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from textbook import TextbookVAE, textbook_loss
from vaebench.data.tensors import load_tensors, save_tensors
from vaebench.models.layers import Convolutions, ConvTranspose2d, ToPixels
from vaebench.models.losses import loss_terms
from vaebench.models.posterior import Posterior
from vaebench.models.vae import VAE, build_vae, load_vae, save_vae
from vaebench.pipeline.files import UnusableFileError

ABOUT = {"model": "vae", "latent_dim": 2, "network": "conv", "objective": "elbo"}

CPU = torch.device("cpu")

AsTextbook = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 1, 28, 28, generator=Generator().manual_seed(0))


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(3, 5, generator=Generator().manual_seed(1))


def convolutions(layers: nn.Sequential) -> list[tuple[object, ...]]:
    return [
        (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
        for layer in layers
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]


def sizes(layers: nn.Sequential, tensor: Tensor) -> list[int]:
    """The side of the square that each convolution returns."""
    found = []
    with torch.no_grad():
        for layer in layers:
            tensor = layer(tensor)
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert tensor.shape[2] == tensor.shape[3]
                found.append(tensor.shape[3])
    return found


def file_bytes(vae: VAE, folder: Path) -> bytes:
    save_vae(folder / "vae.safetensors", vae)
    return (folder / "vae.safetensors").read_bytes()


def part(vae: VAE, name: str) -> Convolutions:
    found = vae.get_submodule(name)
    assert isinstance(found, Convolutions)
    return found


# The architecture.


def test_encoder_is_the_reports() -> None:
    encoder = part(build_vae(5, seed=0), "encoder.0")
    assert convolutions(encoder) == [
        (1, 32, (3, 3), (1, 1), (1, 1)),
        (32, 64, (3, 3), (2, 2), (1, 1)),
        (64, 64, (3, 3), (2, 2), (1, 1)),
        (64, 64, (3, 3), (1, 1), (1, 1)),
    ]
    assert [type(layer) for layer in encoder] == [nn.Conv2d, nn.LeakyReLU] * 4
    assert sizes(encoder, torch.zeros(1, 1, 28, 28)) == [28, 14, 7, 7]


def test_decoder_is_the_mirror() -> None:
    vae = build_vae(5, seed=0)
    decoder = part(vae, "decoder.2")
    encoded, decoded = convolutions(part(vae, "encoder.0")), convolutions(decoder)
    mirrored = [(out, into, kernel, stride, pad) for into, out, kernel, stride, pad in reversed(encoded)]
    assert decoded == mirrored
    assert [type(layer) for layer in decoder] == [ConvTranspose2d, nn.LeakyReLU] * 3 + [ToPixels]
    assert sizes(decoder, torch.zeros(1, 64, 7, 7)) == [7, 14, 28, 28]


@pytest.mark.parametrize("latent_dim", [1, 2, 5, 30, 512])
def test_number_of_parameters(latent_dim: int) -> None:
    filters = [1, 32, 64, 64, 64]
    pairs = list(pairwise(filters))
    kernels = 9 * sum(into * out for into, out in pairs)
    encoder = kernels + sum(out for _, out in pairs)
    decoder = kernels + sum(into for into, _ in pairs)  # a bias for each channel that comes out
    flat = 64 * 7 * 7
    heads = 2 * (flat * latent_dim + latent_dim)
    expected = encoder + heads + (latent_dim * flat + flat) + decoder
    assert expected == 188_417 + 9_410 * latent_dim
    assert sum(parameter.numel() for parameter in build_vae(latent_dim, seed=0).parameters()) == expected


def test_computes_what_the_layers_say(images: Tensor, latents: Tensor) -> None:
    vae = build_vae(5, seed=0)
    weights = vae.state_dict()

    def layer(tensor: Tensor, part: str, number: int, stride: int) -> Tensor:
        kernel, bias = weights[f"{part}.{number}.weight"], weights[f"{part}.{number}.bias"]
        if part == "encoder.0":
            return functional.conv2d(tensor, kernel, bias, stride, padding=1)
        extra = stride - 1  # to an even side
        return functional.conv_transpose2d(tensor, kernel, bias, stride, padding=1, output_padding=extra)

    features = images
    for number, stride in ((0, 1), (2, 2), (4, 2), (6, 1)):
        features = functional.leaky_relu(layer(features, "encoder.0", number, stride))
    flat = features.movedim(1, 3).reshape(3, -1)  # the channels of a pixel side by side
    decoded = functional.linear(latents, weights["decoder.0.weight"], weights["decoder.0.bias"])
    decoded = decoded.reshape(3, 7, 7, 64).movedim(3, 1)
    for number, stride in ((0, 1), (2, 2), (4, 2)):
        decoded = functional.leaky_relu(layer(decoded, "decoder.2", number, stride))
    decoded = layer(decoded, "decoder.2", 6, 1).sigmoid()

    with torch.no_grad():
        mean, log_var = vae.encode(images)
        torch.testing.assert_close(
            mean, flat @ weights["encoder.2.mean.weight"].T + weights["encoder.2.mean.bias"]
        )
        torch.testing.assert_close(
            log_var, flat @ weights["encoder.2.log_var.weight"].T + weights["encoder.2.log_var.bias"]
        )
        torch.testing.assert_close(vae.decode(latents), decoded)


@pytest.mark.parametrize("latent_dim", [1, 2, 512])
@pytest.mark.parametrize("count", [1, 3])
def test_shapes(latent_dim: int, count: int) -> None:
    vae = build_vae(latent_dim, seed=0)
    generator = Generator().manual_seed(0)
    with torch.no_grad():
        mean, log_var = vae.encode(torch.rand(count, 1, 28, 28, generator=generator))
        decoded = vae.decode(torch.randn(count, latent_dim, generator=generator))
    assert mean.shape == log_var.shape == (count, latent_dim)
    assert decoded.shape == (count, 1, 28, 28)
    assert mean.dtype == log_var.dtype == decoded.dtype == torch.float32


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e6])
def test_images_are_between_black_and_white(latents: Tensor, scale: float) -> None:
    with torch.no_grad():
        decoded = build_vae(5, seed=0).decode(latents * scale)
    assert torch.all((decoded >= 0) & (decoded <= 1))


def test_images_of_a_batch_do_not_meet(images: Tensor) -> None:
    vae = build_vae(5, seed=0)
    with torch.no_grad():
        together = vae.encode(images)
        alone = vae.encode(images[1:2])
    torch.testing.assert_close(together.mean[1:2], alone.mean)
    torch.testing.assert_close(together.log_var[1:2], alone.log_var)


def test_encode_does_not_change_the_images(images: Tensor) -> None:
    before = images.clone()
    build_vae(5, seed=0).encode(images)  # its activations work in place
    assert torch.equal(images, before)


# The textbook network, which has the same weights in the order of plain layers.


@pytest.fixture(scope="module", params=[2, 30])
def pair(request: pytest.FixtureRequest, as_textbook: AsTextbook) -> tuple[VAE, TextbookVAE]:
    """The same network twice, in double precision."""
    vae, textbook = build_vae(request.param, seed=3).double(), TextbookVAE(request.param).double()
    textbook.load_state_dict(as_textbook(vae.state_dict()))
    return vae, textbook


@pytest.fixture
def precise_images(images: Tensor) -> Tensor:
    return images.double()


@pytest.fixture
def noise(pair: tuple[VAE, TextbookVAE]) -> Tensor:
    generator = Generator().manual_seed(4)
    return torch.randn(3, pair[0].latent_dim, generator=generator, dtype=torch.float64)


def test_outputs_are_those_of_the_textbook_network(
    pair: tuple[VAE, TextbookVAE], precise_images: Tensor, noise: Tensor
) -> None:
    vae, textbook = pair
    with torch.no_grad():
        posterior = vae.encode(precise_images)
        found = (vae.decode(posterior.sample(noise)), *posterior)
        expected = textbook(precise_images, noise)
    for tensor, other in zip(found, expected, strict=True):
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(tensor, other, rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_the_textbook_network(
    pair: tuple[VAE, TextbookVAE], precise_images: Tensor, noise: Tensor, as_textbook: AsTextbook
) -> None:
    vae, textbook = pair
    loss = loss_terms(vae, precise_images, noise).sum(1).mean()
    names = [name for name, _ in vae.named_parameters()]
    gradients = torch.autograd.grad(loss, list(vae.parameters()))
    expected_loss = textbook_loss(precise_images, *textbook(precise_images, noise))
    expected_names = [name for name, _ in textbook.named_parameters()]
    expected = torch.autograd.grad(expected_loss, list(textbook.parameters()))

    torch.testing.assert_close(loss, expected_loss, rtol=1e-9, atol=0)
    found = as_textbook(dict(zip(names, gradients, strict=True)))
    assert list(found) == expected_names
    for name, other in zip(expected_names, expected, strict=True):
        scale = float(other.abs().max())
        assert scale > 0
        torch.testing.assert_close(found[name], other, rtol=1e-9, atol=1e-12 * scale)


# Mixed precision.


def test_in_mixed_precision_results_are_as_fine_as_the_images(images: Tensor, latents: Tensor) -> None:
    vae = build_vae(5, seed=0)
    with torch.no_grad():
        posterior, decoded = vae.encode(images), vae.decode(latents)
        with torch.autocast("cpu", torch.bfloat16):
            mixed, mixed_decoded = vae.encode(images), vae.decode(latents)
    for tensor, other in ((mixed.mean, posterior.mean), (mixed.log_var, posterior.log_var)):
        assert tensor.dtype == torch.float32
        assert not torch.equal(tensor, other)  # else the test itself is at fault
        torch.testing.assert_close(tensor, other, rtol=0.02, atol=0.01)
    assert mixed_decoded.dtype == torch.float32
    torch.testing.assert_close(mixed_decoded, decoded, rtol=0, atol=0.01)


def test_in_mixed_precision_white_is_not_coarse() -> None:
    # Between 0.99 and 1 bfloat16 has 0.99219 and 0.99609 alone; the logits there are finer than that.
    vae = build_vae(5, seed=0)
    with torch.no_grad():
        list(vae.parameters())[-1].fill_(5.0)  # the bias of the last layer
        latents = torch.randn(8, 5, generator=Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16):
            decoded = vae.decode(latents)
    white = decoded[(decoded > 0.99) & (decoded < 0.996)]
    assert len(white) > 1000
    assert len(white.unique()) > 3


# The posterior.


def test_sample_is_mean_plus_deviations() -> None:
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0, 0.25]]).log())
    noise = torch.tensor([[3.0, -1.0]])
    torch.testing.assert_close(posterior.sample(noise), torch.tensor([[1 + 2 * 3.0, -2 - 0.5]]))
    assert torch.equal(posterior.sample(torch.zeros(1, 2)), posterior.mean)


def test_samples_have_the_posteriors_distribution() -> None:
    noise = torch.randn(200_000, 1, generator=Generator().manual_seed(0), dtype=torch.float64)
    drawn = Posterior(torch.tensor([[1.5]]).double(), torch.tensor([[-1.2]]).double()).sample(noise)
    expected = Normal(1.5, torch.tensor(-1.2).exp().sqrt())
    for quantile in (0.025, 0.25, 0.5, 0.75, 0.975):
        share = float((drawn <= expected.icdf(torch.tensor(quantile))).double().mean())
        assert share == pytest.approx(quantile, abs=0.005)


def test_both_heads_learn_through_the_sample(images: Tensor) -> None:
    vae = build_vae(5, seed=0)
    noise = torch.randn(3, 5, generator=Generator().manual_seed(2))
    vae.decode(vae.encode(images).sample(noise)).sum().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


# Seeds and files.


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    first = file_bytes(build_vae(5, seed=7), tmp_path)
    assert file_bytes(build_vae(5, seed=7), tmp_path) == first
    assert file_bytes(build_vae(5, seed=8), tmp_path) != first


def test_initial_weights_are_pytorchs_own() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = VAE(5).state_dict()
    weights = build_vae(5, seed=7).state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("latent_dim", [1, 2, 512])
def test_file_rebuilds_the_model(
    tmp_path: Path, latent_dim: int, images: Tensor, global_rng_untouched: None
) -> None:
    vae = build_vae(latent_dim, seed=7)
    saved = file_bytes(vae, tmp_path)
    loaded = load_vae(tmp_path / "vae.safetensors", CPU)
    assert loaded.latent_dim == latent_dim
    assert load_tensors(tmp_path / "vae.safetensors")[1] == ABOUT | {"latent_dim": latent_dim}
    assert not loaded.training
    latents = torch.randn(3, latent_dim, generator=Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded.encode(images).mean, vae.encode(images).mean)
        assert torch.equal(loaded.encode(images).log_var, vae.encode(images).log_var)
        assert torch.equal(loaded.decode(latents), vae.decode(latents))
    assert file_bytes(loaded, tmp_path) == saved


def test_loaded_weights_are_fast_to_read(tmp_path: Path) -> None:
    save_vae(tmp_path / "vae.safetensors", build_vae(2, seed=7))
    loaded = load_vae(tmp_path / "vae.safetensors", CPU)
    kernels = [weight for weight in loaded.parameters() if weight.dim() == 4]
    assert len(kernels) == 8
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_model_of_another_dimension_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d5.safetensors"
    save_vae(path, build_vae(10, seed=7))
    assert load_vae(path, latent_dim=10).latent_dim == 10
    with pytest.raises(
        UnusableFileError,
        match=rf"^{path}: must hold a vae of latent_dim 5, .*, says that it holds .*: 10, .*}}$",
    ):
        load_vae(path, latent_dim=5)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"model": "classifier"},
        {"model": "vae"},
        ABOUT | {"latent_dim": "2"},
        ABOUT | {"latent_dim": 3},
        ABOUT | {"latent_dim": 10**12},
        ABOUT | {"network": "../conv"},
        ABOUT | {"objective": ["elbo"]},
        ABOUT | {"epochs": 3},
    ],
)
@pytest.mark.parametrize("latent_dim", [None, 2])
def test_file_that_says_something_else_is_refused(
    tmp_path: Path, about: dict[str, object], latent_dim: int | None
) -> None:
    path = tmp_path / "d2.safetensors"
    save_tensors(path, build_vae(2, seed=7).state_dict(), about)
    with pytest.raises(UnusableFileError, match=rf"^{path}: must hold "):
        load_vae(path, latent_dim=latent_dim)


@pytest.mark.parametrize("latent_dim", [None, 2])
def test_weights_of_another_model_are_refused(tmp_path: Path, latent_dim: int | None) -> None:
    path = tmp_path / "d2.safetensors"
    about = ABOUT
    weights = build_vae(2, seed=7).state_dict()
    for odd in (
        {},
        {"layers.0.weight": torch.zeros(3)},
        {**weights, "encoder.2.mean.weight": torch.zeros(3, 7 * 7 * 64)},
        {**weights, "decoder.0.bias": torch.full((7 * 7 * 64,), torch.nan)},
    ):
        save_tensors(path, odd, about)
        with pytest.raises(UnusableFileError, match=rf"^{path}: "):
            load_vae(path, latent_dim=latent_dim)
