"""What training minimises: closed forms, torch.distributions, and parameters that act."""

import math
from importlib import import_module

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from vaebench.data.dataset import Dataset
from vaebench.device import Workers
from vaebench.models.losses import Terms
from vaebench.models.objective import Objective, load_objective
from vaebench.models.posterior import Heads
from vaebench.models.vae import VAE, build_vae
from vaebench.objectives.calibrated import LEAST
from vaebench.pipeline.extensions import names, parameters
from vaebench.training.train_vae import Epoch, train_vae

OBJECTIVES = names("objectives")
OF_BATCH = ("calibrated",)  # in which images share something
LATENT_DIM = 3
COUNT = 6
PIXELS = 784


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def load(name: str, **changed: float) -> Objective:
    """Load an objective with some value of each of its parameters, but for those that are given."""
    some = {key: 3 if kind is int else 0.5 for key, kind in parameters(name).items()}
    assert changed.keys() <= some.keys()
    return load_objective(name, {**some, **changed})


def build(name: str) -> VAE:
    """A model in double precision whose posteriors are far from the prior, and from each other."""
    vae = build_vae(LATENT_DIM, seed=1, network="mlp", objective=name).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(2)
    return vae


def draw(objective: Objective, count: int = COUNT, seed: int = 5) -> Tensor:
    return objective.noise(count, LATENT_DIM, seeded(seed)).double()


def gradient(vae: VAE, loss: Tensor) -> list[Tensor]:
    """The gradient of every parameter, zero where the loss does not depend on it."""
    return list(torch.autograd.grad(loss, list(vae.parameters()), materialize_grads=True))


def posterior_of(vae: VAE, images: Tensor) -> Normal:
    mean, log_var = vae.encode(images)
    return Normal(mean, log_var.exp().sqrt())


def kl_of(vae: VAE, images: Tensor) -> Tensor:
    posterior = posterior_of(vae, images)
    prior = Normal(torch.zeros_like(posterior.mean), torch.ones_like(posterior.mean))
    return torch_kl_divergence(posterior, prior).sum(1)


def decoded(vae: VAE, images: Tensor, noise: Tensor) -> Tensor:
    posterior = posterior_of(vae, images)
    return vae.decode(posterior.mean + posterior.stddev * noise)


def error_of(images: Tensor, others: Tensor) -> Tensor:
    return ((images - others) ** 2).sum((1, 2, 3))


def negative_log_normal(images: Tensor, means: Tensor, variance: Tensor | float) -> Tensor:
    deviation = torch.as_tensor(variance, dtype=torch.float64).sqrt()
    densities: Tensor = Normal(means, deviation).log_prob(images)
    return -densities.sum((1, 2, 3))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.fixture
def images(digits: Dataset) -> Tensor:
    return digits.train.images[:COUNT].double()


# What holds of each.


@pytest.mark.parametrize("name", OBJECTIVES)
def test_terms_are_of_each_image(name: str, images: Tensor) -> None:
    vae, objective = build(name), load(name)
    terms = objective(vae, images, draw(objective))
    assert isinstance(terms, Terms)
    assert terms.loss.shape == (COUNT,)
    assert terms.measured.shape == (COUNT, 1 if vae.likelihood == "none" else 2)
    assert torch.isfinite(terms.loss).all()
    assert len(set(terms.loss.tolist())) == COUNT


@pytest.mark.parametrize("name", OBJECTIVES)
def test_likelihood_is_one_of_three(name: str) -> None:
    likelihood = import_module(f"vaebench.objectives.{name}").LIKELIHOOD
    assert likelihood in ("gaussian", "bernoulli", "none")
    assert build(name).likelihood == likelihood


def test_likelihoods() -> None:
    assert {name: build(name).likelihood for name in OBJECTIVES} == {
        "autoencoder": "none",
        "bernoulli": "bernoulli",
        "beta_vae": "gaussian",
        "calibrated": "gaussian",
        "elbo": "gaussian",
        "iwae": "gaussian",
    }


