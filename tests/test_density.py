"""The mixture of Gaussians fitted to codes, against closed forms and scikit-learn."""

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal

from vaebench.evaluation.density import Mixture, fit_mixture


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes() -> Tensor:
    """Two clouds, far apart, of different shape: three quarters of the points in the first."""
    points = torch.randn(2000, 3, generator=seeded(1)).double()
    first = points[:1500] @ torch.tensor([[0.5, 0.0, 0.0], [0.4, 0.2, 0.0], [0.0, 0.0, 1.0]]).double() + 4
    return torch.cat([first, points[1500:] * 0.3 - 4])[torch.randperm(2000, generator=seeded(2))].float()


def test_clouds_are_found(codes: Tensor) -> None:
    found = fit_mixture(codes, seeded(), components=2)
    order = found.weights.argsort(descending=True)
    assert found.weights[order].tolist() == pytest.approx([0.75, 0.25], abs=1e-6)
    for place, mask in zip(order, (codes[:, 0] > 0, codes[:, 0] < 0), strict=True):
        cloud = codes[mask].double()
        torch.testing.assert_close(found.means[place], cloud.mean(0), rtol=0, atol=1e-4)
        covariance = found.factors[place] @ found.factors[place].T
        torch.testing.assert_close(covariance, cloud.T.cov(correction=0), rtol=0, atol=1e-4)


def test_samples_have_the_moments_of_the_codes(codes: Tensor) -> None:
    samples = fit_mixture(codes, seeded(), components=2).sample(40_000, seeded(3))
    assert samples.dtype == torch.float32
    torch.testing.assert_close(samples.mean(0), codes.mean(0), rtol=0, atol=0.06)
    torch.testing.assert_close(samples.T.cov(), codes.T.cov(), rtol=0.03, atol=0.05)


def test_density_is_scikit_learns(codes: Tensor) -> None:
    found = fit_mixture(codes, seeded(), components=3)
    other = GaussianMixture(3)
    other.weights_, other.means_ = found.weights.numpy(), found.means.numpy()
    inverse = torch.linalg.solve_triangular(found.factors, torch.eye(3).double().expand(3, 3, 3), upper=False)
    other.precisions_cholesky_ = inverse.mT.numpy()
    points = codes[:50].double() * 1.1
    expected = torch.from_numpy(other.score_samples(points.numpy()))
    torch.testing.assert_close(found.log_density(points), expected)


def test_one_component_is_the_gaussian_of_the_codes(codes: Tensor) -> None:
    found = fit_mixture(codes, seeded(), components=1)
    wide = codes.double()
    oracle = MultivariateNormal(wide.mean(0), wide.T.cov(correction=0))
    torch.testing.assert_close(found.log_density(codes), oracle.log_prob(wide), rtol=1e-4, atol=1e-4)


def test_better_fit_gives_held_out_codes_more_density(codes: Tensor) -> None:
    train, held_out = codes[:1500], codes[1500:]
    one, two = (fit_mixture(train, seeded(), components=n).log_density(held_out).mean() for n in (1, 2))
    assert two > one + 1
    assert math.isfinite(two)


@pytest.mark.usefixtures("global_rng_untouched")
def test_generator_decides(codes: Tensor) -> None:
    def drawn(seed: int) -> Tensor:
        generator = seeded(seed)
        return fit_mixture(codes, generator).sample(20, generator)

    assert torch.equal(drawn(4), drawn(4))
    assert not torch.equal(drawn(4), drawn(5))


def test_fewer_codes_than_components(codes: Tensor) -> None:
    assert len(fit_mixture(codes[:4], seeded()).weights) == 4


def test_degenerate_codes_are_no_error() -> None:
    """A collapsed dimension: every code is 0 there."""
    codes = torch.randn(200, 2, generator=seeded()) * torch.tensor([1.0, 0.0])
    found = fit_mixture(codes, seeded())
    assert isinstance(found, Mixture)
    assert found.sample(1000, seeded())[:, 1].abs().max() < 0.01
