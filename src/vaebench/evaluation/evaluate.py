"""The whole evaluation of one trained VAE."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from vaebench.classifier import Classifier, class_probabilities
from vaebench.data import Dataset, Images
from vaebench.device import Workers
from vaebench.evaluation.confusion import accuracy, confusion_matrix
from vaebench.evaluation.inception import bootstrap_interval, inception_score, mean_exponential_score
from vaebench.evaluation.inference import decode, encode_means, interpolate, prior_samples
from vaebench.evaluation.projection import project
from vaebench.losses import mean_losses
from vaebench.pictures import Pictures
from vaebench.vae import VAE

SHOWN_DIGITS = 15  # as in the report
SHOWN_SAMPLES = 64  # an 8×8 grid
# Seven and nine are the pair that the report found overlapping.
INTERPOLATED = ((7, 9), (3, 8), (1, 4), (0, 6), (2, 5))
INTERPOLATION_STEPS = 11


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` finds."""

    scores: dict[str, float]  # by name; losses without a prefix are those of the training set
    confusion: Tensor  # (10, 10), int64; row: true digit, column: reading of its reconstruction
    pictures: Pictures


def evaluate(
    vae: VAE,
    classifier: Classifier,
    dataset: Dataset,
    *,
    samples: int,
    bootstrap: int,
    seed: int,
    workers: Workers,
) -> Evaluation:
    """Score `vae` on all of `dataset` and on images decoded from N(0, I).

    Args:
        vae: the model, on the device of `workers`.
        classifier: reads the images, on the same device.
        dataset: the training and the test digits.
        samples: how many images to decode from N(0, I), at least 64.
        bootstrap: resamples behind the intervals of the inception scores.
        seed: of every draw.
        workers: who computes.
    """
    generator = Generator().manual_seed(seed)
    train_losses = mean_losses(vae, dataset.train.images, generator, workers)
    test_losses = mean_losses(vae, dataset.test.images, generator, workers)

    generated = prior_samples(vae, samples, generator, workers)
    probabilities = class_probabilities(classifier, generated, workers)
    interval = bootstrap_interval(probabilities, bootstrap, generator)
    test_probabilities = class_probabilities(classifier, dataset.test.images, workers)
    test_interval = bootstrap_interval(test_probabilities, bootstrap, generator)

    means = encode_means(vae, dataset.test.images, workers)
    reconstructions = decode(vae, means, workers)
    readings = class_probabilities(classifier, reconstructions, workers).argmax(1)
    confusion = confusion_matrix(dataset.test.labels, readings)

    scores = {
        **train_losses.named(),
        **test_losses.named("test_"),
        "inception_score": inception_score(probabilities),
        "inception_score_low": interval.low,
        "inception_score_high": interval.high,
        "inception_score_mean_exp": mean_exponential_score(probabilities),
        "test_images_inception_score": inception_score(test_probabilities),
        "test_images_inception_score_low": test_interval.low,
        "test_images_inception_score_high": test_interval.high,
        "reconstruction_accuracy": accuracy(confusion),
    }
    ends = _first_of_each(dataset.test)[torch.tensor(INTERPOLATED)]
    projection = project(means)
    pictures = Pictures(
        originals=_pixels(dataset.test.images[:SHOWN_DIGITS]),
        reconstructions=_pixels(reconstructions[:SHOWN_DIGITS]),
        original_labels=_digits(dataset.test.labels[:SHOWN_DIGITS]),
        samples=_pixels(generated[:SHOWN_SAMPLES]),
        interpolations=_pixels(interpolate(vae, means[ends], INTERPOLATION_STEPS, workers)),
        interpolation_labels=_digits(dataset.test.labels[ends]),
        latent=projection.points.numpy(),
        labels=_digits(dataset.test.labels),
        explained_variance=projection.explained_variance.numpy(),
        probabilities=probabilities[:SHOWN_SAMPLES].float().numpy(),
        marginal=probabilities.mean(0).float().numpy(),
        test_marginal=test_probabilities.mean(0).float().numpy(),
        confusion=confusion.numpy(),
    )
    return Evaluation(scores, confusion, pictures)


def _first_of_each(digits: Images) -> Tensor:
    """Return the index of the first image of each digit: (10,); 0 for a digit that does not occur."""
    return (digits.labels == torch.arange(10)[:, None]).int().argmax(1)


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Turn (..., 1, 28, 28) in [0, 1] into (..., 28, 28) in 0..255."""
    pixels: NDArray[np.uint8] = (images.squeeze(-3) * 255).round().to(torch.uint8).numpy()
    return pixels


def _digits(labels: Tensor) -> NDArray[np.uint8]:
    digits: NDArray[np.uint8] = labels.to(torch.uint8).numpy()
    return digits