@pytest.mark.parametrize("name", OBJECTIVES)
def test_measured_are_squared_error_and_kl(name: str, images: Tensor) -> None:
    vae, objective = build(name), load(name)
    noise = draw(objective)
    measured = objective(vae, images, noise).measured
    if vae.likelihood == "none":
        close(measured[:, 0], error_of(images, decoded(vae, images, torch.zeros_like(noise))))
        return
    draws = noise.unbind(1) if noise.ndim == 3 else [noise]
    errors = torch.stack([error_of(images, decoded(vae, images, each)) for each in draws])
    close(measured, torch.stack([errors.mean(0), kl_of(vae, images)], dim=1))


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in OBJECTIVES for key in parameters(name)])
def test_parameter_is_applied(name: str, key: str, images: Tensor) -> None:
    vae, losses = build(name), []
    for value in (1, 4):
        objective = load(name, **{key: value})
        losses.append(objective(vae, images, draw(objective)).loss)
    assert torch.all((losses[0] - losses[1]).abs() > 1e-3)


def test_some_objectives_have_parameters() -> None:
    assert {name: [*parameters(name)] for name in OBJECTIVES if parameters(name)} == {
        "beta_vae": ["beta"],
        "iwae": ["draws"],
    }


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if parameters(name)])
def test_parameter_that_is_not_given_is_an_error(name: str, images: Tensor) -> None:
    objective = load_objective(name)
    with pytest.raises(TypeError, match=next(iter(parameters(name)))):
        objective(build(name), images, torch.zeros(COUNT, LATENT_DIM).double())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_noise_has_the_shape_that_is_needed(name: str, global_rng_untouched: None) -> None:
    objective = load(name)
    shape = (COUNT, 3, LATENT_DIM) if "draws" in parameters(name) else (COUNT, LATENT_DIM)
    noise = objective.noise(COUNT, LATENT_DIM, seeded(5))
    assert torch.equal(noise, torch.randn(shape, generator=seeded(5)))


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in OF_BATCH])
def test_images_do_not_depend_on_each_other(name: str, images: Tensor) -> None:
    vae, objective = build(name), load(name)
    noise = draw(objective)
    alone = [objective(vae, images[[i]], noise[[i]]) for i in range(COUNT)]
    terms = objective(vae, images, noise)
    close(terms.loss, torch.cat([each.loss for each in alone]))
    close(terms.measured, torch.cat([each.measured for each in alone]))


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "autoencoder"])
def test_gradient_reaches_every_parameter(name: str, images: Tensor) -> None:
    vae, objective = build(name), load(name)
    found = gradient(vae, objective(vae, images, draw(objective)).loss.mean())
    assert all(each.abs().max() > 0 for each in found)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "autoencoder"])
def test_noise_acts(name: str, images: Tensor) -> None:
    vae, objective = build(name), load(name)
    one, other = (objective(vae, images, draw(objective, seed=seed)) for seed in (5, 6))
    assert torch.all(one.loss != other.loss)
    assert torch.equal(one.measured[:, 1], other.measured[:, 1])  # KL is a closed form


def train(name: str, digits: Dataset, vae: VAE) -> list[Epoch]:
    epochs = train_vae(
        vae,
        digits.train.images[:16],
        digits.test.images[:5],
        objective=load(name),
        epochs=6,
        batch_size=8,
        optimizer="muon",
        learning_rate=3e-3,
        seed=2,
        workers=Workers(torch.device("cpu"), threads=1),
    )
    return list(epochs)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_lowers_its_loss(name: str, digits: Dataset) -> None:
    vae, objective = build_vae(LATENT_DIM, seed=1, network="mlp", objective=name), load(name)
    noise = objective.noise(16, LATENT_DIM, seeded(9))

    def loss() -> float:
        with torch.no_grad():
            return float(objective(vae, digits.train.images[:16], noise).loss.mean())

    before = loss()
    epochs = train(name, digits, vae)
    assert loss() < before - 50  # of about 160 in squared error
    assert epochs[-1].loss < epochs[0].loss
    measured = ["reconstruction_loss", "kl_loss", "combined_loss"][: 1 if vae.likelihood == "none" else 3]
    assert [*epochs[-1].losses()] == ["loss", *measured, *(f"test_{key}" for key in measured)]


