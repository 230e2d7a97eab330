"""Where the test images lie in the latent space."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from mpl_toolkits.mplot3d.proj3d import proj_transform
from numpy.typing import NDArray

from vaebench.evaluation.pictures import Pictures
from vaebench.figures.style import (
    CLASS_COLOURS,
    DPI,
    HEADER,
    INK,
    MARGIN,
    SOFT,
    WIDTH,
    house_style,
    new_figure,
    place,
    room_for,
    text_width,
    with_dimension,
)
from vaebench.pipeline.datasets import DatasetEntry

_NAMES = ("z₁", "z₂", "z₃")
_NAME_GAP = 26  # pixels between the names of two classes
_SQUARE = 680  # pixels, the side of a plane
_NAME: dict[str, Any] = {
    "size": 15,
    "weight": "bold",
    "ha": "center",
    "va": "center",
    "path_effects": [withStroke(linewidth=4, foreground="white")],
}
_LONG = 11  # the size of names that are longer than a digit
_PRIOR_RADIUS = float(np.sqrt(-2 * np.log(0.05)))  # holds 95% of a standard normal in the plane


@house_style()
def latent_scatter(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    """Draw the posterior means of the test images, coloured by class.

    One dimension is drawn as histograms, two as a plane, three as the space and its planes, more as their 2-D
    PCA projection.
    """
    drawings = {1: _line, 2: _plane, 3: _space}
    return drawings.get(latent_dim, _projection)(arrays, latent_dim, data)


def _line(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    width, height = WIDTH - 2 * MARGIN - 60, 520
    room = room_for(data.classes)
    figure = new_figure(
        WIDTH + room,
        HEADER + height + 64,
        with_dimension("Latent space", latent_dim),
        f"{_count(arrays, data)}: a histogram a {data.class_noun}, each scaled to its own peak. "
        "Dashed: the prior N(0, 1).",
    )
    axes = place(figure, MARGIN + 50 + room, HEADER, width, height)
    z = arrays.latent[:, 0].astype(np.float64)
    edges = np.linspace(min(-3, z.min()), max(3, z.max()), 91)  # wide enough to see the prior
    rows = [
        (name, z[arrays.labels == label], CLASS_COLOURS[label]) for label, name in enumerate(data.classes)
    ]
    for level, (_, values, colour) in enumerate([*rows, ("all", z, "#bdbdbd")]):
        counts = np.histogram(values, bins=edges)[0]
        heights = 0.9 * counts / max(counts.max(), 1)
        axes.stairs(level - heights, edges, baseline=level, fill=True, color=colour)
        axes.axhline(level, color=colour, linewidth=0.8)
    grid = np.linspace(edges[0], edges[-1], 300)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    peak = np.histogram(z, bins=edges, density=True)[0].max()
    axes.plot(grid, 10 - 0.9 * density / peak, "--", color=INK, linewidth=1.3)
    axes.set(xlabel=_NAMES[0], ylabel=data.class_noun, xlim=(edges[0], edges[-1]), ylim=(10.1, -1))
    axes.set_yticks(range(11), [name for name, _, _ in rows] + ["all"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _plane(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    figure, axes = _square(
        data,
        with_dimension("Latent space", latent_dim),
        f"{_count(arrays, data)}. The circle holds 95% of the prior N(0, I).",
    )
    _points(axes, arrays, 0, 1, size=7)
    axes.add_patch(Circle((0, 0), _PRIOR_RADIUS, fill=False, edgecolor=SOFT, linestyle="--", linewidth=1))
    axes.set(xlabel=_NAMES[0], ylabel=_NAMES[1])
    _name_medians(axes, arrays, data)
    _legend(figure, arrays, data, MARGIN + 60 + _SQUARE + 10)
    return figure


def _projection(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    shares = arrays.explained_variance
    figure, axes = _square(
        data,
        with_dimension("Latent space, 2-D PCA projection", latent_dim),
        f"{_count(arrays, data)}. The plane shows {shares[:2].sum():.0%} of their variance.",
    )
    _points(axes, arrays, 0, 1, size=7)
    axes.set(
        xlabel=f"principal component 1 ({shares[0]:.0%} of the variance)",
        ylabel=f"principal component 2 ({shares[1]:.0%} of the variance)",
    )
    _name_medians(axes, arrays, data)
    _legend(figure, arrays, data, MARGIN + 60 + _SQUARE + 10)
    return figure


def _space(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    small, gap = 186, 46
    figure = new_figure(
        WIDTH + room_for(data.classes),
        HEADER + 3 * (small + gap) + 12,
        with_dimension("Latent space", latent_dim),
        f"{_count(arrays, data)}: the space from one side, and its three planes.",
    )
    # mplot3d has no type information.
    space: Any = place(figure, 0, HEADER - 10, 650, 650, projection="3d", computed_zorder=False)
    x, y, z = arrays.latent.T
    space.scatter(x, y, z, c=_colours(arrays), s=6, alpha=0.55, linewidths=0, depthshade=False)
    space.set(xlabel=_NAMES[0], ylabel=_NAMES[1], zlabel=_NAMES[2])
    space.view_init(elev=22, azim=-58)
    space.set_box_aspect((1, 1, 0.92), zoom=0.96)
    _name_in_space(space, arrays, data)
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_pane_color("white")
    for row, (first, second) in enumerate([(0, 1), (0, 2), (1, 2)]):
        axes = place(figure, 706, HEADER + row * (small + gap), small, small)
        axes.set_aspect("equal", adjustable="datalim")
        _points(axes, arrays, first, second, size=1.5)
        axes.set_xlabel(_NAMES[first], labelpad=1)
        axes.set_ylabel(_NAMES[second], labelpad=1)
    _legend(figure, arrays, data, WIDTH - 80)
    return figure


def _square(data: DatasetEntry, title: str, note: str) -> tuple[Figure, Axes]:
    width = MARGIN + 60 + _SQUARE + 90 + room_for(data.classes)
    figure = new_figure(width, HEADER + _SQUARE + 64, title, note)
    axes = place(figure, MARGIN + 60, HEADER + 4, _SQUARE, _SQUARE)
    axes.set_aspect("equal", adjustable="datalim")
    return figure, axes


def _points(axes: Axes, arrays: Pictures, first: int, second: int, size: float) -> None:
    # In the order of the test set: drawn class by class, the last would cover the others.
    x, y = arrays.latent[:, first], arrays.latent[:, second]
    axes.scatter(x, y, c=_colours(arrays), s=size, alpha=0.5, linewidths=0)


def _name_medians(axes: Axes, arrays: Pictures, data: DatasetEntry) -> None:
    medians = _medians(arrays)
    # The scale is final only with the limits and the aspect.
    axes.autoscale_view()
    axes.apply_aspect()
    names = [data.classes[label] for label in medians]
    look = _NAME | ({"size": _LONG} if room_for(names) else {})
    pixels = _names_apart(axes.transData.transform(list(medians.values())), names, look["size"])
    for name, (x, y) in zip(names, axes.transData.inverted().transform(pixels), strict=True):
        axes.text(x, y, name, **look)


def _name_in_space(space: Any, arrays: Pictures, data: DatasetEntry) -> None:
    """Name the classes where their medians are seen from this side, moved apart on the page."""
    medians = _medians(arrays)
    # As drawing does, which comes too late: the box of the axes and the direction of view.
    space.apply_aspect()
    space.M = space.get_proj()
    seen = [proj_transform(*median, space.M)[:2] for median in medians.values()]
    names = [data.classes[label] for label in medians]
    look = _NAME | ({"size": _LONG} if room_for(names) else {})
    pixels = _names_apart(space.transData.transform(seen), names, look["size"])
    for name, (x, y) in zip(names, space.transAxes.inverted().transform(pixels), strict=True):
        space.text2D(x, y, name, transform=space.transAxes, **look)


def _medians(arrays: Pictures) -> dict[int, NDArray[np.float64]]:
    return {
        int(label): np.median(arrays.latent[arrays.labels == label], axis=0).astype(np.float64)
        for label in np.unique(arrays.labels)
    }


def _names_apart(points: NDArray[np.float64], names: Sequence[str], size: float) -> NDArray[np.float64]:
    """Return where names stand whose points are these, in pixels, so that none covers another."""
    if not room_for(names):
        return _apart(points, _NAME_GAP)
    moved = points.copy()
    widths = [text_width(name, size, "bold") + 8 for name in names]
    height = 1.6 * size * DPI / 72
    for _ in range(200):
        for first, second in combinations(range(len(moved)), 2):
            between = moved[second] - moved[first]
            lacks = np.array([(widths[first] + widths[second]) / 2, height]) - np.abs(between)
            if (lacks > 0).all():
                side = int(np.argmin(lacks))  # the shorter way
                step = (lacks[side] + 0.01) / 2 * (1 if between[side] >= 0 else -1)
                moved[first, side] -= step
                moved[second, side] += step
    return moved


def _apart(points: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Push points that lie closer than `distance` away from each other."""
    moved = points.copy()
    for _ in range(100):
        for first, second in combinations(range(len(moved)), 2):
            between = moved[second] - moved[first]
            length = float(np.hypot(*between))
            if length < distance:
                # Points in one place part at an angle of their own, or they would stay on one line.
                away = between / length if length > 0 else np.array([np.cos(second), np.sin(second)])
                moved[first] -= away * (distance - length) / 2
                moved[second] += away * (distance - length) / 2
    return moved


def _legend(figure: Figure, arrays: Pictures, data: DatasetEntry, left: float) -> None:
    look: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 7}
    dots = [
        Line2D([], [], color=CLASS_COLOURS[label], label=data.classes[label], **look)
        for label in np.unique(arrays.labels)
    ]
    width, height = figure.bbox.size
    figure.legend(
        handles=dots,
        title=data.class_noun,
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - HEADER / height),
    )


def _colours(arrays: Pictures) -> NDArray[np.float64]:
    return to_rgba_array(CLASS_COLOURS)[arrays.labels]


def _count(arrays: Pictures, data: DatasetEntry) -> str:
    return f"Posterior means of {len(arrays.labels):,} test {data.nouns}"
