"""The KL of each unit and whether it is active, against torch.distributions and NumPy."""

import math

import numpy as np
import pytest
import torch
from torch import Generator
from torch.distributions import Normal, kl_divergence

from vaebench.evaluation.latent_units import active_units, unit_kl
from vaebench.models import losses
from vaebench.models.posterior import Posterior


def posterior(count: int, latent_dim: int) -> Posterior:
    return Posterior(*torch.randn(2, count, latent_dim, generator=Generator().manual_seed(0)))


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize(("count", "latent_dim"), [(1, 1), (1, 5), (777, 30)])
def test_spectrum_is_that_of_torch_and_sums_to_the_kl_loss(count: int, latent_dim: int) -> None:
    mean, log_var = posterior(count, latent_dim)
    spectrum = unit_kl(mean, log_var)
    assert (spectrum.shape, spectrum.dtype) == ((latent_dim,), torch.float64)
    oracle = kl_divergence(Normal(mean.double(), torch.exp(0.5 * log_var.double())), Normal(0, 1)).mean(0)
    assert spectrum.tolist() == pytest.approx(oracle.tolist(), rel=1e-12)
    assert spectrum.sum().item() == pytest.approx(losses.kl_divergence(mean, log_var).mean().item(), rel=1e-5)


def test_unit_that_is_the_prior_costs_nothing() -> None:
    assert unit_kl(torch.zeros(3, 2), torch.zeros(3, 2)).tolist() == [0, 0]
    # So close to the prior, it is mean²/2 + log_var²/4; float32 would lose it.
    nearly = unit_kl(torch.tensor([[1e-5, 0.0]]), torch.tensor([[0.0, 1e-5]]))
    assert nearly.tolist() == pytest.approx([0.5e-10, 0.25e-10], rel=1e-4)


def test_sharper_units_cost_more() -> None:
    log_var = torch.tensor([[0.0, -1.0, -2.0, -8.0]])
    spectrum = unit_kl(torch.zeros(1, 4), log_var).tolist()
    assert spectrum == sorted(spectrum)
    assert spectrum[3] == pytest.approx(0.5 * (math.exp(-8) + 7), rel=1e-6)


def test_active_units_are_those_of_numpy() -> None:
    scales = torch.linspace(0.02, 0.2, 40)
    mean = scales * torch.randn(500, 40, generator=Generator().manual_seed(0)) + 3
    active = active_units(mean)
    assert (active.shape, active.dtype) == ((40,), torch.bool)
    assert active.tolist() == (np.var(mean.double().numpy(), axis=0) > 0.01).tolist()
    assert 0 < active.sum() < 40


def test_threshold_is_of_the_variance() -> None:
    mean = torch.tensor([[-0.3, -0.05], [0.3, 0.05]])  # variances 0.09 and 0.0025
    assert active_units(mean).tolist() == [True, False]
    assert active_units(mean, threshold=0.1).tolist() == [False, False]
    assert active_units(mean, threshold=0.001).tolist() == [True, True]


def test_collapsed_units_are_not_active_wherever_they_are() -> None:
    mean, _ = posterior(50, 3)
    mean[:, 1] = 1000.1
    assert active_units(mean).tolist() == [True, False, True]
    assert active_units(mean[:1]).tolist() == [False] * 3  # one image
    assert active_units(mean[:1].expand(20, 3)).tolist() == [False] * 3  # all the same
