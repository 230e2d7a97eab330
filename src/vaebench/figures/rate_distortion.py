"""What a model pays for: the rate of its code against the distortion of its reconstructions."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vaebench.figures.labels import Box, Point, beside
from vaebench.figures.style import (
    FAINT,
    HEADER,
    MARGIN,
    OURS,
    PUBLISHED,
    REPRODUCED,
    SOFT,
    WIDTH,
    house_style,
    new_figure,
    place,
)
from vaebench.findings.trainings import several

# prefix of the columns -> (name, colour, marker, line)
_SERIES = {
    "": ("trained here by the {} recipe", OURS, "o", "-"),
    "reproduced_": ("trained here by the report's recipe", REPRODUCED, "s", ":"),
    "report_": ("the report's table", PUBLISHED, "D", ""),
}
_LABEL = 9.5  # points
_SAME = 8  # pixels
_LINES = 12  # of equal combined loss, about


@house_style()
def rate_distortion(table: pd.DataFrame, trainings: pd.DataFrame) -> Figure:
    """Draw KL against Σ squared error on the training set, by latent dimension, beside the report.

    Args:
        table: the benchmark's rows: `model`, `latent_dim`, `recipe`, and `kl_loss` and `reconstruction_loss`
            without a prefix, and with `reproduced_` and `report_`; the VAEs are drawn. A pair with a missing
            number is left out.
        trainings: `latent_dim`, `kl_loss` and `reconstruction_loss` of each training. Where a model has
            several, each is a small point.
    """
    width, height = WIDTH - 2 * MARGIN - 56 - 54, 560
    figure = new_figure(
        WIDTH,
        HEADER + 40 + height + 56,
        "Rate and distortion, by latent dimension",
        "Training set, mean per image. The numbers are latent dimensions; "
        "along a grey line the combined loss stays the same.",
    )
    axes = place(figure, MARGIN + 56, HEADER + 40, width, height)
    axes.set(xlabel="rate: KL, nats", ylabel="distortion: squared error, summed over pixels")
    vae = table[table["model"] == "VAE"].sort_values("latent_dim")
    recipe = vae["recipe"].iloc[0] if len(vae) else ""
    drawn = {
        prefix: vae[["latent_dim", f"{prefix}kl_loss", f"{prefix}reconstruction_loss"]].dropna()
        for prefix in _SERIES
    }
    drawn = {prefix: points for prefix, points in drawn.items() if len(points)}
    for prefix, points in drawn.items():
        name, colour, marker, line = _SERIES[prefix]
        _, rate, distortion = points.columns
        axes.plot(
            points[rate],
            points[distortion],
            color=colour,
            marker=marker,
            markersize=6,
            linestyle=line,
            linewidth=1.5,
            label=name.format(recipe),
            zorder=3,
        )
    if several(trainings):
        _, colour, marker, _ = _SERIES[""]
        each = trainings["kl_loss"], trainings["reconstruction_loss"]
        axes.plot(*each, color=colour, marker=marker, markersize=2.5, linestyle="", alpha=0.7, zorder=3)
    axes.yaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    if drawn:
        _equal_losses(axes)
        _name_points(axes, drawn)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0.8, ncols=3)
    return figure


def _equal_losses(axes: Axes) -> None:
    """Draw lines of equal combined loss, and its scale on the right, where they end."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    for loss in MaxNLocator(_LINES, steps=[1, 2, 5, 10]).tick_values(bottom + right, top + right):
        if bottom + right <= loss <= top + right:
            axes.axline((right, loss - right), slope=-1, color=FAINT, linewidth=0.9, zorder=1)
            axes.annotate(
                f"{loss:g}",
                (right, loss - right),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                color=SOFT,
                size=10,
                annotation_clip=False,
            )
    axes.text(
        1.058,
        0.5,
        "combined loss",
        transform=axes.transAxes,
        va="center",
        rotation=270,
        color=SOFT,
        size=10.5,
    )


def _name_points(axes: Axes, drawn: dict[str, pd.DataFrame]) -> None:
    """Write the latent dimension beside each point, clear of points, lines and the other numbers."""
    places: list[tuple[Point, str, str]] = []
    taken: list[Box] = _outside(axes)
    for prefix, points in drawn.items():
        _, colour, _, line = _SERIES[prefix]
        pixels = axes.transData.transform(points.iloc[:, 1:].to_numpy())
        names = points["latent_dim"].astype(int).astype(str).tolist()
        places += [(point, name, colour) for point, name in _merged(pixels, names)]
        taken += [(x - 6, y - 6, x + 6, y + 6) for x, y in pixels.tolist()]
        if line:
            taken += [(x - 2, y - 2, x + 2, y + 2) for x, y in _along(pixels)]
    letter = _LABEL * axes.figure.dpi / 72
    sizes = [(0.66 * letter * len(name) + 2, 0.95 * letter) for _, name, _ in places]
    centres = beside([point for point, _, _ in places], sizes, taken)
    to_data = axes.transData.inverted().transform
    for (_, name, colour), centre in zip(places, centres, strict=True):
        x, y = to_data(centre)
        axes.text(x, y, name, ha="center", va="center", color=colour, size=_LABEL, zorder=4)


def _merged(pixels: NDArray[np.float64], names: list[str]) -> list[tuple[Point, str]]:
    """Return each point with its name; points that one cannot tell apart are one, with all their names."""
    merged: list[tuple[Point, str]] = []
    for (x, y), name in zip(pixels.tolist(), names, strict=True):
        if merged and np.hypot(x - merged[-1][0][0], y - merged[-1][0][1]) < _SAME:
            merged[-1] = (merged[-1][0], f"{merged[-1][1]}, {name}")
        else:
            merged.append(((x, y), name))
    return merged


def _along(pixels: NDArray[np.float64]) -> list[Point]:
    """Return points every few pixels along a line."""
    steps: list[Point] = []
    for start, end in pairwise(pixels):
        count = int(np.hypot(*(end - start)) / 4) + 1
        steps += [tuple(start + share * (end - start)) for share in np.linspace(0, 1, count)]
    return steps


def _outside(axes: Axes) -> list[Box]:
    """Return the page around the axes as four boxes."""
    left, bottom, right, top = axes.bbox.extents
    far = 1e4
    return [
        (-far, -far, left + 4, far),
        (right - 4, -far, far, far),
        (-far, -far, far, bottom + 4),
        (-far, top - 4, far, far),
    ]
