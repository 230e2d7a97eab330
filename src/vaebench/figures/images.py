"""Digits as pictures: reconstructions, draws from the prior, ways through the latent space."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vaebench.evaluation.pictures import Pictures
from vaebench.figures.style import HEADER, MARGIN, house_style, new_figure, place, with_dimension

_PAPER, _LINE = 255, 222  # grey levels
_WIDEST, _TALLEST = 900, 720  # pixels of a grid


@house_style()
def reconstructions(arrays: Pictures, latent_dim: int) -> Figure:
    """Draw test digits and, below each, its reconstruction."""
    return _digit_grid(
        np.stack([arrays.originals, arrays.reconstructions]),
        with_dimension("Reconstructions", latent_dim),
        "Test digits above their reconstructions, with their labels on top.",
        rows=["original", "reconstruction"],
        columns=[str(label) for label in arrays.original_labels],
        left=124,
    )


@house_style()
def prior_samples(arrays: Pictures, latent_dim: int) -> Figure:
    """Draw digits decoded from N(0, I), eight by eight."""
    samples = arrays.samples
    return _digit_grid(
        samples.reshape(8, 8, *samples.shape[1:]),
        with_dimension("Samples from the prior", latent_dim),
        f"{len(samples)} draws from N(0, I), decoded.",
    )


@house_style()
def interpolations(arrays: Pictures, latent_dim: int) -> Figure:
    """Draw ways through the latent space, each from one test digit to another."""
    steps = arrays.interpolations.shape[1]
    return _digit_grid(
        arrays.interpolations,
        with_dimension("Interpolations", latent_dim),
        "Each row decodes evenly spaced points between the codes of two test digits.",
        rows=[f"{start} → {end}" for start, end in arrays.interpolation_labels],
        columns=[f"{share:.0%}" for share in np.linspace(0, 1, steps)],
        left=62,
    )


def _digit_grid(
    grid: NDArray[np.uint8],
    title: str,
    note: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    left: int = MARGIN,
) -> Figure:
    """Draw images of shape (rows, columns, height, width), dark on light, with names left and on top."""
    tile = _tile(grid)
    height, width = tile.shape
    # A whole number of screen pixels for each image pixel: any other scale makes some wider than others.
    scale = max(1, min(_WIDEST // width, _TALLEST // height))
    top = HEADER + (22 if columns else 0)
    figure = new_figure(left + scale * width + MARGIN, top + scale * height + MARGIN, title, note)
    axes = place(figure, left, top, scale * width, scale * height, frameon=False)
    axes.imshow(tile, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    cell_height, cell_width = grid.shape[2] + 1, grid.shape[3] + 1
    axes.set_yticks([cell_height * (row + 0.5) - 1 for row in range(len(rows))], rows)
    axes.set_xticks([cell_width * (column + 0.5) - 1 for column in range(len(columns))], columns)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    return figure


def _tile(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Join images into one, ink on paper, with a line of one pixel between neighbours."""
    framed = np.pad(_PAPER - grid, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=_LINE)
    rows, columns, height, width = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]
