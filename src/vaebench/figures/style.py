"""The one look of every figure: a page measured in pixels, a header, a colour for each class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

DPI = 100
WIDTH = 1000  # pixels, of the wide figures
MARGIN = 20
HEADER = 76  # pixels that title and note take

# The report page takes its colours from here; its style sheet repeats these three. A page of greys makes a
# PNG of greys, exact in every pixel.
INK = "#222222"
SOFT = "#666666"  # what explains
FAINT = "#d9d9d9"  # what only separates
WARNING = "#b3261e"

# Okabe and Ito's colours for colour-blind readers, which stand out from white and from black, and two more.
DIMENSION_COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#d55e00",
    "#0072b2",
    "#cc79a7",
    "#8a63d2",
    "#8c8c8c",
)
VAE, PCA = "#0072b2", "#e69f00"
OURS, REPRODUCED, PUBLISHED = "#009e73", "#0072b2", "#d55e00"  # the benchmark's models and the report's

# Of each class: Paul Tol's "muted" scheme, made for colour-blind readers, and a black. Digits that are often
# confused, like 4, 7, 9 and 3, 5, 8, have colours far apart to a normal, a deuteranope and a protanope eye.
CLASS_COLOURS = (
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


def new_figure(width: int, height: int, title: str, note: str, warning: str = "") -> Figure:
    """Return an empty page of `width` by `height` pixels: a title, a line on what to see, and a warning."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.text(MARGIN / width, 1 - 18 / height, title, size=14, weight="bold", va="top")
    figure.text(MARGIN / width, 1 - 45 / height, note, size=10.5, color=SOFT, va="top")
    if warning:
        figure.text(MARGIN / width, 1 - 61 / height, warning, size=10, weight="bold", color=WARNING, va="top")
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
    """Add axes to a page, measured in pixels from its top left corner."""
    page_width, page_height = figure.bbox.size
    box = (left / page_width, 1 - (top + height) / page_height, width / page_width, height / page_height)
    return figure.add_axes(box, **options)


def text_width(text: str, size: float = 10, weight: str = "normal") -> float:
    """Return how wide a text is, in pixels."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(TextPath((0, 0), text, prop=font).get_extents().width) * DPI / 72 if text.strip() else 0.0


def room_for(names: Sequence[str], size: float = 10) -> int:
    """Return the pixels that the widest of some names takes more than a digit does."""
    return max(0, ceil(max(text_width(name, size) for name in names) - text_width("0", size) - 4))


def with_dimension(title: str, latent_dim: int) -> str:
    """Name the latent dimension in a title."""
    return f"{title} · latent dimension {latent_dim}"
