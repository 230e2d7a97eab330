"""How the inception score reads samples: p(y|x) of each, and p(y) of all."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from vaebench.evaluation.pictures import Pictures
from vaebench.figures.style import (
    CLASS_COLOURS,
    HEADER,
    INK,
    MARGIN,
    SOFT,
    WIDTH,
    house_style,
    new_figure,
    place,
    room_for,
    with_dimension,
)
from vaebench.pipeline.datasets import DatasetEntry

_SHOWN = 8
_CLASSES = np.arange(10)
_IMAGE = 84  # pixels: three for each of the 28


@house_style()
def label_distributions(arrays: Pictures, latent_dim: int, data: DatasetEntry, warning: str = "") -> Figure:
    """Draw samples with the classifier's p(y|x), narrow to wide, above the marginal p(y) of all samples.

    Below a sample, names of classes that are longer than a digit have no room: there stands the likeliest.
    The `warning` says what is wrong with who read them.
    """
    room = room_for(data.classes)
    line = 18 if room else 0  # pixels, below each sample
    figure = new_figure(
        WIDTH,
        650 + line + room,
        with_dimension("What the inception score reads", latent_dim),
        "It is exp(mean KL(p(y|x) ‖ p(y))): high when every p(y|x) is narrow and p(y) is even, 10 at most.",
        warning,
    )
    _heading(
        figure,
        HEADER + 8,
        f"p(y|x) of single samples, from the narrowest to the widest of {len(arrays.samples)}",
    )
    divergences = _divergences(arrays.probabilities, arrays.marginal)
    for column, sample in enumerate(_narrow_to_wide(arrays.probabilities)):
        left = MARGIN + column * 123
        picture = place(figure, left + 8, HEADER + 36, _IMAGE, _IMAGE, frameon=False, xticks=[], yticks=[])
        picture.imshow(255 - arrays.samples[sample], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        bars = place(figure, left, HEADER + 126, 100, 96)
        shares = arrays.probabilities[sample]
        _bars(bars, shares, [] if room else data.classes)
        bars.set(ylim=(0, 1), yticks=[])
        bars.spines["left"].set_visible(False)
        bars.tick_params(labelsize=8.5, pad=1)
        divergence = f"KL {divergences[sample]:.2f} nats"
        likeliest = f"{data.classes[int(shares.argmax())]} {shares.max():.0%}\n" if room else ""
        bars.set_xlabel(f"{likeliest}{divergence}", color=SOFT, fontsize=10)

    _heading(figure, 372 + line, "p(y) of all samples")
    marginal = place(figure, MARGIN + 56, 406 + line, 660, 180)
    _bars(marginal, arrays.marginal, data.classes)
    marginal.hlines(
        arrays.test_marginal,
        _CLASSES - 0.4,
        _CLASSES + 0.4,
        color=INK,
        linewidth=2,
        label=f"share among test {data.nouns}",
        path_effects=[withStroke(linewidth=4, foreground="white")],
    )
    marginal.axhline(0.1, color=SOFT, linestyle="--", linewidth=1, label="uniform, 10%")
    marginal.set(xlabel="read as", ylabel="share")
    marginal.set_ylim(0, 1.08 * max(0.15, float(arrays.marginal.max()), float(arrays.test_marginal.max())))
    marginal.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    marginal.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
    return figure


def _heading(figure: Figure, top: float, text: str) -> None:
    width, height = figure.bbox.size
    figure.text(MARGIN / width, 1 - top / height, text, va="top", size=11)


def _bars(axes: Axes, shares: NDArray[np.float32], names: Sequence[str]) -> None:
    axes.bar(_CLASSES, shares, width=0.8, color=CLASS_COLOURS)
    if names:
        axes.set_xticks(_CLASSES, names, rotation=90 if room_for(names) else 0)
    else:
        axes.set_xticks([])
    axes.tick_params(axis="x", length=0)


def _narrow_to_wide(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pick samples at even ranks of the entropy of p(y|x), both extremes among them."""
    p = probabilities.astype(np.float64)
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=1)
    ranks = np.linspace(0, len(p) - 1, _SHOWN).round().astype(np.int64)
    return np.argsort(entropy, kind="stable")[ranks]


def _divergences(probabilities: NDArray[np.float32], marginal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return KL(p(y|x) ‖ p(y)) of each sample; a class of share zero adds nothing."""
    p, q = (np.maximum(shares.astype(np.float64), 1e-12) for shares in (probabilities, marginal))
    divergences: NDArray[np.float64] = (p * np.log(p / q)).sum(axis=1)
    return divergences
