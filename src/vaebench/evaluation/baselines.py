"""What stands beside the VAEs: principal components, the linear autoencoder, and pixel noise."""

import math

import torch
from torch import Generator, Tensor

SIDE = 28
CHUNK = 5_000  # images in float64 at once: all of them would take half a gigabyte
ROUNDING = 1 / (12 * 255**2)  # variance of what 256 greys cannot tell apart; a density is no sharper


class PrincipalComponents:
    """PCA as an autoencoder with the prior N(0, I): components scaled to unit variance on training images."""

    def __init__(self, images: Tensor, components: int) -> None:
        """Fit the components.

        Args:
            images: (N, 1, 28, 28), with more images than components.
            components: how many.
        """
        count, pixels = len(images), SIDE * SIDE
        products = torch.zeros(pixels, pixels, dtype=torch.float64)
        self._mean: Tensor = torch.zeros(pixels, dtype=torch.float64)
        for chunk in images.flatten(1).split(CHUNK):
            wide = chunk.double()
            products += wide.T @ wide
            self._mean += wide.sum(0) / count
        covariance = (products - count * self._mean.outer(self._mean)) / (count - 1)
        variances, axes = (found.flip(-1) for found in torch.linalg.eigh(covariance))  # descending
        axes = axes[:, :components].T
        # An eigenvector's sign is arbitrary: its largest component is made positive, so that samples repeat.
        signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        self._axes: Tensor = axes * signs  # (components, 784), orthonormal
        self._variances: Tensor = variances[:components].clamp(min=ROUNDING)
        left_out = variances[components : min(pixels, count)]
        self._noise = max(float(left_out.mean()) if len(left_out) else 0.0, ROUNDING)

    def encode(self, images: Tensor) -> Tensor:
        """Return the coordinates of `images` (N, 1, 28, 28): (N, components), float32."""
        centred = images.flatten(1).double() - self._mean
        return (centred @ self._axes.T / self._variances.sqrt()).float()

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of `latents` (N, components), clipped to [0, 1]: (N, 1, 28, 28), float32."""
        pixels = latents.double() * self._variances.sqrt() @ self._axes + self._mean
        images: Tensor = pixels.float().clamp(0, 1).unflatten(1, (1, SIDE, SIDE))
        return images

    def negative_log_likelihood(self, images: Tensor) -> Tensor:
        """Return −ln p(x) of each of the `images` (N, 1, 28, 28) in nats, exactly: (N,), float64.

        p is the Gaussian of Tipping & Bishop, Probabilistic Principal Component Analysis, 1999: along each
        component the variance of the data, in every other direction the mean of the variances left out.
        """
        centred = images.flatten(1).double() - self._mean
        along = centred @ self._axes.T
        apart = centred.square().sum(1) - along.square().sum(1)
        others = len(self._mean) - len(self._axes)
        log_volume = self._variances.log().sum() + others * math.log(self._noise)
        distance = (along.square() / self._variances).sum(1) + apart / self._noise
        return 0.5 * (len(self._mean) * math.log(2 * math.pi) + log_volume + distance)


def pixel_noise(count: int, generator: Generator) -> Tensor:
    """Return images of independent pixels, uniform in [0, 1]: (count, 1, 28, 28), float32."""
    return torch.rand(count, 1, SIDE, SIDE, generator=generator)
