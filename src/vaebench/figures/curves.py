"""Losses over training: one model, or every latent dimension together."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vaebench.figures.labels import apart, data_height
from vaebench.figures.style import (
    DIMENSION_COLOURS,
    HEADER,
    INK,
    MARGIN,
    OURS,
    PUBLISHED,
    REPRODUCED,
    SOFT,
    WIDTH,
    house_style,
    new_figure,
    place,
    with_dimension,
)
from vaebench.findings.trainings import mean_curve
from vaebench.pipeline.datasets import DatasetEntry

# column -> (name, unit, colour)
_LOSSES = {
    "combined_loss": ("combined", "error + divergence", INK),
    "reconstruction_loss": ("reconstruction", "squared error, summed over pixels", "#0072b2"),
    "kl_loss": ("KL divergence", "nats", "#d55e00"),
}
_MARKED_EPOCHS = 20  # up to here each epoch has its dot; beyond, dots would hide the line
_LABEL_LEFT = 1.035  # of the width of a panel


@house_style()
def loss_curves(curve: pd.DataFrame, latent_dim: int, data: DatasetEntry) -> Figure:
    """Draw the three losses of one model, on training and on test images.

    Args:
        curve: one row an epoch: `epoch`, `combined_loss`, `reconstruction_loss` and `kl_loss`, and the three
            losses with the prefix `test_`.
        latent_dim: the model's latent dimension.
        data: the data set, for its words.
    """
    width, height = 618, 384
    figure = new_figure(
        WIDTH,
        HEADER + height + 80,
        with_dimension("Loss over training", latent_dim),
        "Mean per image from the second epoch on. The combined loss is the sum of the other two.",
    )
    axes = place(figure, MARGIN + 52, HEADER + 24, width, height)
    shown = _shown(curve)
    for column, (_, _, colour) in _LOSSES.items():
        _line(axes, shown, column, colour)
        axes.plot(shown["epoch"], shown[f"test_{column}"], "--", linewidth=1.7, color=colour)
    _frame(axes, "loss per image")
    axes.set_ylim(bottom=0)

    last = curve.iloc[-1]
    line = data_height(axes, 18)
    heights = apart([last[column] for column in _LOSSES], 2.4 * line)
    for (column, (name, unit, colour)), at in zip(_LOSSES.items(), heights, strict=True):
        text = f"{name} {last[column]:.2f} (test {last[f'test_{column}']:.2f})"
        _label(axes, (last["epoch"], last[column]), at, text, colour)
        axes.text(_LABEL_LEFT, at - line, unit, transform=axes.get_yaxis_transform(), va="center", color=SOFT)
    axes.legend(
        handles=[
            Line2D([], [], color=SOFT, label=f"training {data.nouns}"),
            Line2D([], [], color=SOFT, linestyle="--", label=f"test {data.nouns}"),
        ],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0,
        ncols=2,
    )
    return figure


@house_style()
def benchmark_curves(curves: Mapping[int, Sequence[pd.DataFrame]]) -> Figure:
    """Draw the training losses of every latent dimension: a panel a loss, a line a dimension.

    The line is the mean over trainings; where there are several, each has a thin one.

    Args:
        curves: for each latent dimension, of each training what `loss_curves` takes.
    """
    width, height, stride = 236, 330, 322
    several = any(len(trainings) > 1 for trainings in curves.values())
    figure = new_figure(
        WIDTH,
        HEADER + height + 104,
        "Loss over training, by latent dimension",
        "Mean per training image from the second epoch on. "
        "The number at the end of each line is the latent dimension."
        + (" Thin: each training." if several else ""),
    )
    dimensions = sorted(curves)
    colours = [DIMENSION_COLOURS[place % len(DIMENSION_COLOURS)] for place in range(len(dimensions))]
    for panel, (column, (name, unit, _)) in enumerate(_LOSSES.items()):
        axes = place(figure, MARGIN + 36 + panel * stride, HEADER + 48, width, height)
        for dimension, colour in zip(dimensions, colours, strict=True):
            _lines(axes, curves[dimension], column, colour)
        _frame(axes, "")
        axes.text(0, 1.09, name, transform=axes.transAxes, va="bottom")
        axes.text(0, 1.03, unit, transform=axes.transAxes, va="bottom", color=SOFT, size=10)
        ends = [mean_curve(curves[dimension]).iloc[-1] for dimension in dimensions]
        heights = apart([end[column] for end in ends], data_height(axes, 17))
        for dimension, colour, end, at in zip(dimensions, colours, ends, heights, strict=True):
            _label(axes, (end["epoch"], end[column]), at, str(dimension), colour)
    return figure


@house_style()
def recipe_curves(
    curves: Mapping[int, Sequence[pd.DataFrame]],
    recipe: str,
    reproduced: Mapping[int, Sequence[pd.DataFrame]],
    report: Mapping[int, float],
) -> Figure:
    """Draw the combined loss over training by both recipes: a panel a dimension.

    Args:
        curves: see `benchmark_curves`.
        recipe: the name of the recipe that they come from.
        reproduced: likewise, by the report's recipe.
        report: the combined loss that the report published; a dimension that is not in it has no mark.
    """
    width, height, stride, drop = 208, 190, 322, 300
    rows = -(-len(reproduced) // 3)
    figure = new_figure(
        WIDTH,
        HEADER + rows * drop + 24,
        "Combined loss over training, by recipe",
        "Mean per training image from the second epoch on, by the recipe named and by the report's; "
        "dashed: published.",
    )
    for panel, dimension in enumerate(sorted(reproduced)):
        axes = place(figure, MARGIN + 36 + panel % 3 * stride, HEADER + 48 + panel // 3 * drop, width, height)
        lines = ((curves[dimension], recipe, OURS), (reproduced[dimension], "report's", REPRODUCED))
        for trainings, _, colour in lines:
            _lines(axes, trainings, "combined_loss", colour)
        _frame(axes, "")
        axes.text(0, 1.05, f"latent dimension {dimension}", transform=axes.transAxes, va="bottom")
        means = [(mean_curve(trainings), name, colour) for trainings, name, colour in lines]
        ends = [(mean["epoch"].iloc[-1], mean["combined_loss"].iloc[-1], *rest) for mean, *rest in means]
        if dimension in report:
            axes.axhline(report[dimension], color=PUBLISHED, linestyle="--", linewidth=1.2)
            ends.append((axes.get_xlim()[1], report[dimension], "published", PUBLISHED))
        heights = apart([end[1] for end in ends], data_height(axes, 17))
        for (epoch, loss, name, colour), at in zip(ends, heights, strict=True):
            _label(axes, (epoch, loss), at, name, colour)
    return figure


def _shown(curve: pd.DataFrame) -> pd.DataFrame:
    """Leave out the first epoch, which is far above all others and would flatten them."""
    return curve[1:] if len(curve) > 1 else curve


def _lines(axes: Axes, trainings: Sequence[pd.DataFrame], loss: str, colour: str) -> None:
    """Draw the mean over trainings and, where there are several, each."""
    _line(axes, _shown(mean_curve(trainings)), loss, colour)
    for curve in map(_shown, trainings if len(trainings) > 1 else ()):
        axes.plot(curve["epoch"], curve[loss], linewidth=0.7, color=colour, alpha=0.6)


def _line(axes: Axes, curve: pd.DataFrame, loss: str, colour: str) -> None:
    marker = "o" if len(curve) <= _MARKED_EPOCHS else ""
    axes.plot(curve["epoch"], curve[loss], marker=marker, markersize=3.2, linewidth=1.7, color=colour)


def _frame(axes: Axes, ylabel: str) -> None:
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)


def _label(axes: Axes, end: tuple[float, float], at: float, text: str, colour: str) -> None:
    """Write `text` right of the panel at height `at`, tied in `colour` to the `end` of its line."""
    axes.annotate(
        text,
        end,
        xytext=(_LABEL_LEFT, at),
        textcoords=axes.get_yaxis_transform(),
        va="center",
        annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 4},
    )
