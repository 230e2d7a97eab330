"""A density fitted to the codes of a trained model, to draw from in place of its prior.

Ghosh et al., From Variational to Deterministic Autoencoders, 2020, section 4: ex-post density estimation.
"""

from dataclasses import dataclass

import torch
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Generator, Tensor

COMPONENTS = 10  # theirs
CODES = 20_000  # that it is fitted to, drawn; all where there are fewer


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians."""

    weights: Tensor  # (C,), float64, sum 1
    means: Tensor  # (C, latent_dim), float64
    factors: Tensor  # (C, latent_dim, latent_dim), float64: lower triangles L, covariance L Lᵀ

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Draw points: (count, latent_dim), float32."""
        component = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator, dtype=torch.float64)
        found: Tensor = self.means[component] + (self.factors[component] @ noise[:, :, None]).squeeze(2)
        return found.float()

    def log_density(self, points: Tensor) -> Tensor:
        """Return ln p of `points` (N, latent_dim), in nats: (N,), float64."""
        components = [
            torch.distributions.MultivariateNormal(mean, scale_tril=factor).log_prob(points.double())
            for mean, factor in zip(self.means, self.factors, strict=True)
        ]
        return torch.logsumexp(torch.stack(components, 1) + self.weights.log(), 1)


def fit_mixture(codes: Tensor, generator: Generator, components: int = COMPONENTS) -> Mixture:
    """Fit a mixture of Gaussians with full covariances by expectation maximisation.

    Args:
        codes: (N, latent_dim), of the training images.
        generator: which codes it is fitted to, and where it starts, come from it.
        components: how many; as many as codes where there are fewer.
    """
    chosen = codes[torch.randperm(len(codes), generator=generator)[:CODES]].double()
    seed = int(torch.randint(2**31, (), generator=generator))
    model = GaussianMixture(min(components, len(chosen)), random_state=seed)
    with threadpool_limits(1):  # sums in an order that no core count changes
        model.fit(chosen.numpy())
    factors = torch.linalg.cholesky(torch.from_numpy(model.covariances_))
    return Mixture(torch.from_numpy(model.weights_), torch.from_numpy(model.means_), factors)