# The report's.


def test_elbo_is_squared_error_and_kl(images: Tensor) -> None:
    vae, objective = build("elbo"), load("elbo")
    noise = draw(objective)
    expected = error_of(images, decoded(vae, images, noise)) + kl_of(vae, images)
    close(objective(vae, images, noise).loss, expected)


def test_elbo_is_that_of_a_gaussian_decoder_of_half_a_variance(images: Tensor) -> None:
    vae, objective = build("elbo"), load("elbo")
    noise = draw(objective)
    expected = negative_log_normal(images, decoded(vae, images, noise), 0.5) + kl_of(vae, images)
    close(objective(vae, images, noise).loss + 392 * math.log(math.pi), expected)


# β.


def test_beta_of_one_is_the_reports(images: Tensor) -> None:
    vae, noise = build("beta_vae"), draw(load("elbo"))
    for found, expected in zip(
        load("beta_vae", beta=1)(vae, images, noise), load("elbo")(vae, images, noise), strict=True
    ):
        assert torch.equal(found, expected)


def test_loss_is_linear_in_beta(images: Tensor) -> None:
    vae, noise = build("beta_vae"), draw(load("beta_vae"))
    error, kl = error_of(images, decoded(vae, images, noise)), kl_of(vae, images)
    assert kl.min() > 0.01
    for beta in (2.5e-7, 0.5, 1, 4):
        terms = load("beta_vae", beta=beta)(vae, images, noise)
        close(terms.loss, error + beta * kl)
        close(terms.measured, torch.stack([error, kl], dim=1))  # KL itself, without its weight


def test_beta_weighs_the_gradient_of_kl(images: Tensor) -> None:
    vae, noise = build("beta_vae"), draw(load("beta_vae"))
    one, three = (
        gradient(vae, load("beta_vae", beta=beta)(vae, images, noise).loss.mean()) for beta in (1, 3)
    )
    of_kl = gradient(vae, kl_of(vae, images).mean())
    assert any(each.abs().max() > 1e-3 for each in of_kl)
    for less, more, expected in zip(one, three, of_kl, strict=True):
        close(more - less, 2 * expected)


# The plain autoencoder.


def test_autoencoder_takes_the_mean(images: Tensor) -> None:
    vae, objective = build("autoencoder"), load("autoencoder")
    loss, measured = objective(vae, images, draw(objective))
    close(loss, error_of(images, vae.decode(vae.encode(images).mean)))
    assert measured.shape == (COUNT, 1)
    assert torch.equal(measured[:, 0], loss)


def test_noise_does_not_act_on_an_autoencoder(images: Tensor) -> None:
    vae, objective = build("autoencoder"), load("autoencoder")
    one, other = (objective(vae, images, draw(objective, seed=seed)).loss for seed in (5, 6))
    assert torch.equal(one, other)


def log_var_head(vae: VAE) -> nn.Linear:
    [heads] = [module for module in vae.modules() if isinstance(module, Heads)]
    return heads.log_var


def test_autoencoder_has_no_gradient_for_a_variance(images: Tensor) -> None:
    vae, objective = build("autoencoder"), load("autoencoder")
    objective(vae, images, draw(objective)).loss.mean().backward()
    unused = {id(parameter) for parameter in log_var_head(vae).parameters()}
    for parameter in vae.parameters():
        assert (parameter.grad is None) == (id(parameter) in unused)


def test_training_of_an_autoencoder_leaves_its_variance_alone(digits: Dataset) -> None:
    vae = build_vae(LATENT_DIM, seed=1, network="mlp", objective="autoencoder")
    before = {name: parameter.clone() for name, parameter in vae.named_parameters()}
    train("autoencoder", digits, vae)
    same = {name for name, parameter in vae.named_parameters() if torch.equal(parameter, before[name])}
    assert same == {name for name in before if ".log_var." in name}


# Bernoulli.


