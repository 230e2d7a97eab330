"""Confusion matrices: which digit is read as which."""

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vaebench.figures.style import HEADER, INK, MARGIN, SOFT, house_style, new_figure, place

_SIDE = 540  # pixels
_DIAGONAL = "#e9edf1"
# Shares of a row where the colour changes: the same in every figure, so that matrices can be compared.
_LEVELS = (0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_DARK = 0.1  # the share from which white is easier to read on the colour


@house_style()
def confusion(matrix: NDArray[np.int64], title: str) -> Figure:
    """Draw a confusion matrix: counts in the cells, errors coloured by their share of the row.

    Args:
        matrix: (10, 10) counts; the row is the true digit, the column what it is read as.
        title: the title, with the latent dimension where there is one.
    """
    total, wrong = int(matrix.sum()), int(matrix.sum() - np.trace(matrix))
    note = f"{wrong:,} of {total:,} digits are read as another digit. Empty cells are zero."
    left, top = MARGIN + 48, HEADER + 24
    figure = new_figure(left + _SIDE + 174, top + _SIDE + 62, title, note)

    row_totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(row_totals, 1)[:, np.newaxis]
    shown = np.ma.masked_where((matrix == 0) | np.eye(10, dtype=bool), shares)
    axes = place(figure, left, top, _SIDE, _SIDE)
    steps = len(_LEVELS) - 1
    colours = ListedColormap(matplotlib.colormaps["OrRd"](np.linspace(0.06, 1, steps)))
    image = axes.imshow(shown, cmap=colours, norm=BoundaryNorm(_LEVELS, steps))
    axes.imshow(np.ma.masked_equal(np.eye(10), 0), cmap=ListedColormap([_DIAGONAL]))
    for row, column in np.argwhere(matrix).tolist():
        dark = row != column and shares[row, column] >= _DARK
        count = str(matrix[row, column])
        axes.text(column, row, count, ha="center", va="center", color="white" if dark else INK)

    axes.set(xlabel="read as", ylabel="true digit", xticks=range(10), yticks=range(10))
    axes.spines[:].set_visible(False)
    between = np.arange(-1, 10) + 0.5
    axes.set_xticks(between, minor=True)
    axes.set_yticks(between, minor=True)
    axes.grid(which="minor")
    axes.tick_params(which="both", length=0)

    axes.text(9.65, -0.62, "correct", color=SOFT, va="bottom")
    for digit in np.flatnonzero(row_totals).tolist():
        axes.text(9.65, digit, f"{shares[digit, digit]:.1%}", va="center")
    bar_axes = place(figure, left + _SIDE + 84, top, 12, _SIDE)
    bar = figure.colorbar(image, cax=bar_axes, ticks=_LEVELS, format=lambda share, _: f"{100 * share:g}%")
    bar.set_label("errors: share of the true digit")
    bar.outline.set_visible(False)
    bar_axes.tick_params(length=0)
    return figure
