"""Where to draw latents from, to find how likely an image is: a distribution fitted to its true posterior.

The encoder's q(z|x) is that of the σ² which it was trained for. At another, and wherever it is off, a few of
its draws carry all the weight. Here each image has the Laplace approximation of p(z|x), with the Hessian of
Gauss and Newton: mode z*, precision I + JᵀJ/σ², J the decoder's Jacobian there. (MacKay, Information Theory,
Inference, and Learning Algorithms, 2003, chapter 27.)
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vaebench.device import Workers
from vaebench.models.vae import VAE

DEGREES = 10  # of freedom of Student's t: its tails reach where the approximation does not
ITERATIONS = 8  # of Gauss and Newton; at 30 dimensions more move the bound by less than its error
SHORTER = (1.0, 0.5, 0.2, 0.05)  # shares of a step that are tried
DIFFERENCE = 0.01  # of latents, for the Jacobian; of any proposal the bound is one


class Proposal(NamedTuple):
    """Student's t around the mode of each image's posterior."""

    mode: Tensor  # (N, latent_dim), float64
    factor: Tensor  # (N, latent_dim, latent_dim), float64: lower triangle L, with L Lᵀ the scale matrix

    def sample(self, draws: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw latents (N, draws, latent_dim); return them and ln of their density (N, draws), float64."""
        count, latent_dim = self.mode.shape
        normal = torch.randn(count, draws, latent_dim, generator=generator).double()
        chi_square = torch.randn(count, draws, DEGREES, generator=generator).double().square().sum(2)
        noise = normal / (chi_square / DEGREES).sqrt()[:, :, None]
        latents = self.mode[:, None] + noise @ self.factor.mT
        half = (DEGREES + latent_dim) / 2
        constant = math.lgamma(half) - math.lgamma(DEGREES / 2) - latent_dim / 2 * math.log(DEGREES * math.pi)
        log_volume = self.factor.diagonal(dim1=1, dim2=2).log().sum(1)[:, None]
        return latents, constant - log_volume - half * torch.log1p(noise.square().sum(2) / DEGREES)


def fit_proposal(vae: VAE, images: Tensor, variance: float, workers: Workers) -> Proposal:
    """Fit a proposal to p(z|x) ∝ N(x; x̂(z), σ²·I) N(z; 0, I) of each image.

    Args:
        vae: the model, on the device of `workers`. Its encoder says where the search starts, and no more.
        images: (N, 1, 28, 28).
        variance: σ², above 0.
        workers: who computes; how many does not change a bit of the result.
    """
    pixels = images.flatten(1).double()
    latents = torch.cat(workers.infer(lambda chunk: vae.encode(chunk).mean, images)).double()
    decoded = _decode(vae, latents, images.dtype, workers)
    energy = _energy(pixels, decoded, latents, variance)
    for _ in range(ITERATIONS):
        jacobian = _jacobian(vae, latents, decoded, images.dtype, workers)
        pull = (jacobian @ (pixels - decoded)[:, :, None]).squeeze(2) / variance - latents
        step = torch.linalg.solve(_precision(jacobian, variance), pull)
        for share in SHORTER:
            tried = latents + share * step
            other = _decode(vae, tried, images.dtype, workers)
            found = _energy(pixels, other, tried, variance)
            better = found < energy
            latents = torch.where(better[:, None], tried, latents)
            decoded = torch.where(better[:, None], other, decoded)
            energy = torch.where(better, found, energy)
            step = torch.where(better[:, None], torch.zeros_like(step), step)  # one step each
            if not step.any():
                break
    precision = _precision(_jacobian(vae, latents, decoded, images.dtype, workers), variance)
    return Proposal(latents, torch.linalg.cholesky(torch.linalg.inv(precision)))


def _decode(vae: VAE, latents: Tensor, dtype: torch.dtype, workers: Workers) -> Tensor:
    """Return the pixels of `latents` (N, latent_dim): (N, 784), float64."""
    return torch.cat(workers.infer(vae.decode, latents.to(dtype))).flatten(1).double()


def _energy(pixels: Tensor, decoded: Tensor, latents: Tensor, variance: float) -> Tensor:
    """Return −ln p(x, z), up to a constant: (N,)."""
    return (pixels - decoded).square().sum(1) / (2 * variance) + latents.square().sum(1) / 2


def _jacobian(vae: VAE, latents: Tensor, decoded: Tensor, dtype: torch.dtype, workers: Workers) -> Tensor:
    """Return how pixels move with each latent dimension: (N, latent_dim, 784)."""
    moves = DIFFERENCE * torch.eye(latents.shape[1], dtype=latents.dtype)
    moved = _decode(vae, (latents[:, None] + moves).flatten(0, 1), dtype, workers)
    jacobian: Tensor = (moved.unflatten(0, latents.shape) - decoded[:, None]) / DIFFERENCE
    return jacobian


def _precision(jacobian: Tensor, variance: float) -> Tensor:
    """Return I + JᵀJ/σ²: (N, latent_dim, latent_dim)."""
    return jacobian @ jacobian.mT / variance + torch.eye(jacobian.shape[1], dtype=jacobian.dtype)
