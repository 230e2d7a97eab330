"""The whole evaluation: each score is of the images that it names, and a seed decides them all."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torch import Generator, Tensor, nn
from torch.distributions import Normal, kl_divergence

from vaebench.classifier import Classifier, build_classifier
from vaebench.data import Dataset, Images
from vaebench.device import CHUNK, Workers
from vaebench.evaluation.evaluate import INTERPOLATED, INTERPOLATION_STEPS, Evaluation, evaluate
from vaebench.evaluation.inception import bootstrap_interval, inception_score, mean_exponential_score
from vaebench.losses import squared_error
from vaebench.pictures import Pictures
from vaebench.table import COLUMNS
from vaebench.vae import VAE, build_vae

pytestmark = pytest.mark.usefixtures("one_thread")

BuildVAE = Callable[[int, int], VAE]

TRAIN, TEST = CHUNK + 20, 90
SAMPLES, BOOTSTRAP, SEED = 100, 40, 3


def seeded(seed: int = SEED) -> Generator:
    return Generator().manual_seed(seed)


def score(
    vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers, seed: int = SEED
) -> Evaluation:
    return evaluate(
        vae, classifier, dataset, samples=SAMPLES, bootstrap=BOOTSTRAP, seed=seed, workers=workers
    )


def differing(one: Evaluation, other: Evaluation) -> set[str]:
    """The names of the scores and of the pictures that are not the same, bit for bit."""
    assert one.scores.keys() == other.scores.keys()
    scores = {name for name, value in one.scores.items() if value != other.scores[name]}
    pictures = {
        field.name
        for field in fields(Pictures)
        if not np.array_equal(getattr(one.pictures, field.name), getattr(other.pictures, field.name))
    }
    assert torch.equal(one.confusion, other.confusion) == ("confusion" not in pictures)
    return scores | pictures


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


def read(classifier: Classifier, images: Tensor) -> Tensor:
    with torch.no_grad():
        probabilities: Tensor = classifier(images).double().softmax(1)
    return probabilities


@pytest.fixture(scope="module")
def dataset(digits: Dataset) -> Dataset:
    return replace(digits, train=first(digits.train, TRAIN), test=first(digits.test, TEST))


@pytest.fixture(scope="module")
def classifier(vae: VAE, dataset: Dataset) -> Classifier:
    """Untrained, but sure of itself: it reads different images as different digits."""
    classifier = build_classifier(seed=1)
    weight, bias = list(classifier.parameters())[-2:]  # of the last layer
    with torch.no_grad():
        samples = vae.decode(torch.randn(50, 7, generator=seeded(0)))
        logits = classifier(torch.cat([samples, dataset.test.images[:50]]))
        scale = 5 / logits.std(0, keepdim=True)
        weight.mul_(scale.T)
        bias.copy_((bias - logits.mean(0)) * scale[0])
    return classifier


@pytest.fixture(scope="module")
def vae(tiny_vae: BuildVAE) -> VAE:
    """Seven dimensions, and images that differ."""
    vae = tiny_vae(7, 1)
    with torch.no_grad():
        vae.expand.weight.mul_(20)
    return vae


@pytest.fixture(scope="module")
def evaluation(vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers) -> Evaluation:
    return score(vae, classifier, dataset, workers)


# The scores.


def test_names_are_those_of_the_table(evaluation: Evaluation) -> None:
    training = {"latent_dim", "training_seconds", "images_per_second", "epochs", "parameters"}
    training |= {"recipe", "precision", "threads"}
    others = {column for column in COLUMNS if not column.startswith(("report_", "reproduced_"))} - training
    intervals = {"test_images_inception_score_low", "test_images_inception_score_high"}
    assert evaluation.scores.keys() == others | intervals
    assert all(type(value) is float for value in evaluation.scores.values())


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
            assert evaluation.scores[prefix + name] == pytest.approx(value, rel=1e-5)
        assert evaluation.scores[f"{prefix}combined_loss"] == pytest.approx(sum(expected.values()), rel=1e-5)
    # And the sets do differ by more than that.
    kl_losses = evaluation.scores["kl_loss"], evaluation.scores["test_kl_loss"]
    assert kl_losses[0] != pytest.approx(kl_losses[1], rel=1e-3)


def test_inception_scores_are_those_of_samples_and_of_test_images(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset
) -> None:
    generator = seeded()
    torch.randn(TRAIN, 7, generator=generator)  # the losses' noise comes first
    torch.randn(TEST, 7, generator=generator)
    with torch.no_grad():
        samples = vae.decode(torch.randn(SAMPLES, 7, generator=generator))
    for prefix, images in (("", samples), ("test_images_", dataset.test.images)):
        probabilities = read(classifier, images)
        low, high = bootstrap_interval(probabilities, BOOTSTRAP, generator)
        assert evaluation.scores[f"{prefix}inception_score"] == pytest.approx(
            inception_score(probabilities), rel=1e-4
        )
        assert evaluation.scores[f"{prefix}inception_score_low"] == pytest.approx(low, rel=1e-4)
        assert evaluation.scores[f"{prefix}inception_score_high"] == pytest.approx(high, rel=1e-4)
        if not prefix:
            assert evaluation.scores["inception_score_mean_exp"] == pytest.approx(
                mean_exponential_score(probabilities), rel=1e-4
            )
    assert evaluation.scores["inception_score"] > 1.1


def test_confusion_is_that_of_reconstructions_from_the_means(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset
) -> None:
    with torch.no_grad():
        reconstructions = vae.decode(vae.encode(dataset.test.images).mean)
    readings = read(classifier, reconstructions).argmax(1)
    labels = dataset.test.labels
    expected = sklearn_confusion_matrix(labels.numpy(), readings.numpy(), labels=range(10))
    assert evaluation.confusion.tolist() == expected.tolist()
    assert evaluation.confusion.sum(1).tolist() == torch.bincount(labels, minlength=10).tolist()
    right = float((readings == labels).double().mean())
    assert evaluation.scores["reconstruction_accuracy"] == pytest.approx(right, rel=1e-6)


# Which images matter to what.


def test_training_images_matter_to_the_training_losses_alone(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    other = score(vae, classifier, replace(dataset, train=inverted(dataset.train)), workers)
    assert differing(evaluation, other) == {"reconstruction_loss", "kl_loss", "combined_loss"}


def test_labels_of_the_training_images_do_not_matter(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    relabelled = Images(dataset.train.images, (dataset.train.labels + 1) % 10)
    assert not differing(evaluation, score(vae, classifier, replace(dataset, train=relabelled), workers))


def test_test_images_matter_neither_to_the_training_losses_nor_to_the_samples(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    other = score(vae, classifier, replace(dataset, test=inverted(dataset.test)), workers)
    changed = differing(evaluation, other)
    samples = {"inception_score", "inception_score_low", "inception_score_high", "inception_score_mean_exp"}
    assert not changed & {"reconstruction_loss", "kl_loss", "combined_loss", *samples}
    assert not changed & {"samples", "probabilities", "marginal"}
    assert changed >= {"test_reconstruction_loss", "test_kl_loss", "test_combined_loss", "test_marginal"}
    assert changed >= {"test_images_inception_score", "originals", "reconstructions", "latent", "labels"}


def test_labels_of_the_test_images_matter_to_the_readings_alone(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    relabelled = Images(dataset.test.images, (dataset.test.labels + 1) % 10)
    changed = differing(evaluation, score(vae, classifier, replace(dataset, test=relabelled), workers))
    assert {"confusion", "labels", "original_labels"} <= changed
    assert changed <= {
        "reconstruction_accuracy",
        "confusion",
        "labels",
        "original_labels",
        "interpolations",  # other images are the first of their digit
    }


# Seeds and workers.


@pytest.mark.usefixtures("global_rng_untouched")
def test_number_of_workers_changes_no_bit(
    classifier: Classifier, dataset: Dataset, crews: list[Workers]
) -> None:
    vae = build_vae(4, seed=2)
    one, *others = (score(vae, classifier, dataset, workers) for workers in crews)
    for other in others:
        assert not differing(one, other)


def test_seed_decides(
    evaluation: Evaluation, vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    assert not differing(evaluation, score(vae, classifier, dataset, workers))
    changed = differing(evaluation, score(vae, classifier, dataset, workers, seed=SEED + 1))
    assert changed == {
        "reconstruction_loss",
        "combined_loss",
        "test_reconstruction_loss",
        "test_combined_loss",
        "inception_score",
        "inception_score_low",
        "inception_score_high",
        "inception_score_mean_exp",
        "test_images_inception_score_low",
        "test_images_inception_score_high",
        "samples",
        "probabilities",
        "marginal",
    }


def test_models_stay_as_they_are(
    vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    models = (vae, classifier)
    before = [{name: weight.clone() for name, weight in model.state_dict().items()} for model in models]
    score(vae, classifier, dataset, workers)
    for model, weights in zip(models, before, strict=True):
        assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())


# Models that have failed.


def test_generator_that_has_collapsed(
    tiny_vae: BuildVAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    vae = tiny_vae(7, 1)
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
    scores = score(vae, classifier, dataset, workers).scores
    assert all(np.isfinite(value) for value in scores.values())
    for name in ("", "_low", "_high", "_mean_exp"):
        assert scores[f"inception_score{name}"] == pytest.approx(1, abs=1e-9)
    assert scores["test_images_inception_score"] > 1.1


def test_digit_that_the_test_set_has_not(
    vae: VAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    kept = dataset.test.labels != 7
    without = Images(dataset.test.images[kept], dataset.test.labels[kept])
    evaluation = score(vae, classifier, replace(dataset, test=without), workers)
    assert evaluation.confusion[7].sum() == 0
    # The label says what stands there instead.
    assert evaluation.pictures.interpolation_labels[0].tolist() == [int(without.labels[0]), 9]


# The pictures.


@pytest.mark.parametrize(("latent_dim", "axes"), [(1, 1), (2, 2), (3, 3), (4, 2), (30, 2)])
def test_shapes_and_types(
    tiny_vae: BuildVAE,
    classifier: Classifier,
    dataset: Dataset,
    workers: Workers,
    latent_dim: int,
    axes: int,
) -> None:
    pictures = score(tiny_vae(latent_dim, 1), classifier, dataset, workers).pictures
    found = {field.name: getattr(pictures, field.name) for field in fields(Pictures)}
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "originals": ((15, 28, 28), "uint8"),
        "reconstructions": ((15, 28, 28), "uint8"),
        "original_labels": ((15,), "uint8"),
        "samples": ((64, 28, 28), "uint8"),
        "interpolations": ((len(INTERPOLATED), INTERPOLATION_STEPS, 28, 28), "uint8"),
        "interpolation_labels": ((len(INTERPOLATED), 2), "uint8"),
        "latent": ((TEST, axes), "float32"),
        "labels": ((TEST,), "uint8"),
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
            weights = torch.arange(INTERPOLATION_STEPS)[:, None] / (INTERPOLATION_STEPS - 1)
            line = vae.decode(one + (other - one) * weights)
            assert_nearly(pictures.interpolations[number], pixels(line))
    assert pictures.interpolation_labels.tolist() == [list(pair) for pair in INTERPOLATED]


def test_samples_stand_beside_their_probabilities(
    evaluation: Evaluation, vae: VAE, classifier: Classifier
) -> None:
    generator = seeded()
    for count in (TRAIN, TEST):
        torch.randn(count, 7, generator=generator)
    with torch.no_grad():
        samples = vae.decode(torch.randn(SAMPLES, 7, generator=generator))
    probabilities = read(classifier, samples)
    pictures = evaluation.pictures
    assert_nearly(pictures.samples, pixels(samples[:64]))
    assert pictures.probabilities == pytest.approx(probabilities[:64].numpy(), abs=1e-4)
    assert pictures.marginal == pytest.approx(probabilities.mean(0).numpy(), abs=1e-4)  # of all, not of 64
    assert float(pictures.marginal.sum()) == pytest.approx(1, abs=1e-5)


def test_marginal_of_the_test_digits(
    evaluation: Evaluation, classifier: Classifier, dataset: Dataset
) -> None:
    expected = read(classifier, dataset.test.images).mean(0).numpy()
    assert evaluation.pictures.test_marginal == pytest.approx(expected, abs=1e-4)


def test_latent_space_up_to_three_dimensions_is_the_means(
    tiny_vae: BuildVAE, classifier: Classifier, dataset: Dataset, workers: Workers
) -> None:
    vae = tiny_vae(3, 1)
    with torch.no_grad():
        means = vae.encode(dataset.test.images).mean.numpy()
    assert score(vae, classifier, dataset, workers).pictures.latent == pytest.approx(means, abs=1e-6)


def test_pictures_hold_the_confusion_of_the_scores(evaluation: Evaluation) -> None:
    assert evaluation.pictures.confusion.tolist() == evaluation.confusion.tolist()
