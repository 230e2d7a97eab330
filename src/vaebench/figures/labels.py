"""Where labels go so that none covers another."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top

_DIRECTIONS = ((1, 1), (-1, -1), (1, -1), (-1, 1), (1, 0), (-1, 0), (0, 1), (0, -1))


def data_height(axes: Axes, pixels: float) -> float:
    """Return how much of the vertical axis `pixels` take."""
    low, high = axes.get_ylim()
    return float((high - low) * pixels / axes.bbox.height)


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Move `values` as little as needed for each to lie at least `gap` from the next, in the same order."""
    # Values that would touch are pooled into one evenly spaced block around their mean.
    order = sorted(range(len(values)), key=values.__getitem__)
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _bottom(blocks[-1], values, gap) - _top(blocks[-2], values, gap) < gap:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = [0.0] * len(values)
    for block in blocks:
        for place_in_block, index in enumerate(block):
            moved[index] = _bottom(block, values, gap) + place_in_block * gap
    return moved


def within(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move `values` that are `gap` apart into [low, high], and keep them `gap` apart and in order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    moved = list(values)
    for above, index in enumerate(reversed(order)):
        moved[index] = min(moved[index], high - above * gap)
    for below, index in enumerate(order):
        moved[index] = max(moved[index], low + below * gap)
    return moved


def beside(points: Sequence[Point], sizes: Sequence[Point], obstacles: Sequence[Box]) -> list[Point]:
    """Find for each point the nearest free place of its label.

    Args:
        points: what is labelled, in pixels.
        sizes: width and height of each label.
        obstacles: what no label may cover. The labels placed before a label are obstacles, too.

    Returns:
        The centre of each label.
    """
    taken = np.array(obstacles, dtype=np.float64).reshape(-1, 4)
    centres: list[Point] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        places = [
            (x + right * (distance + width / 2), y + up * (distance + height / 2))
            for distance, (right, up) in product(range(3, 100, 4), _DIRECTIONS)
        ]
        boxes = [(u - width / 2, v - height / 2, u + width / 2, v + height / 2) for u, v in places]
        # The first place that is free; where none is, the one that covers least.
        best = int(np.argmin([_covered(box, taken) for box in boxes]))
        centres.append(places[best])
        taken = np.vstack([taken, boxes[best]])
    return centres


def _covered(box: Box, taken: NDArray[np.float64]) -> float:
    """Return the area of `box` that boxes (N, 4) cover."""
    wide = np.minimum(box[2], taken[:, 2]) - np.maximum(box[0], taken[:, 0])
    high = np.minimum(box[3], taken[:, 3]) - np.maximum(box[1], taken[:, 1])
    return float((np.maximum(wide, 0) * np.maximum(high, 0)).sum())


def _bottom(block: list[int], values: Sequence[float], gap: float) -> float:
    return sum(values[index] for index in block) / len(block) - (len(block) - 1) / 2 * gap


def _top(block: list[int], values: Sequence[float], gap: float) -> float:
    return _bottom(block, values, gap) + (len(block) - 1) * gap
