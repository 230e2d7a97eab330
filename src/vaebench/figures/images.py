"""Images: reconstructions, draws from the prior, ways through the latent space."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vaebench.evaluation.pictures import Pictures
from vaebench.figures.style import (
    HEADER,
    MARGIN,
    house_style,
    new_figure,
    place,
    text_width,
    with_dimension,
)
from vaebench.pipeline.datasets import DatasetEntry

_PAPER, _LINE = 255, 222  # grey levels
_WIDEST, _TALLEST = 900, 720  # pixels of a grid


@house_style()
def reconstructions(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    """Draw test images and, below each, its reconstruction."""
    return _grid(
        np.stack([arrays.originals, arrays.reconstructions]),
        with_dimension("Reconstructions", latent_dim),
        f"Test {data.nouns} above their reconstructions, with their labels on top.",
        rows=["original", "reconstruction"],
        columns=[data.classes[label] for label in arrays.original_labels],
        left=124,
    )


@house_style()
def prior_samples(arrays: Pictures, latent_dim: int) -> Figure:
    """Draw images decoded from N(0, I), eight by eight."""
    samples = arrays.samples
    return _grid(
        samples.reshape(8, 8, *samples.shape[1:]),
        with_dimension("Samples from the prior", latent_dim),
        f"{len(samples)} draws from N(0, I), decoded.",
    )


@house_style()
def interpolations(arrays: Pictures, latent_dim: int, data: DatasetEntry) -> Figure:
    """Draw ways through the latent space, each from one test image to another."""
    rows = [f"{data.classes[start]} → {data.classes[end]}" for start, end in arrays.interpolation_labels]
    steps = arrays.interpolations.shape[1]
    return _grid(
        arrays.interpolations,
        with_dimension("Interpolations", latent_dim),
        f"Each row decodes evenly spaced points between the codes of two test {data.nouns}.",
        rows=rows,
        columns=[f"{share:.0%}" for share in np.linspace(0, 1, steps)],
        left=max(62, MARGIN + ceil(max(map(text_width, rows)))),
    )


def _grid(
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
    cell_height, cell_width = grid.shape[2] + 1, grid.shape[3] + 1
    # Names that are wider than their columns lean over, to the right of the last one, too.
    widest = max(map(text_width, columns), default=0.0)
    lean = ceil(0.71 * widest) if widest > scale * cell_width else 0
    top = HEADER + (22 if columns else 0) + lean
    right = MARGIN + max(0, lean - scale * cell_width // 2)
    figure = new_figure(left + scale * width + right, top + scale * height + MARGIN, title, note)
    axes = place(figure, left, top, scale * width, scale * height, frameon=False)
    axes.imshow(tile, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_yticks([cell_height * (row + 0.5) - 1 for row in range(len(rows))], rows)
    axes.set_xticks([cell_width * (column + 0.5) - 1 for column in range(len(columns))], columns)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    if lean:
        for name in axes.get_xticklabels():
            name.set(rotation=45, ha="left", rotation_mode="anchor")
    return figure


def _tile(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Join images into one, ink on paper, with a line of one pixel between neighbours."""
    framed = np.pad(_PAPER - grid, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=_LINE)
    rows, columns, height, width = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]
