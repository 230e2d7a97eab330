"""Confusion matrices: which digit is read as which."""

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vaebench.figures.style import HEADER, INK, MARGIN, SOFT, house_style, new_figure, place

_SIDE = 540  # pixels
_DIAGONAL = "#edf0f3"


@house_style()
def confusion(matrix: NDArray[np.int64], title: str) -> Figure:
    """Draw a confusion matrix: counts in the cells, errors coloured by their share of the row.

    Args:
        matrix: (10, 10) counts; the row is the true digit, the column what it is read as.
        title: the title, with the latent dimension where there is one.
    """
    total, wrong = int(matrix.sum()), int(matrix.sum() - np.trace(matrix))
    row_totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(row_totals, 1)[:, np.newaxis]
    errors = np.where(np.eye(10, dtype=bool), np.nan, shares)
    # At least one percent, so that a nearly perfect matrix looks like one.
    strongest = max(float(np.nanmax(errors)), 0.01)

    note = f"{wrong:,} of {total:,} digits are read as another digit. Empty cells are zero."
    figure = new_figure(MARGIN + 48 + _SIDE + 196, HEADER + 24 + _SIDE + 62, title, note)
    axes = place(figure, MARGIN + 48, HEADER + 24, _SIDE, _SIDE)
    # The square root keeps an error of one in a thousand apart from none.
    colours = matplotlib.colormaps["OrRd"].with_extremes(bad=_DIAGONAL)
    image = axes.imshow(errors, cmap=colours, norm=PowerNorm(0.5, vmin=0, vmax=strongest))
    for row, column in zip(*np.nonzero(matrix), strict=True):
        dark = row != column and errors[row, column] > 0.55 * strongest
        axes.text(
            column, row, str(matrix[row, column]), ha="center", va="center", color="white" if dark else INK
        )

    axes.set(xlabel="read as", ylabel="true digit", xticks=range(10), yticks=range(10))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(9) + 0.5, minor=True)
    axes.set_yticks(np.arange(9) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)

    axes.text(9.65, -0.62, "correct", color=SOFT, va="bottom")
    for digit in np.flatnonzero(row_totals).tolist():
        axes.text(9.65, digit, f"{shares[digit, digit]:.1%}", va="center")
    bar_axes = place(figure, MARGIN + 48 + _SIDE + 90, HEADER + 24, 12, _SIDE)
    bar = figure.colorbar(image, cax=bar_axes, format=lambda share, _: f"{100 * share:g}%")
    bar.set_label("errors: share of the true digit")
    bar.outline.set_visible(False)
    return figure
