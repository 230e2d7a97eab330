"""The aggregated posterior: torch.distributions point by point, and cases that can be reckoned."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from vaebench.evaluation import aggregate_posterior as module
from vaebench.evaluation.aggregate_posterior import AggregatePosterior, aggregate_posterior
from vaebench.models.posterior import Posterior


class Case(NamedTuple):
    posterior: Posterior
    labels: Tensor
    noise: Tensor

    def picked(self, rows: Tensor) -> "Case":
        mean, log_var = self.posterior
        return Case(Posterior(mean[rows], log_var[rows]), self.labels[rows], self.noise[rows])


def random_case(count: int, latent_dim: int, *, deviation: float = 0.5, spread: float = 1.0) -> Case:
    """Posteriors of about that standard deviation, their means that far apart; labels are drawn apart."""
    generator = Generator().manual_seed(0)
    mean = spread * torch.randn(count, latent_dim, generator=generator)
    log_var = 2 * math.log(deviation) + 0.5 * torch.randn(count, latent_dim, generator=generator)
    labels = torch.randint(10, (count,), generator=generator)
    return Case(Posterior(mean, log_var), labels, torch.randn(count, latent_dim, generator=generator))


def same_posteriors(labels: Tensor, latent_dim: int = 3, *, mean: float = 0.0, log_var: float = 0.0) -> Case:
    shape = (len(labels), latent_dim)
    posterior = Posterior(torch.full(shape, mean), torch.full(shape, log_var))
    return Case(posterior, labels, torch.randn(shape, generator=Generator().manual_seed(0)))


def by_torch(case: Case) -> AggregatePosterior:
    (mean, log_var), labels, noise = case
    count = len(labels)
    normals = Independent(Normal(mean.double(), torch.exp(0.5 * log_var.double())), 1)
    points = mean.double() + torch.exp(0.5 * log_var.double()) * noise.double()
    log_densities = normals.log_prob(points[:, None])  # (point, posterior)
    log_own = log_densities.diagonal()
    log_marginal = log_densities.logsumexp(1) - math.log(count)
    log_prior = MultivariateNormal(
        points.new_zeros(points.shape[1]), torch.eye(points.shape[1]).double()
    ).log_prob(points)
    others = log_densities.masked_fill(torch.eye(count, dtype=torch.bool), -math.inf)
    floor = (others.logsumexp(1) - math.log(count - 1) - log_prior).mean().item()
    shares = others.softmax(1)
    overlap = torch.zeros(10, 10, dtype=torch.float64)
    for a in range(10):
        for b in range(10):
            if (labels == a).any():
                overlap[a, b] = shares[labels == a][:, labels == b].sum(1).mean()
    return AggregatePosterior(
        (log_own - log_marginal).mean().item(),
        (log_marginal - log_prior).mean().item(),
        max(0.0, floor),
        overlap,
    )


def assert_same(found: AggregatePosterior, expected: AggregatePosterior, tolerance: float = 1e-9) -> None:
    assert found[:3] == pytest.approx(expected[:3], rel=tolerance, abs=tolerance)
    torch.testing.assert_close(found.overlap, expected.overlap, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("deviation", [1e-3, 0.05, 1.0])
@pytest.mark.parametrize(("count", "latent_dim"), [(2, 1), (30, 2), (300, 5), (300, 30)])
def test_result_is_that_of_torch(count: int, latent_dim: int, deviation: float) -> None:
    """Also where posteriors are small, and the products behind a density are of large numbers."""
    case = random_case(count, latent_dim, deviation=deviation)
    assert_same(aggregate_posterior(*case), by_torch(case))


def test_neighbours_on_the_scale_of_tiny_posteriors() -> None:
    """A few tiny posteriors' widths apart and far from zero: where digits cancel."""
    (mean, log_var), labels, noise = random_case(200, 10, deviation=1e-4, spread=1e-4)
    case = Case(Posterior(mean + 3, log_var), labels, noise)
    assert_same(aggregate_posterior(*case), by_torch(case), tolerance=1e-6)


@pytest.mark.parametrize("block", [1, 7, 299, 300, 1000])
def test_blocks_do_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(300, 4)
    expected = aggregate_posterior(*case)
    monkeypatch.setattr(module, "BLOCK", block)
    assert_same(aggregate_posterior(*case), expected, tolerance=1e-12)


def test_order_does_not_matter() -> None:
    case = random_case(300, 4)
    order = torch.randperm(300, generator=Generator().manual_seed(1))
    assert_same(aggregate_posterior(*case.picked(order)), aggregate_posterior(*case), tolerance=1e-12)


def test_parts_sum_to_the_sampled_kl() -> None:
    case = random_case(2000, 8)
    found = aggregate_posterior(*case)
    (mean, log_var), _, noise = case
    normal = Normal(mean.double(), torch.exp(0.5 * log_var.double()))
    points = mean.double() + normal.stddev * noise.double()
    sampled = (normal.log_prob(points) - Normal(0.0, 1.0).log_prob(points)).sum(1)
    assert found.mutual_information + found.marginal_kl == pytest.approx(sampled.mean().item(), rel=1e-12)
    exact = kl_divergence(normal, Normal(0, 1)).sum(1).mean().item()
    error = sampled.std().item() / 2000**0.5  # more than that of the draws alone
    assert found.mutual_information + found.marginal_kl == pytest.approx(exact, abs=3 * error)


# Cases known beforehand.


