"""The whole evaluation: each score is of the images that it names, and a seed decides them all."""

import copy
import math
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torch import Generator, Tensor, nn
from torch.distributions import Normal, kl_divergence

from vaebench.data.dataset import Dataset, Images
from vaebench.device import Workers
from vaebench.evaluation.baselines import PrincipalComponents
from vaebench.evaluation.evaluate import (
    INTERPOLATED,
    STEPS,
    Draws,
    Evaluation,
    Judge,
    evaluate,
    evaluate_references,
)
from vaebench.evaluation.inception import bootstrap_interval, inception_score
from vaebench.evaluation.interval import mean_interval
from vaebench.evaluation.legibility import legibility_threshold, path_ends
from vaebench.evaluation.pictures import Pictures
from vaebench.findings.table import COLUMNS, DRAWN
from vaebench.models.classifier import Classifier, build_classifier
from vaebench.models.losses import squared_error
from vaebench.models.vae import VAE, build_vae

BuildVAE = Callable[[int, int], VAE]
Panel = list[Classifier]

TRAIN, TEST = 270, 90  # neither a multiple of CHUNK
DRAWS = Draws(samples=100, bootstrap=40, paths=12, likelihood_images=30, likelihood_draws=8)
SEED = 3


def seeded(seed: int = SEED) -> Generator:
    return Generator().manual_seed(seed)


def judged_by(panel: Panel, dataset: Dataset, workers: Workers, seed: int = SEED) -> Judge:
    return Judge(panel, dataset, DRAWS, seed, workers, say=lambda line: None)


def score(vae: VAE, panel: Panel, dataset: Dataset, workers: Workers, seed: int = SEED) -> Evaluation:
    return evaluate(vae, judged_by(panel, dataset, workers, seed))


def differing(one: Evaluation, other: Evaluation) -> set[str]:
    """The names of the scores (of PCA with `pca_`) and of the arrays that are not equal, bit for bit."""
    found = set()
    for prefix, left, right in (("", one.vae, other.vae), ("pca_", one.pca, other.pca)):
        assert left.keys() == right.keys()
        found |= {f"{prefix}{name}" for name, value in left.items() if value != right[name]}
    for name in ("kl_spectrum", "active", "overlap"):
        if not torch.equal(getattr(one, name), getattr(other, name)):
            found.add(name)
    for field in fields(Pictures):
        if not np.array_equal(getattr(one.pictures, field.name), getattr(other.pictures, field.name)):
            found.add(f"picture_{field.name}")
    assert torch.equal(one.confusion, other.confusion) == ("picture_confusion" not in found)
    return found


def first(digits: Images, count: int) -> Images:
    return Images(digits.images[:count], digits.labels[:count])


def inverted(digits: Images) -> Images:
    """As many other images."""
    return Images(1 - digits.images, digits.labels.flip(0))


def pixels(images: Tensor) -> NDArray[np.uint8]:
    return (images[..., 0, :, :].double().numpy() * 255).round().astype(np.uint8)