def test_bernoulli_is_that_of_torch_distributions(images: Tensor) -> None:
    vae, objective = build("bernoulli"), load("bernoulli")
    binary, noise = (images > 0.5).double(), draw(objective)
    assert 0 < binary.mean() < 1
    mean, log_var = vae.encode(binary)
    logits = vae.logits(mean + (log_var / 2).exp() * noise)
    expected = kl_of(vae, binary) - Bernoulli(logits=logits).log_prob(binary).sum((1, 2, 3))
    close(objective(vae, binary, noise).loss, expected)


def test_bernoulli_of_greys_is_the_cross_entropy(images: Tensor) -> None:
    vae, objective = build("bernoulli"), load("bernoulli")
    assert torch.any((images > 0.1) & (images < 0.9))
    noise = draw(objective)
    pixels = decoded(vae, images, noise)
    cross_entropy = -(images * pixels.log() + (1 - images) * (1 - pixels).log()).sum((1, 2, 3))
    close(objective(vae, images, noise).loss, cross_entropy + kl_of(vae, images))


def test_bernoulli_of_a_sure_decoder_is_finite() -> None:
    vae, objective = build("bernoulli").float(), load("bernoulli")
    last = [module for module in vae.decoder.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, 200.0)  # whose pixels are 1 in single precision
    for grey, expected in ((0.0, 200.0 * PIXELS), (1.0, 0.0), (0.25, 150.0 * PIXELS)):
        images = torch.full((2, 1, 28, 28), grey)
        loss, measured = objective(vae, images, torch.zeros(2, LATENT_DIM))
        torch.testing.assert_close(loss - measured[:, 1], torch.full((2,), expected), rtol=1e-5, atol=1e-4)


# A variance that is fitted.


def fitted(vae: VAE, images: Tensor, noise: Tensor) -> Tensor:
    """σ², with its gradient."""
    return (images - decoded(vae, images, noise)).square().mean()


def mean_bound(vae: VAE, images: Tensor, noise: Tensor, variance: Tensor) -> Tensor:
    """The mean negative ELBO of a Gaussian decoder with this σ²."""
    likelihoods = negative_log_normal(images, decoded(vae, images, noise), variance)
    return (likelihoods + kl_of(vae, images)).mean()


def test_calibrated_is_the_elbo_at_the_batchs_own_variance(images: Tensor) -> None:
    vae, objective = build("calibrated"), load("calibrated")
    noise = draw(objective)
    variance = fitted(vae, images, noise)
    expected = negative_log_normal(images, decoded(vae, images, noise), variance) + kl_of(vae, images)
    loss = objective(vae, images, noise).loss
    close(loss, expected)
    closed_form = 392 * (1 + (2 * math.pi * variance).log()) + kl_of(vae, images).mean()
    close(loss.mean(), closed_form)


def test_calibrated_variance_is_the_best(images: Tensor) -> None:
    vae, objective = build("calibrated"), load("calibrated")
    noise = draw(objective)
    with torch.no_grad():
        loss = objective(vae, images, noise).loss.mean()
        variance = fitted(vae, images, noise)
        others = [mean_bound(vae, images, noise, factor * variance) for factor in (0.5, 0.99, 1.01, 2)]
        for other, factor in zip(others, (0.5, 0.99, 1.01, 2), strict=True):
            assert other > loss
            # By the closed form: 392 (1/factor − 1 + ln factor).
            assert float(other - loss) == pytest.approx(392 * (1 / factor - 1 + math.log(factor)), rel=1e-6)


def test_calibrated_gradient_is_that_through_the_variance(images: Tensor) -> None:
    vae, objective = build("calibrated"), load("calibrated")
    noise = draw(objective)
    found = gradient(vae, objective(vae, images, noise).loss.mean())
    through = gradient(vae, mean_bound(vae, images, noise, fitted(vae, images, noise)))
    for own, expected in zip(found, through, strict=True):
        close(own, expected)
    of_elbo = gradient(vae, load("elbo")(vae, images, noise).loss.mean())
    assert any((own - other).abs().max() > 1e-3 for own, other in zip(found, of_elbo, strict=True))


