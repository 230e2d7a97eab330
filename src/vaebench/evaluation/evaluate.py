"""The whole evaluation: of one trained VAE beside as many principal components, and of reference images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from vaebench.data.dataset import Dataset, Images
from vaebench.device import Workers
from vaebench.evaluation.aggregate_posterior import aggregate_posterior
from vaebench.evaluation.baselines import PrincipalComponents, pixel_noise
from vaebench.evaluation.calibration import expected_calibration_error
from vaebench.evaluation.confusion import confusion_matrix
from vaebench.evaluation.inception import attainable_score
from vaebench.evaluation.inference import decode, encode, image_losses, straight_lines
from vaebench.evaluation.interval import Interval, mean_interval
from vaebench.evaluation.latent_units import active_units, unit_kl
from vaebench.evaluation.legibility import legibility_threshold, legible, path_ends
from vaebench.evaluation.likelihood import PIXELS, effective_beta, importance_weighted_bound, negative_elbo
from vaebench.evaluation.panel import Readings, read
from vaebench.evaluation.pictures import Pictures
from vaebench.evaluation.probes import neighbour_hits, probe_hits
from vaebench.evaluation.projection import project
from vaebench.evaluation.quality import sample_quality, share
from vaebench.models.classifier import Classifier
from vaebench.models.losses import Losses, squared_error
from vaebench.models.vae import VAE

SHOWN_DIGITS = 15  # as in the report
SHOWN_SAMPLES = 64  # an 8×8 grid
# Seven and nine are the pair that the report found overlapping.
INTERPOLATED = ((7, 9), (3, 8), (1, 4), (0, 6), (2, 5))
STEPS = 11  # images on an interpolation path, its ends among them
PCA_CHUNK = 5_000  # images turned at once
TRAINED_VARIANCE = 0.5  # σ² of the Gaussian decoder whose negative ELBO the report's loss is

UNLIMITED, SHARE = Interval(-math.inf, math.inf), Interval(0.0, 1.0)

Scores = dict[str, float]  # by name


@dataclass(frozen=True)
class Draws:
    """How many draws stand behind the scores."""

    samples: int  # images decoded from N(0, I), at least 64
    bootstrap: int  # resamples behind the inception score's interval
    paths: int  # interpolations between test digits
    likelihood_images: int  # test images of the likelihood bounds, drawn; all where there are fewer
    likelihood_draws: int  # its k


@dataclass(frozen=True)
class Judge:
    """Who scores, by what, on which digits."""

    panel: Sequence[Classifier]  # on the device of `workers`
    dataset: Dataset
    draws: Draws
    seed: int  # of every draw
    workers: Workers
    say: Callable[[str], None]  # is told what begins

    def read(self, images: Tensor) -> Readings:
        """Let the panel read `images` (N, 1, 28, 28)."""
        return read(self.panel, images, self.workers)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` finds."""

    vae: Scores  # those that apply; losses without a prefix are those of the training set
    pca: Scores  # of as many principal components
    kl_spectrum: Tensor | None  # (latent_dim,), nats, mean over test images; of a plain autoencoder, none
    active: Tensor  # (latent_dim,), bool
    confusion: Tensor  # (10, 10), int64; row: true digit, column: the panel's reading of its reconstruction
    # (10, 10), float64; row: digit of a point, column: expected share of each digit there. Likewise.
    overlap: Tensor | None
    pictures: Pictures


@dataclass(frozen=True)
class References:
    """What `evaluate_references` finds."""

    inception_score_ceiling: float  # of images read surely, as frequent as the test digits
    panel: Scores  # how well the panel as one reads the test digits
    confusion: Tensor  # (10, 10), int64; row: true digit, column: what the panel reads
    test_images: Scores  # compared with as many training images
    pixel_noise: Scores  # compared with the test images, as the models are


@dataclass(frozen=True)
class _Autoencoder:
    """What VAE and PCA have in common: the latents of both sets, and the way back from there or N(0, I)."""

    train_latents: Tensor  # (N, latent_dim), of the training images
    latents: Tensor  # (M, latent_dim), of the test images
    decode: Callable[[Tensor], Tensor]  # (N, latent_dim) → (N, 1, 28, 28) in [0, 1]


@dataclass(frozen=True)
class _Examined:
    """The scores that every autoencoder has, and the images behind them."""

    scores: Scores
    samples: Tensor  # (N, 1, 28, 28), decoded from N(0, I)
    sample_readings: Readings
    reconstructions: Tensor  # (M, 1, 28, 28), of the test images
    confusion: Tensor  # (10, 10)


