"""Every network: its shapes, its gradients, and the file that rebuilds it."""

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from vaebench.data.tensors import load_tensors, save_tensors
from vaebench.models.objective import load_objective
from vaebench.models.vae import VAE, build_vae, load_vae, save_vae
from vaebench.pipeline.extensions import names
from vaebench.pipeline.files import UnusableFileError

NETWORKS = names("networks")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def some_images(count: int) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=seeded(1))


def about(**changed: object) -> dict[str, object]:
    return {"model": "vae", "latent_dim": 2, "network": "mlp", "objective": "elbo", **changed}


def count_of(vae: VAE) -> int:
    return sum(parameter.numel() for parameter in vae.parameters())


def test_networks() -> None:
    assert NETWORKS == ("conv", "deep", "mlp")


@pytest.mark.parametrize("latent_dim", [1, 7])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("network", NETWORKS)
def test_shapes(network: str, count: int, latent_dim: int) -> None:
    vae = build_vae(latent_dim, seed=0, network=network)
    assert (vae.latent_dim, vae.network, vae.objective) == (latent_dim, network, "elbo")
    with torch.no_grad():
        mean, log_var = vae.encode(some_images(count))
        latents = torch.randn(count, latent_dim, generator=seeded(2))
        logits, pixels = vae.logits(latents), vae.decode(latents)
    assert mean.shape == log_var.shape == (count, latent_dim)
    assert logits.shape == pixels.shape == (count, 1, 28, 28)
    assert {each.dtype for each in (mean, log_var, logits, pixels)} == {torch.float32}
    assert not torch.equal(mean, log_var)
    torch.testing.assert_close(pixels, 1 / (1 + (-logits).exp()))


@pytest.mark.parametrize("network", NETWORKS)
def test_images_do_not_depend_on_each_other(network: str) -> None:
    vae = build_vae(3, seed=0, network=network)
    images, latents = some_images(5), torch.randn(5, 3, generator=seeded(2))
    with torch.no_grad():
        for found, alone in (
            (vae.encode(images).mean, [vae.encode(each).mean for each in images.split(1)]),
            (vae.encode(images).log_var, [vae.encode(each).log_var for each in images.split(1)]),
            (vae.decode(latents), [vae.decode(each) for each in latents.split(1)]),
        ):
            torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-6)
            assert len(found.unique(dim=0)) == 5  # each image its own


@pytest.mark.parametrize("network", NETWORKS)
def test_pixels_are_between_black_and_white(network: str) -> None:
    vae = build_vae(7, seed=0, network=network)
    latents = 10.0 ** torch.arange(6)[:, None] * torch.randn(6, 7, generator=seeded(2))
    with torch.no_grad():
        pixels = vae.decode(latents)
        logits = vae.logits(latents)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert logits.min() < 0 < logits.max()  # which are no pixels themselves


