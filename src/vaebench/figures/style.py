"""The one look of every figure: a page measured in pixels, a header, a colour for each digit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 100
WIDTH = 1000  # pixels, of the wide figures
MARGIN = 20
HEADER = 76  # pixels that title and note take

INK = "#222222"
SOFT = "#666666"  # what explains
FAINT = "#d9d9d9"  # what only separates

# Paul Tol's "muted" scheme, made for colour-blind readers, and a black. Digits that are often confused, like
# 4, 7, 9 and 3, 5, 8, have colours far apart to a normal, a deuteranope and a protanope eye.
DIGIT_COLOURS = (
    "#111111",
    "#cc6677",
    "#44aa99",
    "#882255",
    "#117733",
    "#999933",
    "#332288",
    "#aa4499",
    "#88ccee",
    "#ddcc77",
)

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.labelsize": 10.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 10.5,
    "grid.color": "#ebebeb",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 10,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style, whatever the user's matplotlibrc says; also a decorator."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: int, height: int, title: str, note: str) -> Figure:
    """Return an empty page of `width` by `height` pixels with a title and a line that says what to see."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.text(MARGIN / width, 1 - 18 / height, title, size=14, weight="bold", va="top")
    figure.text(MARGIN / width, 1 - 45 / height, note, size=10.5, color=SOFT, va="top")
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
    """Add axes to a page, measured in pixels from its top left corner."""
    page_width, page_height = figure.bbox.size
    box = (left / page_width, 1 - (top + height) / page_height, width / page_width, height / page_height)
    return figure.add_axes(box, **options)


def with_dimension(title: str, latent_dim: int) -> str:
    """Name the latent dimension in a title."""
    return f"{title} · latent dimension {latent_dim}"