def evaluate(vae: VAE, judge: Judge) -> Evaluation:
    """Score `vae`, and the PCA of as many components.

    A score that does not apply is left out: without a posterior, all that KL or a density is part of; of a
    decoder that is no Gaussian, the density of greys.

    Args:
        vae: the model, on the device of the judge's workers.
        judge: who scores.
    """
    dataset, draws, workers = judge.dataset, judge.draws, judge.workers
    test = dataset.test
    generator = Generator().manual_seed(judge.seed)
    judge.say("losses")
    sets = (dataset.train.images, test.images)
    posteriors = [encode(vae, images, workers) for images in sets]
    train_terms, test_terms = (
        image_losses(vae, images, posterior, generator, workers)
        for images, posterior in zip(sets, posteriors, strict=True)
    )
    train_losses, test_losses = (Losses(*terms.mean(0).tolist()) for terms in (train_terms, test_terms))
    mse = train_losses.reconstruction_loss / PIXELS

    train_posterior, posterior = posteriors
    model = _Autoencoder(train_posterior.mean, posterior.mean, lambda latents: decode(vae, latents, workers))
    known = judge.read(test.images)
    examined = _examine(model, judge, known, generator)

    scores = {**train_losses.named(), **test_losses.named("test_")}
    stochastic = vae.likelihood != "none"
    if stochastic:
        low, high = mean_interval(test_terms.sum(1))
        scores |= {"test_combined_loss_low": low, "test_combined_loss_high": high}
    scores |= {"mse": mse}
    if vae.likelihood == "gaussian":
        judge.say("likelihood")
        images = test.images[_drawn(len(test), judge)]
        variances = {"nll_bound": TRAINED_VARIANCE, "nll_bound_fitted": mse}
        bounds = importance_weighted_bound(
            vae, images, list(variances.values()), draws.likelihood_draws, generator, workers
        )
        scores |= {
            "effective_beta": effective_beta(mse),
            "negative_elbo": negative_elbo(test_losses, TRAINED_VARIANCE),
            "negative_elbo_fitted": negative_elbo(test_losses, mse),
        }
        for name, bound in zip(variances, bounds, strict=True):
            scores |= {**_mean(name, bound.nll), f"{name}_mc_error": bound.mc_error}
    scores |= examined.scores

    judge.say("latent space")
    active = active_units(posterior.mean)
    spectrum, overlap = None, None
    if stochastic:
        noise = torch.randn(len(test), vae.latent_dim, generator=generator)
        aggregate = aggregate_posterior(posterior, test.labels, noise)
        spectrum, overlap = unit_kl(*posterior), aggregate.overlap
        scores |= {
            "class_overlap": float(1 - overlap.diagonal()[test.labels.unique()].mean()),
            "kl_per_unit": float(spectrum.mean()),
        }
    scores |= {"active_units": float(active.sum())}
    if stochastic:
        scores |= {
            "mutual_information": aggregate.mutual_information,
            "marginal_kl": aggregate.marginal_kl,
            "marginal_kl_floor": aggregate.marginal_kl_floor,
        }
    return Evaluation(
        scores,
        _evaluate_pca(vae.latent_dim, judge, known),
        spectrum,
        active,
        examined.confusion,
        overlap,
        _pictures(model, examined, test, known),
    )


def evaluate_references(judge: Judge) -> References:
    """Score real test images and pixel noise by what scores the models."""
    train, test = judge.dataset.train, judge.dataset.test
    generator = Generator().manual_seed(judge.seed)
    judge.say("real images")
    readings = judge.read(test.images)
    compared = torch.randperm(len(train), generator=generator)[: len(test)]
    known = judge.read(train.images[compared])
    judge.say("pixel noise")
    noise = judge.read(pixel_noise(judge.draws.samples, generator))
    threshold = legibility_threshold(readings.consensus, test.labels)
    bootstrap = judge.draws.bootstrap

    def quality(images: Readings, reference: Readings) -> Scores:
        return sample_quality(
            images, reference, threshold=threshold, bootstrap=bootstrap, generator=generator
        )

    # As if each image were its own reconstruction: what a perfect model would reach.
    reading_right = share("reconstruction_accuracy", readings.digits == test.labels)
    return References(
        attainable_score(test.labels),
        {
            "test_accuracy": reading_right["reconstruction_accuracy"],
            "expected_calibration_error": expected_calibration_error(readings.consensus, test.labels),
        },
        confusion_matrix(test.labels, readings.digits),
        {**quality(readings, known), **reading_right},
        quality(noise, readings),
    )