def test_calibrated_at_a_variance_of_a_half_is_the_elbo(images: Tensor) -> None:
    # A black decoder of images whose every pixel is the square root of a half.
    vae, objective = build("calibrated"), load("calibrated")
    noise = torch.zeros(COUNT, LATENT_DIM).double()
    last = [module for module in vae.decoder.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, -50.0)  # black
    images = torch.full_like(images, math.sqrt(0.5))
    expected = load("elbo")(vae, images, noise).loss + 392 * math.log(math.pi)
    close(objective(vae, images, noise).loss, expected)


def test_calibrated_of_a_perfect_decoder_is_finite(images: Tensor) -> None:
    vae, objective = build("calibrated"), load("calibrated")
    last = [module for module in vae.decoder.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    greys = torch.full_like(images, 0.5)
    loss, measured = objective(vae, greys, draw(objective))
    assert measured[:, 0].tolist() == [0.0] * COUNT
    step = 1 / 255  # between two greys; what is rounded away is uniform over it
    assert pytest.approx(step**2 / 12) == LEAST
    close(loss, 392 * math.log(2 * math.pi * LEAST) + kl_of(vae, greys))
    assert all(torch.isfinite(each).all() for each in gradient(vae, loss.mean()))


# Importance weights.


def log_weights(vae: VAE, images: Tensor, noise: Tensor) -> Tensor:
    """ln p(x|z) p(z) / q(z|x) of each draw, (B, k), by torch.distributions."""
    posterior = posterior_of(vae, images)
    found = []
    for each in noise.unbind(1):
        latents = posterior.mean + posterior.stddev * each
        likelihood = -negative_log_normal(images, vae.decode(latents), 0.5)
        prior = Normal(torch.zeros_like(latents), torch.ones_like(latents)).log_prob(latents).sum(1)
        found.append(likelihood + prior - posterior.log_prob(latents).sum(1))
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("draws", [1, 2, 7])
def test_iwae_is_the_log_of_the_mean_weight(images: Tensor, draws: int) -> None:
    vae, objective = build("iwae"), load("iwae", draws=draws)
    noise = draw(objective)
    weights = log_weights(vae, images, noise)
    expected = math.log(draws) - weights.logsumexp(1)
    if draws == 1:
        close(expected, -weights[:, 0])
    close(objective(vae, images, noise).loss + 392 * math.log(math.pi), expected)


def test_iwae_gradient_is_that_of_the_weights(images: Tensor) -> None:
    vae, objective = build("iwae"), load("iwae", draws=4)
    noise = draw(objective)
    found = gradient(vae, objective(vae, images, noise).loss.mean())
    expected = gradient(vae, -log_weights(vae, images, noise).logsumexp(1).mean())
    for own, other in zip(found, expected, strict=True):
        close(own, other)


def test_more_draws_bound_closer(images: Tensor) -> None:
    # Jensen: of the same draws, the loss of all is at most the mean of those of parts of them.
    vae = build("iwae")
    noise = draw(load("iwae", draws=12))
    with torch.no_grad():
        means = [
            torch.stack(
                [load("iwae", draws=draws)(vae, images, part).loss for part in noise.split(draws, dim=1)]
            ).mean(0)
            for draws in (1, 3, 12)
        ]
    assert torch.all(means[0] > means[1])
    assert torch.all(means[1] > means[2])


def test_draws_that_are_alike_count_as_one(images: Tensor) -> None:
    vae = build("iwae")
    one = draw(load("iwae", draws=1))
    expected = load("iwae", draws=1)(vae, images, one).loss
    close(load("iwae", draws=5)(vae, images, one.repeat(1, 5, 1)).loss, expected)


def test_iwae_of_one_draw_is_the_elbo_in_expectation(images: Tensor) -> None:
    # −ln w has KL by its draws, the other in closed form: over many draws the two agree.
    vae, many = build("iwae"), 4000
    repeated = images[:1].expand(many, -1, -1, -1)
    noise = torch.randn(many, LATENT_DIM, generator=seeded(3)).double()
    with torch.no_grad():
        difference = (
            load("iwae", draws=1)(vae, repeated, noise[:, None]).loss
            - load("elbo")(vae, repeated, noise).loss
        )
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(many)
    assert difference.std() > 0.1