def test_posteriors_that_are_the_prior_tell_nothing() -> None:
    found = aggregate_posterior(*same_posteriors(torch.arange(10).repeat(50)))
    assert found[:3] == pytest.approx((0, 0, 0), abs=1e-12)


def test_same_posteriors_overlap_as_often_as_digits_occur() -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [7] * 10)
    found = aggregate_posterior(*same_posteriors(labels, mean=0.7, log_var=-1.0))
    assert found.mutual_information == pytest.approx(0, abs=1e-12)
    counts = torch.bincount(labels, minlength=10).double()
    # Of the 99 other images.
    expected = (counts.expand(10, 10) - torch.eye(10)) / 99 * (counts > 0)[:, None]
    torch.testing.assert_close(found.overlap, expected, rtol=0, atol=1e-12)


def test_marginal_of_one_gaussian_is_its_kl() -> None:
    case = same_posteriors(torch.zeros(4000, dtype=torch.int64), 2, mean=0.7, log_var=-1.0)
    found = aggregate_posterior(*case)
    expected = 2 * kl_divergence(Normal(0.7, math.exp(-0.5)), Normal(0.0, 1.0)).item()
    assert found.marginal_kl == pytest.approx(expected, abs=0.05)
    assert found.marginal_kl_floor == pytest.approx(found.marginal_kl, abs=1e-9)


def test_gaussian_data_under_a_linear_encoder() -> None:
    """x ~ N(0, 1), z = a·x + noise: q(z) is the prior, and I(x; z) = −½ ln(1 − a²) a dimension."""
    count, a = 4000, 0.8
    generator = Generator().manual_seed(0)
    mean = a * torch.randn(count, 2, generator=generator)
    log_var = torch.full((count, 2), math.log(1 - a**2))
    noise = torch.randn(count, 2, generator=generator)
    found = aggregate_posterior(Posterior(mean, log_var), torch.zeros(count, dtype=torch.int64), noise)
    assert found.mutual_information == pytest.approx(-math.log(1 - a**2), abs=0.03)
    assert found.marginal_kl == pytest.approx(0, abs=0.03)
    assert found.marginal_kl_floor <= found.marginal_kl


@pytest.mark.parametrize("count", [2, 10, 700])
def test_cap_of_the_mutual_information_is_reached_by_posteriors_apart(count: int) -> None:
    case = random_case(count, 5, deviation=1e-5)
    found = aggregate_posterior(*case)
    assert found.mutual_information == pytest.approx(math.log(count), rel=1e-12)
    assert found.marginal_kl_floor == 0  # more images may well fill what lies between these
    for deviation in (0.01, 0.1, 0.3, 1.0):
        case = random_case(count, 5, deviation=deviation)
        assert aggregate_posterior(*case).mutual_information < math.log(count) + 1e-12  # but for rounding


def test_floor_and_marginal_kl_close_in_on_that_of_more_images() -> None:
    case = random_case(4000, 3, deviation=0.15, spread=0.5)
    found = [aggregate_posterior(*case.picked(torch.arange(count))) for count in (100, 600, 4000)]
    floors, marginals = [each.marginal_kl_floor for each in found], [each.marginal_kl for each in found]
    assert floors == sorted(floors)
    assert marginals == sorted(marginals, reverse=True)
    assert floors[-1] < marginals[-1] < floors[-1] + 0.2


def test_digits_apart_do_not_overlap() -> None:
    labels = torch.arange(10).repeat(20)
    generator = Generator().manual_seed(0)
    mean = 50.0 * labels[:, None] + torch.randn(200, 3, generator=generator)
    noise = torch.randn(200, 3, generator=generator)
    found = aggregate_posterior(Posterior(mean, torch.zeros(200, 3)), labels, noise)
    torch.testing.assert_close(found.overlap, torch.eye(10, dtype=torch.float64))


def test_own_posterior_does_not_vouch_for_the_digit() -> None:
    """Every image has a twin of the other digit, and posteriors are tiny: all a point has is its twin."""
    mean = torch.randn(100, 30, generator=Generator().manual_seed(0)).repeat(2, 1)
    labels = torch.tensor([7] * 100 + [9] * 100)
    noise = torch.randn(200, 30, generator=Generator().manual_seed(1))
    found = aggregate_posterior(Posterior(mean, torch.full((200, 30), -10.0)), labels, noise)
    assert found.overlap[7, 9] == pytest.approx(1)
    assert found.overlap[9, 7] == pytest.approx(1)
    assert found.mutual_information == pytest.approx(math.log(100))  # 200 images, each there twice


def test_rows_are_shares_and_a_missing_digit_has_none() -> None:
    case = random_case(500, 2)
    present = case.labels != 4
    overlap = aggregate_posterior(*case.picked(present)).overlap
    assert (overlap.shape, overlap.dtype) == ((10, 10), torch.float64)
    assert overlap.isfinite().all()
    assert overlap.sum(1).tolist() == pytest.approx([1.0] * 4 + [0.0] + [1.0] * 5)
    assert overlap[:, 4].tolist() == [0] * 10


def test_digit_seen_once_belongs_to_the_others() -> None:
    case = random_case(50, 2)
    labels = torch.zeros(50, dtype=torch.int64)
    labels[0] = 3
    overlap = aggregate_posterior(case.posterior, labels, case.noise).overlap
    assert overlap[3, 0] == pytest.approx(1)
    assert overlap[3, 3] == 0