def _evaluate_pca(components: int, judge: Judge, known: Readings) -> Scores:
    train, test = judge.dataset.train, judge.dataset.test
    judge.say(f"{components} principal components")
    pca = PrincipalComponents(train.images, components)

    # In chunks: float64 copies of all training images would take a gigabyte.
    chunks = train.images.split(PCA_CHUNK)
    encoded = [pca.encode(chunk) for chunk in chunks]
    model = _Autoencoder(torch.cat(encoded), pca.encode(test.images), pca.decode)
    examined = _examine(model, judge, known, Generator().manual_seed(judge.seed))
    errors = [squared_error(*pair) for pair in zip(chunks, map(pca.decode, encoded), strict=True)]
    train_error = torch.cat(errors).double().mean()
    test_error = examined.scores["test_reconstruction_loss_at_mean"]
    return {
        "reconstruction_loss": float(train_error),
        "test_reconstruction_loss": test_error,  # nothing is sampled
        "mse": float(train_error) / PIXELS,
        **_mean("nll_bound_fitted", pca.negative_log_likelihood(test.images[_drawn(len(test), judge)])),
        **examined.scores,
    }


def _examine(model: _Autoencoder, judge: Judge, known: Readings, generator: Generator) -> _Examined:
    """Score `model`; `known` are the panel's readings of the test images."""
    train, test, draws = judge.dataset.train, judge.dataset.test, judge.draws
    judge.say("samples")
    threshold = legibility_threshold(known.consensus, test.labels)
    latents = model.latents
    samples = model.decode(torch.randn(draws.samples, latents.shape[1], generator=generator))
    readings = judge.read(samples)
    quality = sample_quality(
        readings, known, threshold=threshold, bootstrap=draws.bootstrap, generator=generator
    )

    judge.say("reconstructions and paths between them")
    reconstructions = model.decode(latents)
    read_as = judge.read(reconstructions).digits
    ends = latents[path_ends(test.labels, draws.paths, generator)]
    inner = straight_lines(ends, STEPS)[:, 1:-1]
    path_images = model.decode(inner.flatten(0, 1))
    legible_on_paths = legible(judge.read(path_images).consensus, threshold).unflatten(0, inner.shape[:2])

    judge.say("digits in the latent space")
    points = (model.train_latents, train.labels, latents, test.labels)
    path_shares = legible_on_paths.double().mean(1)  # the images of a path are alike: it counts as one
    scores = {
        **_mean("test_reconstruction_loss_at_mean", squared_error(test.images, reconstructions).double()),
        **quality,
        **_mean("legible_path_share", path_shares, SHARE),
        **share("reconstruction_accuracy", read_as == test.labels),
        **share("knn_accuracy", neighbour_hits(*points)),
        **share("probe_accuracy", probe_hits(*points)),
    }
    confusion = confusion_matrix(test.labels, read_as)
    return _Examined(scores, samples, readings, reconstructions, confusion)


def _pictures(model: _Autoencoder, examined: _Examined, test: Images, known: Readings) -> Pictures:
    ends = _first_of_each(test)[torch.tensor(INTERPOLATED)]
    lines = straight_lines(model.latents[ends], STEPS)
    projection = project(model.latents)
    consensus = examined.sample_readings.consensus
    return Pictures(
        originals=_pixels(test.images[:SHOWN_DIGITS]),
        reconstructions=_pixels(examined.reconstructions[:SHOWN_DIGITS]),
        original_labels=_digits(test.labels[:SHOWN_DIGITS]),
        samples=_pixels(examined.samples[:SHOWN_SAMPLES]),
        interpolations=_pixels(model.decode(lines.flatten(0, 1)).unflatten(0, lines.shape[:2])),
        interpolation_labels=_digits(test.labels[ends]),
        latent=projection.points.numpy(),
        labels=_digits(test.labels),
        explained_variance=projection.explained_variance.numpy(),
        latent_centre=projection.centre.numpy(),
        latent_axes=projection.axes.numpy(),
        probabilities=consensus[:SHOWN_SAMPLES].float().numpy(),
        marginal=consensus.mean(0).float().numpy(),
        test_marginal=known.consensus.mean(0).float().numpy(),
        confusion=examined.confusion.numpy(),
    )


def _drawn(count: int, judge: Judge) -> Tensor:
    """Return which test images likelihoods are of; the first of MNIST's would be easier than the rest."""
    order = torch.randperm(count, generator=Generator().manual_seed(judge.seed))
    return order[: judge.draws.likelihood_images]


def _mean(name: str, values: Tensor, limits: Interval = UNLIMITED) -> Scores:
    low, high = mean_interval(values)
    ends = {f"{name}_low": max(low, limits.low), f"{name}_high": min(high, limits.high)}
    return {name: float(values.mean()), **ends}


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
