"""The pictures of the report, drawn from saved arrays: no network and no randomness here.

Every drawing function returns a `matplotlib.figure.Figure`; pyplot and its global state are not used.
"""

from vaebench.figures.criteria import criteria
from vaebench.figures.curves import benchmark_curves, loss_curves, recipe_curves
from vaebench.figures.distributions import label_distributions
from vaebench.figures.images import interpolations, prior_samples, reconstructions
from vaebench.figures.latent import latent_scatter
from vaebench.figures.matrix import confusion, overlap, overlaps
from vaebench.figures.png import save
from vaebench.figures.rate_distortion import rate_distortion
from vaebench.figures.spectra import kl_spectra

__all__ = [
    "benchmark_curves",
    "confusion",
    "criteria",
    "interpolations",
    "kl_spectra",
    "label_distributions",
    "latent_scatter",
    "loss_curves",
    "overlap",
    "overlaps",
    "prior_samples",
    "rate_distortion",
    "recipe_curves",
    "reconstructions",
    "save",
]
