"""Two dense layers each way, as in Kingma & Welling, Auto-Encoding Variational Bayes, 2014, appendix C."""

from torch import nn

from vaebench.models.posterior import Heads
from vaebench.models.vae import SIDE, Network

HIDDEN = 500  # theirs


def mlp(latent_dim: int) -> Network:
    """Return it with as many latent dimensions."""
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(SIDE * SIDE, HIDDEN), nn.Tanh(), Heads(HIDDEN, latent_dim)
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, HIDDEN),
        nn.Tanh(),
        nn.Linear(HIDDEN, SIDE * SIDE),
        nn.Unflatten(1, (1, SIDE, SIDE)),
    )
    return Network(encoder, decoder)
