"""Which class is taken for which: confusion matrices, and how the classes overlap in the latent space."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from vaebench.figures.style import (
    HEADER,
    INK,
    MARGIN,
    SOFT,
    WIDTH,
    house_style,
    new_figure,
    place,
    room_for,
)
from vaebench.pipeline.datasets import DatasetEntry

_SIDE = 540  # pixels
_DIAGONAL = "#e9edf1"
# Shares of a row where the colour changes: the same in every figure, so that matrices can be compared.
_LEVELS = (0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_DARK = 0.1  # the share from which white is easier to read on the colour
_SMALL = 8.5  # the size of the names in one
_LARGE = 0.05  # the share from which a small matrix has room for its number


@house_style()
def confusion(matrix: NDArray[np.int64], title: str, data: DatasetEntry, warning: str = "") -> Figure:
    """Draw a confusion matrix: counts in the cells, errors coloured by their share of the row.

    Args:
        matrix: (10, 10) counts; the row is the true class, the column what it is read as.
        title: the title, with the latent dimension where there is one.
        data: the data set, for the names of its classes.
        warning: what is wrong with who read them.
    """
    total, wrong = int(matrix.sum()), int(matrix.sum() - np.trace(matrix))
    row_totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(row_totals, 1)[:, np.newaxis]
    return _page(
        shares,
        [[str(count) if count else "" for count in row] for row in matrix.tolist()],
        title=title,
        names=data.classes,
        note=f"{wrong:,} of {total:,} {data.nouns} are read as another {data.class_noun}. "
        "Empty cells are zero.",
        warning=warning,
        axis_labels=("read as", f"true {data.class_noun}"),
        beside=("correct", {d: f"{shares[d, d]:.1%}" for d in np.flatnonzero(row_totals).tolist()}),
        bar_label=f"errors: share of the true {data.class_noun}",
    )


@house_style()
def overlap(matrix: NDArray[np.float64], title: str, data: DatasetEntry) -> Figure:
    """Draw how the classes overlap in the latent space: percent in the cells, coloured like errors.

    Args:
        matrix: (10, 10); the row is the class of a point, the column the class whose expected responsibility
            for it is the entry, in [0, 1]. The row of a class without points is zero or NaN.
        title: the title, with the latent dimension where there is one.
        data: the data set, for the names of its classes.
    """
    shares = np.nan_to_num(matrix)
    present = np.flatnonzero(shares.sum(axis=1)).tolist()
    others = {row: f"{1 - shares[row, row]:.1%}" for row in present}
    return _page(
        shares,
        [[f"{100 * share:.1f}" if share >= 0.0005 else "" for share in row] for row in shares.tolist()],
        title=title,
        names=data.classes,
        note=f"Percent of the responsibility for a {data.class_noun}'s points. Empty cells are below 0.05%.",
        axis_labels=("class", f"{data.class_noun} of the point"),
        beside=("others", others),
        bar_label="responsibility of another class",
    )


@house_style()
def overlaps(matrices: Mapping[int, NDArray[np.float64]], data: DatasetEntry) -> Figure:
    """Draw how the classes overlap in every latent space: a small matrix a dimension, in the same colours.

    Args:
        matrices: for each latent dimension, what `overlap` takes.
        data: the data set, for the names of its classes.
    """
    room = room_for(data.classes, _SMALL)
    side, stride, drop = 236, 290 + room, 312 + room
    rows = -(-len(matrices) // 3)
    height = HEADER + rows * drop + 16
    width = WIDTH + 3 * room
    figure = new_figure(
        width,
        height,
        f"Overlap of the {data.class_nouns} in the latent space, by latent dimension",
        f"Responsibility of each class (column) for the points of each {data.class_noun} (row); "
        f"written in percent where at least {_LARGE:.0%}.",
    )
    for panel, dimension in enumerate(sorted(matrices)):
        shares = np.nan_to_num(matrices[dimension])
        left, top = MARGIN + 20 + room + panel % 3 * stride, HEADER + 46 + panel // 3 * drop
        axes = place(figure, left, top, side, side)
        large = (shares >= _LARGE) & ~np.eye(10, dtype=bool)
        written = np.where(large, np.round(100 * shares).astype(int).astype(str), "")
        image = _cells(axes, shares, written.tolist(), size=8)
        _name(axes, data.classes)
        axes.tick_params(labelsize=_SMALL, pad=2)
        present = shares.sum(axis=1) > 0
        others = float((1 - np.diag(shares))[present].mean()) if present.any() else 0.0
        axes.text(0, 1.095, f"latent dimension {dimension}", transform=axes.transAxes, va="bottom")
        axes.text(
            0,
            1.025,
            f"{others:.1%} to other {data.class_nouns}, mean of the rows",
            transform=axes.transAxes,
            va="bottom",
            color=SOFT,
            size=9,
        )
    if matrices:
        bar = min(540, height - HEADER - 46 - 40)
        _colour_bar(figure, image, width - MARGIN - 76, HEADER + 46, bar, "responsibility of another class")
    return figure


def _page(
    shares: NDArray[np.float64],
    written: Sequence[Sequence[str]],
    *,
    title: str,
    names: Sequence[str],
    note: str,
    axis_labels: tuple[str, str],
    beside: tuple[str, Mapping[int, str]],
    bar_label: str,
    warning: str = "",
) -> Figure:
    """Draw a matrix on a page of its own, with a word `beside` each of its rows."""
    room = room_for(names)
    left, top = MARGIN + 48 + room, HEADER + 24
    figure = new_figure(left + _SIDE + 174, top + _SIDE + 62 + room, title, note, warning)
    axes = place(figure, left, top, _SIDE, _SIDE)
    image = _cells(axes, shares, written)
    _name(axes, names)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    heading, words = beside
    axes.text(9.65, -0.62, heading, color=SOFT, va="bottom")
    for row, word in words.items():
        axes.text(9.65, row, word, va="center")
    _colour_bar(figure, image, left + _SIDE + 84, top, _SIDE, bar_label)
    return figure


def _name(axes: Axes, names: Sequence[str]) -> None:
    """Name rows and columns; what is longer than a digit stands upright below its column."""
    axes.set_xticks(range(10), names, rotation=90 if room_for(names) else 0)
    axes.set_yticks(range(10), names)


def _cells(
    axes: Axes, shares: NDArray[np.float64], written: Sequence[Sequence[str]], size: float | None = None
) -> AxesImage:
    """Colour what lies off the diagonal by its share of the row, and write in the cells."""
    shown = np.ma.masked_where((shares == 0) | np.eye(10, dtype=bool), shares)
    steps = len(_LEVELS) - 1
    colours = ListedColormap(matplotlib.colormaps["OrRd"](np.linspace(0.06, 1, steps)))
    image = axes.imshow(shown, cmap=colours, norm=BoundaryNorm(_LEVELS, steps))
    axes.imshow(np.ma.masked_equal(np.eye(10), 0), cmap=ListedColormap([_DIAGONAL]))
    for row, texts in enumerate(written):
        for column, text in enumerate(texts):
            dark = row != column and shares[row, column] >= _DARK
            if text:
                colour = "white" if dark else INK
                axes.text(column, row, text, ha="center", va="center", color=colour, size=size)
    axes.spines[:].set_visible(False)
    between = np.arange(-1, 10) + 0.5
    axes.set_xticks(between, minor=True)
    axes.set_yticks(between, minor=True)
    axes.grid(which="minor")
    axes.tick_params(which="both", length=0)
    return image


def _colour_bar(figure: Figure, image: AxesImage, left: float, top: float, height: float, label: str) -> None:
    axes = place(figure, left, top, 12, height)
    bar = figure.colorbar(image, cax=axes, ticks=_LEVELS, format=lambda share, _: f"{100 * share:g}%")
    bar.set_label(label)
    bar.outline.set_visible(False)
    axes.tick_params(length=0)
