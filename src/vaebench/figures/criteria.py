"""Every score against the latent dimension, on one page."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vaebench.figures.labels import apart, data_height, within
from vaebench.figures.style import (
    FAINT,
    HEADER,
    INK,
    MARGIN,
    PCA,
    SOFT,
    VAE,
    WIDTH,
    house_style,
    new_figure,
    place,
)
from vaebench.findings.fitness import panel_warning
from vaebench.findings.trainings import several
from vaebench.pipeline.datasets import DatasetEntry


class _Panel(NamedTuple):
    column: str
    name: str
    unit: str
    better: str = ""  # the arrow that points the better way
    percent: bool = False

    def of(self, data: DatasetEntry) -> "_Panel":
        """Return the panel in the words of a data set."""
        words = {"nouns": data.nouns, "class_nouns": data.class_nouns}
        return self._replace(name=self.name.format(**words), unit=self.unit.format(**words))


_GROUPS = {
    "Likelihood and losses": (
        _Panel("test_combined_loss", "combined loss", "error + KL, per test image", "↓"),
        _Panel("nll_bound", "−log p(x) bound, σ² = 1/2", "nats per test image", "↓"),
        _Panel("nll_bound_fitted", "−log p(x) bound, σ² fitted", "nats per test image", "↓"),
    ),
    "Samples from the prior": (
        _Panel("inception_score", "inception score", "1 to the number of {class_nouns}", "↑"),
        _Panel("label_entropy", "label entropy H(y)", "nats: diversity", "↑"),
        _Panel("conditional_entropy", "conditional entropy H(y|x)", "nats: doubt", "↓"),
        _Panel("fid", "FID", "squared distance of features", "↓"),
        _Panel("kid", "KID", "squared MMD, cubic kernel", "↓"),
        _Panel("precision", "precision", "samples that lie near real {nouns}", "↑"),
        _Panel("recall", "recall", "real {nouns} that lie near samples", "↑"),
        _Panel("density", "density", "real neighbours of a sample", "↑"),
        _Panel("coverage", "coverage", "real {nouns} that have a sample", "↑"),
    ),
    "Legibility": (
        _Panel("legible_share", "legible samples", "share of prior samples", "↑", percent=True),
        _Panel("legible_path_share", "legible between {nouns}", "share of path images", "↑", percent=True),
        _Panel(
            "reconstruction_accuracy",
            "reconstructions read right",
            "share of test {nouns}",
            "↑",
            percent=True,
        ),
    ),
    "Latent space": (
        _Panel("knn_accuracy", "k-NN accuracy", "share of test {nouns}", "↑", percent=True),
        _Panel("probe_accuracy", "linear probe accuracy", "share of test {nouns}", "↑", percent=True),
        _Panel("class_overlap", "class overlap", "responsibility of other {class_nouns}", "↓", percent=True),
        _Panel("marginal_kl", "marginal KL", "nats, an upper bound"),
        _Panel("mutual_information", "mutual information", "nats, of image and code"),
        _Panel("kl_per_unit", "KL per latent unit", "nats, mean over test images"),
        _Panel("active_units", "active units", "of the latent units"),
    ),
}

_TEST, _NOISE, _LIMIT = INK, "#882255", SOFT
_PCA_TEXT = "#a06c00"  # its colour is too pale to read
_DOTS: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "linewidth": 1.6}
_COLUMNS = 4
_CELL = (WIDTH - 2 * MARGIN) // _COLUMNS  # pixels
_LEFT, _PANEL, _HEIGHT = 44, 136, 116  # pixels: of the tick labels, and the panel itself
_HEADING, _TITLE, _FOOT = 34, 42, 44  # pixels above and below the panel
# How many times what the VAEs take up an axis may become, for the lines that matter and for the rest.
_STRETCH, _LITTLE_STRETCH = 4, 3
_LINE = 27  # pixels of a label of two lines


class _Reference(NamedTuple):
    name: str
    value: float
    colour: str
    line: str


@house_style()
def criteria(
    table: pd.DataFrame,
    trainings: pd.DataFrame,
    ceiling: float,
    information_cap: float,
    data: DatasetEntry,
) -> Figure:
    """Draw every score against the latent dimension: a panel a score, evenly spaced dimensions.

    A panel shows the VAEs with their 95 % intervals, PCA, and as lines the test images, pixel noise and what
    is attainable at most. The axis is that of the VAEs: what would squash them is written at its edge.
    What an unfit panel read is missing, and the page says so.

    Args:
        table: the benchmark's rows: `model` (VAE, PCA, test images, pixel noise), `latent_dim`, the scores,
            and of some `_low` and `_high`. Empty cells are left out.
        trainings: the scores of each training, a row each with its `latent_dim`. Where a model has several,
            each is a point.
        ceiling: the attainable inception score, exp(H(y)) of the test labels.
        information_cap: the most that the estimate of the mutual information can be, ln N in nats.
        data: the data set, for its words.
    """
    groups = {group: [panel.of(data) for panel in panels] for group, panels in _GROUPS.items()}
    cells: list[tuple[str, _Panel] | None] = [(group, panel) for group in groups for panel in groups[group]]
    legend = len(next(iter(groups.values())))  # the cell after the first group
    cells.insert(legend, None)
    firsts = {panels[0] for panels in groups.values()}
    rows = [cells[start : start + _COLUMNS] for start in range(0, len(cells), _COLUMNS)]
    headed = [any(cell and cell[1] in firsts for cell in row) for row in rows]
    row_height = _TITLE + _HEIGHT + _FOOT
    figure = new_figure(
        WIDTH,
        HEADER + len(rows) * row_height + sum(headed) * _HEADING,
        "Every criterion against the latent dimension",
        "↑ higher is better, ↓ lower is better. What lies off the scale of a panel is written at its edge.",
        panel_warning(table, data),
    )
    limits = {"inception_score": ("ceiling", ceiling), "mutual_information": ("ln N", information_cap)}
    dimensions = sorted({int(dimension) for dimension in table["latent_dim"].dropna()})
    top = HEADER
    for row, has_heading in zip(rows, headed, strict=True):
        top += _HEADING * has_heading
        for column, cell in enumerate(row):
            left = MARGIN + column * _CELL
            if cell is None:
                _key(figure, left + _LEFT, top, repeated=several(trainings))
                continue
            group, panel = cell
            if panel in firsts:
                last = max(index for index, other in enumerate(row) if other and other[0] == group)
                _head(figure, group, left, MARGIN + (last + 1) * _CELL - 12, top - _HEADING)
            axes = place(figure, left + _LEFT, top + _TITLE, _PANEL, _HEIGHT)
            _draw(axes, table, trainings, panel, dimensions, limits.get(panel.column))
        top += row_height
    return figure


def _draw(
    axes: Axes,
    table: pd.DataFrame,
    trainings: pd.DataFrame,
    panel: _Panel,
    dimensions: Sequence[int],
    limit: tuple[str, float] | None,
) -> None:
    """Draw one score."""
    vae, pca = (_along(table, model, panel.column, dimensions) for model in ("VAE", "PCA"))
    low, high = (_along(table, "VAE", f"{panel.column}_{end}", dimensions) for end in ("low", "high"))
    references = _references(table, panel.column, limit)
    noise = [reference.value for reference in references if reference.name == "noise"]
    bounds = [reference.value for reference in references if reference.name != "noise"]
    bottom, top = _scale(_known(vae, low, high), bounds, [*_known(pca), *noise])

    at = np.arange(len(dimensions))
    for reference in references:
        if bottom <= reference.value <= top:
            axes.axhline(reference.value, color=reference.colour, linestyle=reference.line, linewidth=1.2)
    axes.plot(at, pca, color=PCA, marker="o", markersize=3, linewidth=1.4, zorder=2, label="PCA")
    axes.vlines(at, low, high, color=VAE, linewidth=1.4, zorder=3)
    axes.plot(at, vae, color=VAE, zorder=4, label="VAE", **_DOTS)
    if several(trainings) and not np.isnan(vae).all():
        places = [dimensions.index(dimension) for dimension in trainings["latent_dim"]]
        axes.add_line(_training_mark("", places, trainings[panel.column].tolist()))
    best = _best(vae, panel.better)
    if best is not None:
        axes.plot(at[best], vae[best], color=VAE, marker="o", markersize=6.5, zorder=5, label="best")

    _frame(axes, panel, dimensions, best)
    axes.set(xlim=(-0.5, len(dimensions) - 0.5), ylim=(bottom, top))
    _label(axes, panel, references, pca)


def _along(table: pd.DataFrame, model: str, column: str, dimensions: Sequence[int]) -> NDArray[np.float64]:
    """Return a column of one kind of model by dimension, NaN where there is no number."""
    if column not in table:
        return np.full(len(dimensions), np.nan)
    rows = table[table["model"] == model]
    numbers = dict(zip(rows["latent_dim"].astype(int), rows[column].astype("float64"), strict=True))
    return np.array([numbers.get(dimension, np.nan) for dimension in dimensions], dtype=np.float64)


def _references(table: pd.DataFrame, column: str, limit: tuple[str, float] | None) -> list[_Reference]:
    """Return what is no curve: the test images and pixel noise, and the limit of the score."""
    found = [] if limit is None else [_Reference(*limit, _LIMIT, "-")]
    for name, model, colour, line in (
        ("test", "test images", _TEST, "--"),
        ("noise", "pixel noise", _NOISE, ":"),
    ):
        values = table.loc[table["model"] == model, column].dropna()
        found += [_Reference(name, float(value), colour, line) for value in values]
    return found


def _known(*arrays: NDArray[np.float64]) -> list[float]:
    values: list[float] = np.concatenate(arrays).tolist()
    return [value for value in values if np.isfinite(value)]


def _scale(core: Sequence[float], bounds: Sequence[float], rest: Sequence[float]) -> tuple[float, float]:
    """Return an axis that holds `core`, and of the others what does not squash it, the nearest first."""
    core = core or [*bounds, *rest] or [0.0, 1.0]
    low, high = min(core), max(core)
    # Models that are all alike must not be told apart by digits that nobody reads.
    taken = max(high - low, 0.01 * max(abs(low), abs(high))) or 1.0
    for values, stretch in ((bounds, _STRETCH), (rest, _LITTLE_STRETCH)):
        for value in sorted(values, key=partial(_distance, low, high)):
            if max(high, value) - min(low, value) <= stretch * taken:
                low, high = min(low, value), max(high, value)
    middle, length = (low + high) / 2, max(high - low, taken)
    return middle - 0.6 * length, middle + 0.6 * length


def _distance(low: float, high: float, value: float) -> float:
    return max(low - value, value - high)


def _best(values: NDArray[np.float64], better: str) -> int | None:
    """Return where the best value is, or None where no way is better or there is no value."""
    if not better or np.isnan(values).all():
        return None
    return int(np.nanargmax(values) if better == "↑" else np.nanargmin(values))


def _frame(axes: Axes, panel: _Panel, dimensions: Sequence[int], best: int | None) -> None:
    names = [str(dimension) for dimension in dimensions]
    crowded = sum(7 * len(name) + 5 for name in names) > _PANEL
    axes.set_xticks(range(len(names)), names, size=9, rotation=90 if crowded else 0)
    if best is not None:
        axes.get_xticklabels()[best].set(color=VAE, weight="bold")
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2))
    if panel.percent:
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
    else:
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", length=2)
    axes.text(0, 1.17, f"{panel.name} {panel.better}".strip(), transform=axes.transAxes, va="bottom")
    axes.text(0, 1.04, panel.unit, transform=axes.transAxes, va="bottom", color=SOFT, size=9)


def _label(axes: Axes, panel: _Panel, references: Sequence[_Reference], pca: NDArray[np.float64]) -> None:
    """Name the lines right of the panel with their values; with an arrow what lies off the scale."""
    bottom, top = axes.get_ylim()
    labels = []
    for reference in references:
        arrow = "↑ " if reference.value > top else "↓ " if reference.value < bottom else ""
        labels.append(
            (f"{reference.name}\n{arrow}{_number(reference.value, panel)}", reference.value, reference.colour)
        )
    above, below = pca[pca > top], pca[pca < bottom]
    if len(above):
        labels.append((f"PCA\n≥ {_number(above.min(), panel)}", top, _PCA_TEXT))
    if len(below):
        labels.append((f"PCA\n≤ {_number(below.max(), panel)}", bottom, _PCA_TEXT))

    line = data_height(axes, _LINE)
    wanted = [min(max(value, bottom), top) for _, value, _ in labels]
    heights = within(apart(wanted, line), line, bottom + line / 2, top - line / 2)
    for (text, value, colour), height in zip(labels, heights, strict=True):
        tie = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 0}
        axes.annotate(
            text,
            (1, value),
            xytext=(1.06, height),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=colour,
            size=8.5,
            linespacing=1.1,
            annotation_clip=False,
            arrowprops=tie if bottom < value < top else None,
        )


def _number(value: float, panel: _Panel) -> str:
    """Return a number of two or three digits."""
    if panel.percent:
        return f"{100 * value:.3g}%"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    digits = f"{value:.3g}" if abs(value) >= 0.1 else f"{value:.2g}"
    return digits.replace("-", "−")


def _head(figure: Figure, name: str, left: float, right: float, top: float) -> None:
    """Write the name of a group below a line as wide as its panels."""
    width, height = figure.bbox.size
    across = ([left / width, right / width], [1 - (top + 2) / height] * 2)
    figure.add_artist(Line2D(*across, color=FAINT, linewidth=1))
    figure.text(left / width, 1 - (top + 10) / height, name, va="top", size=11.5, weight="bold")


def _training_mark(label: str, x: Sequence[float] = (), y: Sequence[float] = ()) -> Line2D:
    return Line2D(x, y, color=VAE, marker="_", markersize=7, linestyle="", zorder=4, label=label)


def _key(figure: Figure, left: float, top: float, *, repeated: bool) -> None:
    """Say what is what; `repeated`: models have more than one training."""
    width, height = figure.bbox.size
    handles = [
        Line2D([], [], color=VAE, label="VAE, 95% interval", **_DOTS),
        *([_training_mark("each training")] if repeated else []),
        Line2D([], [], color=VAE, marker="o", markersize=6.5, linestyle="", label="the best VAE"),
        Line2D([], [], color=PCA, marker="o", markersize=3, linewidth=1.4, label="PCA"),
        Line2D([], [], color=_TEST, linestyle="--", linewidth=1.2, label="test images"),
        Line2D([], [], color=_NOISE, linestyle=":", linewidth=1.2, label="pixel noise"),
        Line2D([], [], color=_LIMIT, linewidth=1.2, label="attainable at most"),
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - top / height),
        borderaxespad=0,
        borderpad=0,
        fontsize=10,
    )
