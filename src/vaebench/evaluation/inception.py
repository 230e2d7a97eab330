"""The inception score: does a classifier read each image surely, and all digits equally often?

Salimans et al., Improved Techniques for Training GANs, 2016, with a digit classifier in place of Inception.
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vaebench.evaluation.interval import Interval

DRAWS_AT_ONCE = 1_000_000  # bounds the memory of the bootstrap
MANTISSA = 53  # bits of a float64


class Entropies(NamedTuple):
    """The two terms of ln(inception score) = label entropy − conditional entropy, in nats."""

    label: float  # H(y) of the marginal, 0 to ln 10: diversity
    conditional: float  # mean H(y|x), 0 to ln 10: the lower, the more surely images are read


def inception_score(probabilities: Tensor) -> float:
    """Return exp(mean KL(p(y|x) ‖ p(y))), between 1 and the number of classes.

    1 where all images read alike (a collapsed generator), and 10 where every image is read surely and the ten
    digits come equally often.

    Args:
        probabilities: p(y|x) of each image, (N, 10), float64.
    """
    return float(_divergences(probabilities).mean().exp())


def mean_exponential_score(probabilities: Tensor) -> float:
    """Return mean exp(KL(p(y|x) ‖ p(y))), the report's variant; never below the inception score.

    Args:
        probabilities: p(y|x) of each image, (N, 10), float64.
    """
    return float(_divergences(probabilities).exp().mean())


def entropies(probabilities: Tensor) -> Entropies:
    """Return what the inception score is made of: exp(label − conditional).

    Args:
        probabilities: p(y|x) of each image, (N, 10), float64.
    """
    marginal = torch.special.entr(probabilities.mean(0)).sum()
    return Entropies(float(marginal), float(torch.special.entr(probabilities).sum(1).mean()))


def attainable_score(labels: Tensor) -> float:
    """Return exp(H(y)) of the digits `labels` (N,): the score of images read surely that come as often.

    On MNIST's test set 9.98 and not 10, as its digits are not equally frequent.
    """
    shares = torch.bincount(labels).double() / len(labels)
    return float(torch.special.entr(shares).sum().exp())


def bootstrap_interval(probabilities: Tensor, resamples: int, generator: Generator) -> Interval:
    """Return the percentile interval of a panel's mean inception score over resamples of the images.

    It says how the score would vary with other images of the same generator, not with other classifiers.
    Resamples repeat images and so are less even, by about 9/2N nats: nothing for 10,000 images, but a hundred
    may score above their own interval.

    Args:
        probabilities: each classifier's p(y|x) of each image, (C, N, 10), float64.
        resamples: how many times N images are drawn with replacement; all classifiers read the same.
        generator: the draws come from it.
    """
    classifiers, count, _ = probabilities.shape
    # The mean KL is the entropy of the marginal less the mean entropy: both are means over images, so that a
    # resample is a row of counts.
    entropy = torch.special.entr(probabilities).sum(2, keepdim=True)
    terms = torch.cat([probabilities, entropy], dim=2).transpose(0, 1).flatten(1)
    # Each term is below 4. In two parts, on grids so coarse that every sum of `count` of them is exact, the
    # matrix product does not depend on the order that it takes them in, which is one of the threads.
    grid = 2.0 ** (MANTISSA - 2 - math.ceil(math.log2(count)))
    coarse = (terms * grid).round()
    fine = ((terms * grid - coarse) * grid).round()
    scores = []
    at_once = max(1, DRAWS_AT_ONCE // count)
    for done in range(0, resamples, at_once):
        draws = torch.randint(count, (min(at_once, resamples - done), count), generator=generator)
        counts = torch.zeros(draws.shape, dtype=torch.float64)
        counts.scatter_add_(1, draws, torch.ones_like(draws, dtype=torch.float64))
        means = ((counts @ coarse + counts @ fine / grid) / (count * grid)).unflatten(1, (classifiers, -1))
        divergences = torch.special.entr(means[..., :-1]).sum(2) - means[..., -1]
        scores.append(divergences.exp().mean(1))
    low, high = torch.cat(scores).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(low, high)


def _divergences(probabilities: Tensor) -> Tensor:
    """Return KL(p(y|x) ‖ p(y)) of each image in nats: (N,), finite where a class has no probability."""
    marginal = probabilities.mean(0)
    return (torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, marginal)).sum(1)
