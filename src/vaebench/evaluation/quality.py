"""How good generated images are, by a panel of classifiers: one set of scores for models and references."""

from collections.abc import Sequence
from statistics import mean, stdev

import torch
from torch import Generator, Tensor

from vaebench.evaluation.frechet import frechet_distance, frechet_interval, moments
from vaebench.evaluation.inception import (
    bootstrap_interval,
    entropies,
    inception_score,
    mean_exponential_score,
)
from vaebench.evaluation.interval import Interval, mean_interval, share_interval
from vaebench.evaluation.kernel import kernel_distance
from vaebench.evaluation.legibility import legible
from vaebench.evaluation.manifold import manifold
from vaebench.evaluation.panel import Readings


def sample_quality(
    generated: Readings, reference: Readings, *, threshold: float, bootstrap: int, generator: Generator
) -> dict[str, float]:
    """Return every score of generated images, by name.

    A score without a suffix is the mean over the panel's classifiers; `_spread` is the standard deviation
    between them, and `_low` and `_high` hold its 95 % interval over images. Where each classifier has an
    interval of its own (fid, kid), theirs are averaged: wider than that of the mean, never narrower. Those of
    precision and density are over the generated images, those of recall and coverage over the real ones; with
    other images of the other set they would vary more, by a quarter to a half. The kernel of kid is cubic in
    the features: its mean is mostly that of the classifier with the largest.

    Args:
        generated: the panel's readings of the images to score.
        reference: those of the real images to compare with.
        threshold: the confidence that makes an image legible.
        bootstrap: resamples behind the inception score's interval.
        generator: they are drawn from it.
    """
    probabilities = generated.probabilities
    interval = bootstrap_interval(probabilities, bootstrap, generator)
    parts = [entropies(member) for member in probabilities]
    return {
        **_scores("inception_score", [inception_score(member) for member in probabilities], interval),
        "inception_score_mean_exp": mean(mean_exponential_score(member) for member in probabilities),
        "label_entropy": mean(part.label for part in parts),
        "conditional_entropy": mean(part.conditional for part in parts),
        **_distances(generated.features, reference.features),
        **share("legible_share", legible(generated.consensus, threshold)),
    }


def share(name: str, hits: Tensor) -> dict[str, float]:
    """Return the share of true `hits` (N,) and its interval, by name."""
    low, high = share_interval(int(hits.sum()), len(hits))
    return {name: float(hits.double().mean()), f"{name}_low": low, f"{name}_high": high}


def _distances(generated: Tensor, reference: Tensor) -> dict[str, float]:
    """Score features (C, N, 128) against others (C, M, 128)."""
    pairs = list(zip(reference, generated, strict=True))
    real = [moments(features) for features in reference]
    fids = [
        frechet_distance(known, moments(features)) for known, features in zip(real, generated, strict=True)
    ]
    fid_intervals = [
        frechet_interval(known, features) for known, features in zip(real, generated, strict=True)
    ]
    kids = [kernel_distance(*pair) for pair in pairs]
    manifolds = [manifold(*pair) for pair in pairs]
    scores = {
        **_scores("fid", fids, _average(fid_intervals)),
        **_scores("kid", [kid.value for kid in kids], _average([kid.interval for kid in kids])),
    }
    for name in ("precision", "recall", "density", "coverage"):
        values = torch.stack([getattr(each, name) for each in manifolds])
        low, high = mean_interval(values.mean(0))
        interval = Interval(max(low, 0.0), high if name == "density" else min(high, 1.0))
        scores |= _scores(name, values.mean(1).tolist(), interval)
    return scores


def _scores(name: str, by_classifier: Sequence[float], interval: Interval) -> dict[str, float]:
    return {
        name: mean(by_classifier),
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
        f"{name}_spread": stdev(by_classifier) if len(by_classifier) > 1 else 0.0,
    }


def _average(intervals: Sequence[Interval]) -> Interval:
    return Interval(mean(each.low for each in intervals), mean(each.high for each in intervals))
