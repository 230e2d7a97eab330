"""The report's network: four convolutions, two linear heads, and the mirror of it."""

from torch import nn

from vaebench.models.layers import Convolutions, ConvTranspose2d, Flatten, ToPixels, Unflatten
from vaebench.models.posterior import Heads
from vaebench.models.vae import Network


def conv(latent_dim: int) -> Network:
    """Return it with as many latent dimensions.

    The filters and strides are the report's (and those of Foster, Generative Deep Learning, ch. 3).
    """
    # In place: the backward pass of LeakyReLU needs its output alone.
    encoder = nn.Sequential(
        Convolutions(
            nn.Conv2d(1, 32, 3, stride=1, padding=1),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),  # to 14×14
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),  # to 7×7
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(64, 64, 3, stride=1, padding=1),
            nn.LeakyReLU(inplace=True),
        ),
        Flatten(),
        Heads(7 * 7 * 64, latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 7 * 7 * 64),
        Unflatten(7, 7, 64),
        Convolutions(
            ConvTranspose2d(64, 64, stride=1),
            nn.LeakyReLU(inplace=True),
            ConvTranspose2d(64, 64, stride=2),  # to 14×14
            nn.LeakyReLU(inplace=True),
            ConvTranspose2d(64, 32, stride=2),  # to 28×28
            nn.LeakyReLU(inplace=True),
            ToPixels(32),
        ),
    )
    return Network(encoder, decoder)
