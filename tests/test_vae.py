"""The network of the report: its layers, sizes and outputs, and the file that rebuilds it."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from vaebench.tensors import load_tensors
from vaebench.vae import VAE, Posterior, build_vae, load_vae, save_vae

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


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


# The architecture.


def test_encoder_is_the_reports() -> None:
    encoder = build_vae(5, seed=0).encoder
    assert convolutions(encoder) == [
        (1, 32, (3, 3), (1, 1), (1, 1)),
        (32, 64, (3, 3), (2, 2), (1, 1)),
        (64, 64, (3, 3), (2, 2), (1, 1)),
        (64, 64, (3, 3), (1, 1), (1, 1)),
    ]
    assert [type(layer) for layer in encoder] == [nn.Conv2d, nn.LeakyReLU] * 4 + [nn.Flatten]
    assert sizes(encoder, torch.zeros(1, 1, 28, 28)) == [28, 14, 7, 7]


def test_decoder_is_the_mirror() -> None:
    vae = build_vae(5, seed=0)
    encoded, decoded = convolutions(vae.encoder), convolutions(vae.decoder)
    mirrored = [(out, into, kernel, stride, pad) for into, out, kernel, stride, pad in reversed(encoded)]
    assert decoded == mirrored
    assert all(isinstance(layer, nn.ConvTranspose2d) for layer in vae.decoder[2::2][:-1])
    assert isinstance(vae.decoder[-1], nn.Sigmoid)
    assert sizes(vae.decoder, torch.zeros(1, 5)) == [7, 14, 28, 28]


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
        if part == "encoder":
            return functional.conv2d(tensor, kernel, bias, stride, padding=1)
        extra = stride - 1  # to an even side
        return functional.conv_transpose2d(tensor, kernel, bias, stride, padding=1, output_padding=extra)

    features = images
    for number, stride in ((0, 1), (2, 2), (4, 2), (6, 1)):
        features = functional.leaky_relu(layer(features, "encoder", number, stride))
    flat = features.reshape(3, -1)
    decoded = functional.linear(latents, weights["decoder.0.weight"], weights["decoder.0.bias"])
    decoded = decoded.reshape(3, 64, 7, 7)
    for number, stride in ((2, 1), (4, 2), (6, 2)):
        decoded = functional.leaky_relu(layer(decoded, "decoder", number, stride))
    decoded = layer(decoded, "decoder", 8, 1).sigmoid()

    with torch.no_grad():
        mean, log_var = vae.encode(images)
        torch.testing.assert_close(mean, flat @ weights["mean.weight"].T + weights["mean.bias"])
        torch.testing.assert_close(log_var, flat @ weights["log_var.weight"].T + weights["log_var.bias"])
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
    assert load_tensors(tmp_path / "vae.safetensors")[1] == {"model": "vae", "latent_dim": latent_dim}
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