@pytest.mark.parametrize("network", NETWORKS)
def test_gradient_reaches_every_parameter(network: str) -> None:
    vae = build_vae(7, seed=0, network=network)
    objective = load_objective("elbo")
    loss = objective(vae, some_images(5), objective.noise(5, 7, seeded(2))).loss.mean()
    loss.backward()
    still = [
        name for name, each in vae.named_parameters() if each.grad is None or not each.grad.abs().max() > 0
    ]
    assert still == []


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_come_from_the_seed(network: str, global_rng_untouched: None) -> None:
    one, same, other = (build_vae(2, seed, network).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(not torch.equal(one[name], other[name]) for name in one)


def test_networks_differ() -> None:
    assert len({count_of(build_vae(2, 0, network)) for network in NETWORKS}) == len(NETWORKS)


@pytest.mark.parametrize("latent_dim", [1, 7, 512])
def test_number_of_parameters_of_mlp(latent_dim: int) -> None:
    encoder = 784 * 500 + 500 + 2 * (500 * latent_dim + latent_dim)
    decoder = latent_dim * 500 + 500 + 500 * 784 + 784
    assert encoder + decoder == 785_784 + 1_502 * latent_dim
    assert count_of(build_vae(latent_dim, 0, "mlp")) == encoder + decoder


def test_mlp_computes_what_its_layers_say() -> None:
    vae = build_vae(2, 0, "mlp")
    weights = [each.detach() for each in vae.parameters()]
    hidden = (some_images(3).flatten(1) @ weights[0].T + weights[1]).tanh()
    latents = torch.randn(3, 2, generator=seeded(2))
    pixels = (latents @ weights[6].T + weights[7]).tanh() @ weights[8].T + weights[9]
    with torch.no_grad():
        mean, log_var = vae.encode(some_images(3))
        torch.testing.assert_close(mean, hidden @ weights[2].T + weights[3])
        torch.testing.assert_close(log_var, hidden @ weights[4].T + weights[5])
        torch.testing.assert_close(vae.decode(latents), pixels.sigmoid().view(3, 1, 28, 28))


def convolutions(part: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [each for each in part.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_deep_has_twice_the_convolutions_and_the_strides_of_conv(part: str) -> None:
    conv, deep = (convolutions(build_vae(2, 0, name).get_submodule(part)) for name in ("conv", "deep"))
    assert (len(conv), len(deep)) == (4, 8)
    for layers in (conv, deep):
        assert [layer.stride for layer in layers].count((2, 2)) == 2
        assert {layer.kernel_size for layer in layers} == {(3, 3)}
    ends = [(layers[0].in_channels, layers[-1].out_channels) for layers in (conv, deep)]
    assert ends[0] == ends[1]
    # Those that change the number of channels, or the side, are the same.
    assert [shape(each) for each in deep if changes(each)] == [shape(each) for each in conv if changes(each)]


def shape(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int, tuple[int, ...]]:
    return layer.in_channels, layer.out_channels, layer.stride


def changes(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return layer.in_channels != layer.out_channels or layer.stride != (1, 1)


def test_mlp_has_no_convolution() -> None:
    assert convolutions(build_vae(2, 0, "mlp")) == []


# The file.


@pytest.mark.parametrize("objective", names("objectives"))
@pytest.mark.parametrize("network", NETWORKS)
def test_file_says_what_it_holds(tmp_path: Path, network: str, objective: str) -> None:
    path = tmp_path / "weights.safetensors"
    vae = build_vae(2, 3, network, objective)
    save_vae(path, vae)
    assert load_tensors(path)[1] == about(network=network, objective=objective)
    loaded = load_vae(path, latent_dim=2)
    assert (loaded.latent_dim, loaded.network, loaded.objective) == (2, network, objective)
    assert loaded.likelihood == vae.likelihood


@pytest.mark.parametrize("network", NETWORKS)
def test_loaded_model_gives_the_same(tmp_path: Path, network: str) -> None:
    path = tmp_path / "weights.safetensors"
    vae = build_vae(7, 3, network)
    save_vae(path, vae)
    loaded = load_vae(path)
    images, latents = some_images(5), torch.randn(5, 7, generator=seeded(2))
    with torch.no_grad():
        assert torch.equal(loaded.decode(latents), vae.decode(latents))
        for found, expected in zip(loaded.encode(images), vae.encode(images), strict=True):
            assert torch.equal(found, expected)
    assert not loaded.training
    assert not any(each.requires_grad for each in loaded.parameters())


@pytest.mark.parametrize("claimed", NETWORKS)
@pytest.mark.parametrize("network", NETWORKS)
def test_file_under_the_name_of_another_network_is_refused(
    tmp_path: Path, network: str, claimed: str
) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, build_vae(2, 3, network).state_dict(), about(network=claimed))
    if claimed == network:
        assert load_vae(path).network == network
        return
    with pytest.raises(UnusableFileError, match=r"must be|other weights") as caught:
        load_vae(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network", "transformer"),
        ("network", "__init__"),
        ("network", "../models/vae"),
        ("network", ""),
        ("network", None),
        ("network", ["mlp"]),
        ("network", {"mlp": 1}),
        ("objective", "hope"),
        ("objective", "__init__"),
        ("objective", "Elbo"),
        ("objective", 3),
        ("objective", ["elbo"]),
        ("latent_dim", 3),
        ("latent_dim", "2"),
        ("model", "classifier"),
        ("colour", "red"),
    ],
)
def test_file_that_says_something_unknown_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, build_vae(2, 3, "mlp").state_dict(), about(**{key: value}))
    with pytest.raises(UnusableFileError, match="must hold a vae of latent_dim 2, network conv or") as caught:
        load_vae(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "network conv or deep or mlp" in message
    assert f"objective {' or '.join(names('objectives'))}" in message
    assert repr(value) in message


@pytest.mark.parametrize("key", ["network", "objective", "latent_dim", "model"])
def test_file_that_does_not_say_all_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "weights.safetensors"
    said = about()
    del said[key]
    save_tensors(path, build_vae(2, 3, "mlp").state_dict(), said)
    with pytest.raises(UnusableFileError, match="must hold a vae"):
        load_vae(path)


@pytest.mark.parametrize("network", NETWORKS)
def test_file_of_another_dimension_is_refused(tmp_path: Path, network: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_vae(path, build_vae(2, 3, network))
    with pytest.raises(UnusableFileError, match="must hold a vae of latent_dim 3"):
        load_vae(path, latent_dim=3)


def test_unknown_network_or_objective_is_no_model() -> None:
    with pytest.raises(ModuleNotFoundError, match="transformer"):
        build_vae(2, 0, "transformer")
    with pytest.raises(ModuleNotFoundError, match="hope"):
        load_objective("hope")
