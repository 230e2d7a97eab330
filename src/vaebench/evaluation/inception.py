"""The inception score: does a classifier read each image surely, and all digits equally often?

Salimans et al., Improved Techniques for Training GANs, 2016, with a digit classifier in place of Inception.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

DRAWS_AT_ONCE = 1_000_000  # bounds the memory of the bootstrap


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


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


def bootstrap_interval(probabilities: Tensor, resamples: int, generator: Generator) -> Interval:
    """Return the percentile interval of the inception score over resamples of the images.

    It says how the score would vary with other images of the same generator, not with another classifier.
    Resamples repeat images and so are less even, by about 9/2N nats: nothing for 10,000 images, but a hundred
    may score above their own interval.

    Args:
        probabilities: p(y|x) of each image, (N, 10), float64.
        resamples: how many times N images are drawn with replacement.
        generator: the draws come from it.
    """
    count = len(probabilities)
    # The mean KL is the entropy of the marginal less the mean entropy: both are means over images, so that a
    # resample is a row of counts.
    entropy = torch.special.entr(probabilities).sum(1, keepdim=True)
    terms = torch.cat([probabilities, entropy], dim=1)
    scores = []
    at_once = max(1, DRAWS_AT_ONCE // count)
    for done in range(0, resamples, at_once):
        draws = torch.randint(count, (min(at_once, resamples - done), count), generator=generator)
        counts = torch.zeros(draws.shape, dtype=torch.float64)
        counts.scatter_add_(1, draws, torch.ones_like(draws, dtype=torch.float64))
        means = counts @ terms / count
        scores.append((torch.special.entr(means[:, :-1]).sum(1) - means[:, -1]).exp())
    low, high = torch.cat(scores).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(low, high)


def _divergences(probabilities: Tensor) -> Tensor:
    """Return KL(p(y|x) ‖ p(y)) of each image in nats: (N,), finite where a class has no probability."""
    marginal = probabilities.mean(0)
    return (torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, marginal)).sum(1)
