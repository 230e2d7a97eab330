"""How many units of the latent space a model uses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vaebench.figures.style import HEADER, INK, MARGIN, SOFT, VAE, WIDTH, house_style, new_figure, place

_ACTIVE, _INACTIVE = VAE, "#b5b5b5"
_FEWEST = 10  # ranks that a panel has room for: the one bar of dimension 1 is no wall
_GAPS = 64  # up to here bars have gaps; beyond, they have an outline, or thin ones would fall between pixels
_STRIP = (-0.055, -0.02)  # of the height: a mark below each bar, of the units whose KL is too small to see


@house_style()
def kl_spectra(
    spectra: Mapping[int, Sequence[NDArray[np.float64]]], active: Mapping[int, Sequence[NDArray[np.bool_]]]
) -> Figure:
    """Draw the KL of each latent unit, from the largest to the smallest: a panel a dimension.

    Args:
        spectra: for each latent dimension, of each training the KL of its units in nats, mean over images, in
            any order. The bars are those of the first; where there are more, each has its points.
        active: for each latent dimension, of each training which of its units are active, in the same order.
    """
    width, height, stride, drop = 244, 180, 322, 296
    rows = -(-len(spectra) // 3)
    figure = new_figure(
        WIDTH,
        HEADER + rows * drop + 14,
        "KL of each latent unit, by latent dimension",
        "Nats, mean over images; units sorted from the largest KL to the smallest.",
    )
    figure.legend(
        handles=[Patch(color=_ACTIVE, label="active unit"), Patch(color=_INACTIVE, label="inactive unit")],
        loc="upper right",
        bbox_to_anchor=(1 - MARGIN / WIDTH, 1 - 45 / figure.bbox.height),
        borderaxespad=0,
        borderpad=0,
        ncols=2,
        handlelength=0.9,
        handleheight=0.9,
    )
    highest = max((float(kl.max()) for found in spectra.values() for kl in found), default=0.0) or 1.0
    for panel, dimension in enumerate(sorted(spectra)):
        first, *others = spectra[dimension]
        order = np.argsort(-first, kind="stable")
        kl, is_active = first[order], active[dimension][0][order]
        axes = place(figure, MARGIN + 44 + panel % 3 * stride, HEADER + 50 + panel // 3 * drop, width, height)
        last = max(dimension, _FEWEST)
        axes.set(xlim=(0.4 - 0.012 * dimension, last + 0.6), ylim=(0, 1.05 * highest))
        look: dict[str, Any] = {
            "width": 0.8 if dimension <= _GAPS else 1,
            "color": np.where(is_active, _ACTIVE, _INACTIVE),
            "linewidth": 0 if dimension <= _GAPS else 0.8,
        }
        axes.bar(np.arange(1, dimension + 1), kl, **look)
        for other in others:
            axes.plot(
                np.arange(1, dimension + 1), -np.sort(-other), "_", color=INK, markersize=4, linewidth=0
            )
        foot, top = _STRIP
        marks: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.bar(np.arange(1, dimension + 1), top - foot, bottom=foot, **look, **marks)
        axes.set(ylim=(0, 1.05 * highest))
        axes.tick_params(axis="x", length=0, pad=14)
        ticks = MaxNLocator(integer=True, nbins=10, steps=[1, 2, 5, 10], min_n_ticks=1).tick_values(1, last)
        axes.set_xticks([tick for tick in ticks if 1 <= tick <= dimension])
        axes.set_xlabel("unit, by falling KL")
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.text(0, 1.14, f"latent dimension {dimension}", transform=axes.transAxes, va="bottom")
        axes.text(
            0,
            1.035,
            f"{int(is_active.sum())} of {dimension} active · {kl.sum():.2f} nats in all",
            transform=axes.transAxes,
            va="bottom",
            color=SOFT,
            size=9.5,
        )
    return figure