def assert_nearly(got: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Equal but for a grey where the rounding is at a tie."""
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1
    assert (got != expected).mean() < 0.001


def read(panel: Panel, images: Tensor) -> Tensor:
    """Each classifier's p(y|x): (C, N, 10)."""
    with torch.no_grad():
        return torch.stack([classifier(images).double().softmax(1) for classifier in panel])


@pytest.fixture(scope="module")
def dataset(digits: Dataset) -> Dataset:
    return replace(digits, train=first(digits.train, TRAIN), test=first(digits.test, TEST))


@pytest.fixture(scope="module")
def panel(vae: VAE, dataset: Dataset) -> Panel:
    """Two that are untrained, but sure of themselves: they read different images as different digits."""
    panel = []
    for seed in (1, 2):
        classifier = build_classifier(seed).eval()
        weight, bias = list(classifier.parameters())[-2:]  # of the last layer
        with torch.no_grad():
            samples = vae.decode(torch.randn(50, 7, generator=seeded(0)))
            logits = classifier(torch.cat([samples, dataset.test.images[:50]]))
            scale = 5 / logits.std(0, keepdim=True)
            weight.mul_(scale.T)
            bias.copy_((bias - logits.mean(0)) * scale[0])
        panel.append(classifier)
    return panel


@pytest.fixture(scope="module")
def vae(tiny_vae: BuildVAE) -> VAE:
    """Seven dimensions, and images that differ."""
    vae = tiny_vae(7, 1)
    with torch.no_grad():
        vae.get_parameter("decoder.0.weight").mul_(20)
    return vae


@pytest.fixture(scope="module")
def evaluation(vae: VAE, panel: Panel, dataset: Dataset, workers: Workers) -> Evaluation:
    return score(vae, panel, dataset, workers)


@pytest.fixture(scope="module")
def prior(vae: VAE) -> Tensor:
    """The images that the evaluation decodes from N(0, I)."""
    generator = seeded()
    for count in (TRAIN, TEST):  # the losses' noise comes first
        torch.randn(count, 7, generator=generator)
    with torch.no_grad():
        return vae.decode(torch.randn(DRAWS.samples, 7, generator=generator))


# The scores.


def test_names_are_those_of_the_table(
    evaluation: Evaluation, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    others = {
        "model",
        "latent_dim",
        "trainings",
        "training_seconds",
        "images_per_second",
        "epochs",
        "parameters",
    }
    others |= {"recipe", "training_precision", "threads", *DRAWN}
    scores = {column for column in COLUMNS if not column.startswith(("report_", "reproduced_"))} - others
    assert evaluation.vae.keys() == scores
    references = evaluate_references(judged_by(panel, dataset, workers))
    for found in (evaluation.pca, references.test_images, references.pixel_noise):
        assert found.keys() < scores
    for found in (evaluation.vae, evaluation.pca, references.test_images, references.pixel_noise):
        assert all(type(value) is float for value in found.values())
        assert all(math.isfinite(value) for value in found.values())


def test_losses_are_those_of_all_images_of_their_set(
    evaluation: Evaluation, vae: VAE, dataset: Dataset
) -> None:
    generator = seeded()
    for prefix, digits in (("", dataset.train), ("test_", dataset.test)):
        noise = torch.randn(len(digits), 7, generator=generator)
        with torch.no_grad():
            mean, log_var = vae.encode(digits.images)
            errors = squared_error(digits.images, vae.decode(mean + (log_var / 2).exp() * noise)).double()
        posterior = Normal(mean.double(), (log_var.double() / 2).exp())
        kl = kl_divergence(posterior, Normal(torch.zeros_like(mean).double(), 1.0)).sum(1)
        expected = {"reconstruction_loss": float(errors.mean()), "kl_loss": float(kl.mean())}
        for name, value in expected.items():
            assert evaluation.vae[prefix + name] == pytest.approx(value, rel=1e-5)
        assert evaluation.vae[f"{prefix}combined_loss"] == pytest.approx(sum(expected.values()), rel=1e-5)
    low, high = mean_interval(errors + kl)  # of the test images, which came last
    assert evaluation.vae["test_combined_loss_low"] == pytest.approx(low, rel=1e-5)
    assert evaluation.vae["test_combined_loss_high"] == pytest.approx(high, rel=1e-5)
    # And the sets do differ by more than that.
    kl_losses = evaluation.vae["kl_loss"], evaluation.vae["test_kl_loss"]
    assert kl_losses[0] != pytest.approx(kl_losses[1], rel=1e-3)


def test_losses_in_other_units_say_the_same(evaluation: Evaluation) -> None:
    vae = evaluation.vae
    assert vae["mse"] * 784 == pytest.approx(vae["reconstruction_loss"])
    assert vae["effective_beta"] == pytest.approx(392 / vae["reconstruction_loss"])
    assert vae["negative_elbo"] == pytest.approx(vae["test_combined_loss"] + 448.7342, abs=1e-3)
    fitted = vae["test_reconstruction_loss"] / (2 * vae["mse"]) + 392 * math.log(2 * math.pi * vae["mse"])
    assert vae["negative_elbo_fitted"] == pytest.approx(fitted + vae["test_kl_loss"])
    assert vae["kl_per_unit"] * 7 == pytest.approx(vae["test_kl_loss"], rel=1e-5)
    assert evaluation.kl_spectrum is not None
    assert vae["kl_per_unit"] == pytest.approx(evaluation.kl_spectrum.mean().item(), rel=1e-6)
    assert vae["active_units"] == evaluation.active.sum()


def test_reconstruction_at_the_mean_is_that_of_the_means(
    evaluation: Evaluation, vae: VAE, dataset: Dataset
) -> None:
    images = dataset.test.images
    with torch.no_grad():
        expected = squared_error(images, vae.decode(vae.encode(images).mean)).double().mean().item()
    assert evaluation.vae["test_reconstruction_loss_at_mean"] == pytest.approx(expected, rel=1e-6)


def test_inception_score_is_that_of_the_samples(evaluation: Evaluation, panel: Panel, prior: Tensor) -> None:
    probabilities = read(panel, prior)
    scores = [inception_score(member) for member in probabilities]
    assert evaluation.vae["inception_score"] == pytest.approx(sum(scores) / 2, rel=1e-4)
    assert evaluation.vae["inception_score_spread"] == pytest.approx(
        abs(scores[0] - scores[1]) / 2**0.5, rel=1e-2
    )
    assert evaluation.vae["inception_score"] > 1.1


def test_legible_share_is_held_against_the_test_images(
    evaluation: Evaluation, panel: Panel, prior: Tensor, dataset: Dataset
) -> None:
    threshold = legibility_threshold(read(panel, dataset.test.images).mean(0), dataset.test.labels)
    expected = (read(panel, prior).mean(0).max(1).values >= threshold).double().mean().item()
    assert evaluation.vae["legible_share"] == pytest.approx(expected, abs=1e-9)
    assert 0 < expected < 1


def test_paths_lead_between_posterior_means_of_different_digits(
    evaluation: Evaluation, panel: Panel, vae: VAE, dataset: Dataset
) -> None:
    test, generator = dataset.test, seeded()
    for count in (TRAIN, TEST, DRAWS.samples):
        torch.randn(count, 7, generator=generator)
    bootstrap_interval(
        torch.full((1, DRAWS.samples, 10), 0.1, dtype=torch.float64), DRAWS.bootstrap, generator
    )
    threshold = legibility_threshold(read(panel, test.images).mean(0), test.labels)
    shares = []
    with torch.no_grad():
        means = vae.encode(test.images).mean
        for one, other in means[path_ends(test.labels, DRAWS.paths, generator)]:
            weights = torch.arange(1, STEPS - 1)[:, None] / (STEPS - 1)
            images = vae.decode(one + (other - one) * weights)
            shares.append((read(panel, images).mean(0).max(1).values >= threshold).double().mean().item())
    assert evaluation.vae["legible_path_share"] == pytest.approx(np.mean(shares), abs=0.02)
    error = 1.96 * np.std(shares, ddof=1) / DRAWS.paths**0.5
    assert evaluation.vae["legible_path_share_high"] == pytest.approx(np.mean(shares) + error, abs=0.03)


def test_confusion_is_that_of_reconstructions_from_the_means(
    evaluation: Evaluation, vae: VAE, panel: Panel, dataset: Dataset
) -> None:
    with torch.no_grad():
        reconstructions = vae.decode(vae.encode(dataset.test.images).mean)
    readings = read(panel, reconstructions).mean(0).argmax(1)
    labels = dataset.test.labels
    expected = sklearn_confusion_matrix(labels.numpy(), readings.numpy(), labels=range(10))
    assert evaluation.confusion.tolist() == expected.tolist()
    assert evaluation.confusion.sum(1).tolist() == torch.bincount(labels, minlength=10).tolist()
    right = float((readings == labels).double().mean())
    assert evaluation.vae["reconstruction_accuracy"] == pytest.approx(right, rel=1e-6)


def test_pca_is_scored_as_a_model_that_samples_nothing(evaluation: Evaluation, dataset: Dataset) -> None:
    pca = PrincipalComponents(dataset.train.images, 7)
    for name, images in (
        ("reconstruction_loss", dataset.train.images),
        ("test_reconstruction_loss", dataset.test.images),
        ("test_reconstruction_loss_at_mean", dataset.test.images),
    ):
        expected = squared_error(images, pca.decode(pca.encode(images))).double().mean().item()
        assert evaluation.pca[name] == pytest.approx(expected, rel=1e-6)
    drawn = torch.randperm(TEST, generator=seeded())[: DRAWS.likelihood_images]
    likelihood = pca.negative_log_likelihood(dataset.test.images[drawn]).mean().item()
    assert evaluation.pca["nll_bound_fitted"] == pytest.approx(likelihood)
    assert "kl_loss" not in evaluation.pca
    assert evaluation.pca["knn_accuracy"] > 0.7  # these digits are easy


# The references.


def test_real_images_are_at_the_top_and_noise_at_the_bottom(
    evaluation: Evaluation, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    references = evaluate_references(judged_by(panel, dataset, workers))
    real, noise, model = references.test_images, references.pixel_noise, evaluation.vae
    for name in ("fid", "kid"):
        assert real[name] < model[name]
        assert real[name] < noise[name]
    for name in ("precision", "recall", "density", "coverage"):
        assert real[name] > noise[name]
    right = (read(panel, dataset.test.images).mean(0).argmax(1) == dataset.test.labels).double().mean().item()
    assert real["reconstruction_accuracy"] == references.panel["test_accuracy"] == pytest.approx(right)
    shares = torch.bincount(dataset.test.labels).double() / TEST
    assert references.inception_score_ceiling == pytest.approx((-shares * shares.log()).sum().exp().item())


@pytest.mark.usefixtures("global_rng_untouched")
def test_references_come_from_the_seed_alone(panel: Panel, dataset: Dataset, crews: list[Workers]) -> None:
    def scores(workers: Workers, seed: int = SEED) -> tuple[dict[str, float], dict[str, float]]:
        found = evaluate_references(judged_by(panel, dataset, workers, seed))
        return found.test_images, found.pixel_noise

    several = [scores(workers) for workers in crews]
    assert several[0] == several[1] == several[2]
    assert scores(crews[0], SEED + 1) != several[0]


# Which images matter to what.


def test_training_images_matter_to_their_losses_and_to_what_is_fitted(
    evaluation: Evaluation, vae: VAE, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    other = score(vae, panel, replace(dataset, train=inverted(dataset.train)), workers)
    changed = {name for name in differing(evaluation, other) if not name.startswith("pca_")}
    losses = {"reconstruction_loss", "kl_loss", "combined_loss"}
    fitted = {"mse", "effective_beta", "negative_elbo_fitted"}
    fitted |= {f"nll_bound_fitted{end}" for end in ("", "_low", "_high", "_mc_error")}
    read_by = {f"{probe}_accuracy{end}" for probe in ("knn", "probe") for end in ("", "_low", "_high")}
    assert losses | fitted <= changed <= losses | fitted | read_by


def test_labels_of_the_training_images_matter_to_the_probes_alone(
    evaluation: Evaluation, vae: VAE, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    relabelled = Images(dataset.train.images, (dataset.train.labels + 1) % 10)
    changed = differing(evaluation, score(vae, panel, replace(dataset, train=relabelled), workers))
    assert {"knn_accuracy", "pca_knn_accuracy", "probe_accuracy"} <= changed
    assert all("knn" in name or "probe" in name for name in changed)


def test_test_images_matter_neither_to_the_training_losses_nor_to_the_samples(
    evaluation: Evaluation, vae: VAE, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    other = score(vae, panel, replace(dataset, test=inverted(dataset.test)), workers)
    changed = differing(evaluation, other)
    samples = {"inception_score", "inception_score_low", "inception_score_high", "inception_score_mean_exp"}
    samples |= {"label_entropy", "conditional_entropy"}
    assert not changed & {"reconstruction_loss", "kl_loss", "combined_loss", *samples}
    assert not changed & {"picture_samples", "picture_probabilities", "picture_marginal"}
    assert changed >= {"test_reconstruction_loss", "test_kl_loss", "test_combined_loss", "fid", "nll_bound"}
    assert changed >= {"picture_originals", "picture_latent", "picture_labels", "picture_test_marginal"}


# Seeds and workers.


@pytest.mark.slow
@pytest.mark.usefixtures("global_rng_untouched")
def test_number_of_workers_changes_no_bit(panel: Panel, dataset: Dataset, crews: list[Workers]) -> None:
    vae = build_vae(4, seed=2)
    one, *others = (score(vae, panel, dataset, workers) for workers in crews)
    for other in others:
        assert not differing(one, other)


def test_seed_decides_what_is_drawn_and_nothing_else(
    evaluation: Evaluation, vae: VAE, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    assert not differing(evaluation, score(vae, panel, dataset, workers))
    changed = differing(evaluation, score(vae, panel, dataset, workers, seed=SEED + 1))
    assert changed >= {"reconstruction_loss", "inception_score", "fid", "nll_bound", "mutual_information"}
    assert changed >= {"legible_path_share", "picture_samples", "pca_inception_score", "overlap"}
    drawn = {"kl_loss", "test_kl_loss", "test_reconstruction_loss_at_mean", "kl_spectrum", "active"}
    drawn |= {"reconstruction_accuracy", "knn_accuracy", "probe_accuracy", "test_kl_loss"}
    drawn |= {"picture_confusion", "picture_latent", "picture_interpolations", "pca_reconstruction_loss"}
    assert not changed & drawn


def test_models_stay_as_they_are(vae: VAE, panel: Panel, dataset: Dataset, workers: Workers) -> None:
    models = (vae, *panel)
    before = [{name: weight.clone() for name, weight in model.state_dict().items()} for model in models]
    score(vae, panel, dataset, workers)
    for model, weights in zip(models, before, strict=True):
        assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())


# Models that have failed.


def test_generator_that_has_collapsed(
    tiny_vae: BuildVAE, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    vae = tiny_vae(7, 1)
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
    scores = score(vae, panel, dataset, workers).vae
    assert all(math.isfinite(value) for value in scores.values())
    for name in ("", "_low", "_high", "_mean_exp"):
        assert scores[f"inception_score{name}"] == pytest.approx(1, abs=1e-9)
    assert scores["label_entropy"] == pytest.approx(scores["conditional_entropy"])
    assert scores["active_units"] == 0
    assert scores["mutual_information"] == pytest.approx(0, abs=1e-9)
    assert scores["recall"] < 0.1


OF_GREYS = {
    *("effective_beta", "negative_elbo", "negative_elbo_fitted"),
    *(f"nll_bound{kind}{end}" for kind in ("", "_fitted") for end in ("", "_low", "_high", "_mc_error")),
}
OF_A_POSTERIOR = {
    *(f"{which}{loss}" for which in ("", "test_") for loss in ("kl_loss", "combined_loss")),
    *("test_combined_loss_low", "test_combined_loss_high", "class_overlap", "kl_per_unit"),
    *("mutual_information", "marginal_kl", "marginal_kl_floor"),
}


@pytest.mark.parametrize(
    ("objective", "left_out"), [("bernoulli", OF_GREYS), ("autoencoder", OF_GREYS | OF_A_POSTERIOR)]
)
def test_score_that_does_not_apply_is_left_out(
    evaluation: Evaluation,
    vae: VAE,
    panel: Panel,
    dataset: Dataset,
    workers: Workers,
    objective: str,
    left_out: set[str],
) -> None:
    other = copy.deepcopy(vae)
    other.objective = objective
    found = score(other, panel, dataset, workers)
    assert evaluation.vae.keys() - found.vae.keys() == left_out
    assert list(found.vae) == [name for name in evaluation.vae if name not in left_out]
    assert (found.kl_spectrum is None, found.overlap is None) == (objective == "autoencoder",) * 2
    if objective == "autoencoder":  # z is the mean
        at_mean = found.vae["test_reconstruction_loss_at_mean"]
        assert found.vae["test_reconstruction_loss"] == pytest.approx(at_mean, rel=1e-6)
        assert evaluation.vae["test_reconstruction_loss"] != pytest.approx(at_mean, rel=1e-3)


def test_digit_that_the_test_set_has_not(vae: VAE, panel: Panel, dataset: Dataset, workers: Workers) -> None:
    kept = dataset.test.labels != 7
    without = Images(dataset.test.images[kept], dataset.test.labels[kept])
    evaluation = score(vae, panel, replace(dataset, test=without), workers)
    assert evaluation.confusion[7].sum() == 0
    assert evaluation.overlap is not None
    assert evaluation.overlap[7].sum() == 0
    assert all(math.isfinite(value) for value in (*evaluation.vae.values(), *evaluation.pca.values()))
    # The label says what stands there instead.
    assert evaluation.pictures.interpolation_labels[0].tolist() == [int(without.labels[0]), 9]


# The pictures.


@pytest.mark.parametrize(("latent_dim", "axes"), [(1, 1), (2, 2), (3, 3), (4, 2), (30, 2)])
def test_shapes_and_types(
    tiny_vae: BuildVAE,
    panel: Panel,
    dataset: Dataset,
    workers: Workers,
    latent_dim: int,
    axes: int,
) -> None:
    pictures = score(tiny_vae(latent_dim, 1), panel, dataset, workers).pictures
    found = {field.name: getattr(pictures, field.name) for field in fields(Pictures)}
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "originals": ((15, 28, 28), "uint8"),
        "reconstructions": ((15, 28, 28), "uint8"),
        "original_labels": ((15,), "uint8"),
        "samples": ((64, 28, 28), "uint8"),
        "interpolations": ((len(INTERPOLATED), STEPS, 28, 28), "uint8"),
        "interpolation_labels": ((len(INTERPOLATED), 2), "uint8"),
        "latent": ((TEST, axes), "float32"),
        "labels": ((TEST,), "uint8"),
        "latent_centre": ((latent_dim,), "float32"),
        "latent_axes": ((latent_dim, axes), "float32"),
        "explained_variance": ((axes,), "float32"),
        "probabilities": ((64, 10), "float32"),
        "marginal": ((10,), "float32"),
        "test_marginal": ((10,), "float32"),
        "confusion": ((10, 10), "int64"),
    }


def test_originals_are_the_first_test_digits(evaluation: Evaluation, dataset: Dataset) -> None:
    pictures = evaluation.pictures
    assert np.array_equal(pictures.originals, (dataset.test.images[:15, 0] * 255).round().byte().numpy())
    assert pictures.original_labels.tolist() == dataset.test.labels[:15].tolist()
    assert pictures.labels.tolist() == dataset.test.labels.tolist()


def test_reconstructions_and_lines_are_decoded_from_the_means(
    evaluation: Evaluation, vae: VAE, dataset: Dataset
) -> None:
    pictures, labels = evaluation.pictures, dataset.test.labels.tolist()
    with torch.no_grad():
        means = vae.encode(dataset.test.images).mean
        assert_nearly(pictures.reconstructions, pixels(vae.decode(means[:15])))
        for number, pair in enumerate(INTERPOLATED):
            one, other = (means[labels.index(digit)] for digit in pair)
            weights = torch.arange(STEPS)[:, None] / (STEPS - 1)
            line = vae.decode(one + (other - one) * weights)
            assert_nearly(pictures.interpolations[number], pixels(line))
    assert pictures.interpolation_labels.tolist() == [list(pair) for pair in INTERPOLATED]


def test_samples_stand_beside_their_probabilities(
    evaluation: Evaluation, panel: Panel, prior: Tensor
) -> None:
    probabilities = read(panel, prior).mean(0)
    pictures = evaluation.pictures
    assert_nearly(pictures.samples, pixels(prior[:64]))
    assert pictures.probabilities == pytest.approx(probabilities[:64].numpy(), abs=1e-4)
    assert pictures.marginal == pytest.approx(probabilities.mean(0).numpy(), abs=1e-4)  # of all, not of 64
    assert float(pictures.marginal.sum()) == pytest.approx(1, abs=1e-5)


def test_marginal_of_the_test_digits(evaluation: Evaluation, panel: Panel, dataset: Dataset) -> None:
    expected = read(panel, dataset.test.images).mean((0, 1)).numpy()
    assert evaluation.pictures.test_marginal == pytest.approx(expected, abs=1e-4)


def test_latent_space_up_to_three_dimensions_is_the_means(
    tiny_vae: BuildVAE, panel: Panel, dataset: Dataset, workers: Workers
) -> None:
    vae = tiny_vae(3, 1)
    with torch.no_grad():
        means = vae.encode(dataset.test.images).mean.numpy()
    assert score(vae, panel, dataset, workers).pictures.latent == pytest.approx(means, abs=1e-6)


def test_pictures_hold_the_confusion_of_the_scores(evaluation: Evaluation) -> None:
    assert evaluation.pictures.confusion.tolist() == evaluation.confusion.tolist()
