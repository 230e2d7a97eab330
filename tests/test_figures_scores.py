import io
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from vaebench import figures
from vaebench.figures.labels import apart, beside, within
from vaebench.findings.criteria import CRITERIA
from vaebench.findings.fitness import judged, panel_warning
from vaebench.pipeline.datasets import DATASETS

MNIST = DATASETS["mnist"]
DIMENSIONS = (2, 3, 4, 5, 10, 30)
MANY = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
CEILING, CAP = 9.98, float(np.log(10_000))

# column -> (the name of its panel, which way is better)
SCORES = {
    "test_combined_loss": ("combined loss", "↓"),
    "nll_bound": ("−log p(x) bound, σ² = 1/2", "↓"),
    "nll_bound_fitted": ("−log p(x) bound, σ² fitted", "↓"),
    "inception_score": ("inception score", "↑"),
    "label_entropy": ("label entropy H(y)", "↑"),
    "conditional_entropy": ("conditional entropy H(y|x)", "↓"),
    "fid": ("FID", "↓"),
    "kid": ("KID", "↓"),
    "precision": ("precision", "↑"),
    "recall": ("recall", "↑"),
    "density": ("density", "↑"),
    "coverage": ("coverage", "↑"),
    "legible_share": ("legible samples", "↑"),
    "legible_path_share": ("legible between digits", "↑"),
    "reconstruction_accuracy": ("reconstructions read right", "↑"),
    "knn_accuracy": ("k-NN accuracy", "↑"),
    "probe_accuracy": ("linear probe accuracy", "↑"),
    "class_overlap": ("class overlap", "↓"),
    "marginal_kl": ("marginal KL", ""),
    "mutual_information": ("mutual information", ""),
    "kl_per_unit": ("KL per latent unit", ""),
    "active_units": ("active units", ""),
}
# The scale of each score, so that its texts are as wide as real ones: of the VAEs, PCA, test images, noise.
RANGES = {
    "test_combined_loss": ((26, 35), None, None, None),
    "nll_bound": ((470, 481), None, None, None),
    "nll_bound_fitted": ((-1860, -640), (-690, -420), None, None),
    "inception_score": ((7.4, 8.4), (2.1, 4.2), 9.85, 1.03),
    "label_entropy": ((2.2, 2.28), (1.4, 2.1), 2.3, 0.4),
    "conditional_entropy": ((0.14, 0.27), (0.6, 0.9), 0.013, 0.37),
    "fid": ((17, 58), (110, 310), 1.1, 2013.4),
    "kid": ((0.22, 0.9), (1.4, 5), 0.004, 98.2),
    "precision": ((0.7, 0.88), (0.02, 0.4), 0.97, 0),
    "recall": ((0.2, 0.62), (0, 0.3), 0.97, 0),
    "density": ((0.55, 0.85), (0, 0.2), 1.01, 0),
    "coverage": ((0.3, 0.68), (0, 0.2), 0.95, 0),
    "legible_share": ((0.55, 0.73), (0.011, 0.15), 0.985, 0),
    "legible_path_share": ((0.5, 0.84), (0.1, 0.6), None, None),
    "reconstruction_accuracy": ((0.793, 0.968), (0.3, 0.96), 0.995, None),
    "knn_accuracy": ((0.8, 0.971), (0.43, 0.975), None, None),
    "probe_accuracy": ((0.62, 0.935), (0.44, 0.88), None, None),
    "class_overlap": ((0.05, 0.29), (0.06, 0.6), None, None),
    "marginal_kl": ((0.15, 3.5), None, None, None),
    "mutual_information": ((5.1, 9.16), None, None, None),
    "kl_per_unit": ((0.42, 2.63), None, None, None),
    "active_units": ((2, 12), None, None, None),
}
WITHOUT_INTERVAL = {"test_combined_loss", "label_entropy", "marginal_kl", "kl_per_unit", "active_units"}


def make_table(dimensions: tuple[int, ...] = DIMENSIONS) -> pd.DataFrame:
    """Return a table of the benchmark's columns and kinds, with numbers of a real one's size."""
    random = np.random.default_rng(len(dimensions))
    models = [*["VAE"] * len(dimensions), *["PCA"] * len(dimensions), "test images", "pixel noise"]
    table = pd.DataFrame({"model": models, "latent_dim": pd.array([*dimensions, *dimensions, None, None])})
    empty = [np.nan] * len(dimensions)
    for column, (vae, pca, test, noise) in RANGES.items():
        drawn = random.uniform(vae[0], vae[1], len(dimensions))
        other = empty if pca is None else np.sort(random.uniform(pca[0], pca[1], len(dimensions)))
        table[column] = [*drawn, *other, *(np.nan if value is None else value for value in (test, noise))]
        if column not in WITHOUT_INTERVAL:
            width = 0.05 * (vae[1] - vae[0])
            # A bootstrap interval need not lie around its number.
            table[f"{column}_low"] = table[column] + (width if column == "kid" else -width)
            table[f"{column}_high"] = table[column] + 2 * width
    table["recipe"] = ["fast" if model == "VAE" else None for model in models]
    rate = 5 + 8 * (1 - np.exp(-np.arange(len(dimensions)) / 3))
    for prefix, shift in (("", 0.0), ("reproduced_", 0.5), ("report_", 0.6)):
        table[f"{prefix}kl_loss"] = [*(rate - shift), *empty, np.nan, np.nan]
        table[f"{prefix}reconstruction_loss"] = [*(40 - 2 * rate + 3 * shift), *empty, np.nan, np.nan]
    return table


def make_overlap(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.full(10, 0.2), size=10)


def make_spectrum(dimension: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the KL of units, at most twelve of them active, in no order."""
    random = np.random.default_rng(dimension)
    active = random.permutation(np.arange(dimension) < 12)
    return np.where(active, random.uniform(0.5, 3, dimension), random.uniform(0, 0.01, dimension)), active


def spectra_figure(*dimensions: int) -> Figure:
    made = {dimension: make_spectrum(dimension) for dimension in dimensions}
    return figures.kl_spectra(
        {dimension: [kl] for dimension, (kl, _) in made.items()},
        {dimension: [active] for dimension, (_, active) in made.items()},
    )


def criteria(table: pd.DataFrame) -> Figure:
    """Models of one training each."""
    return figures.criteria(table, table[table["model"] == "VAE"], CEILING, CAP, MNIST)


def rate_distortion(table: pd.DataFrame) -> Figure:
    return figures.rate_distortion(table, table[table["model"] == "VAE"])


@cache
def standard() -> Figure:
    """The criteria of `make_table()`, its rows in no order."""
    return criteria(make_table().sample(frac=1, random_state=0))


@cache
def all_figures() -> dict[str, Figure]:
    drawn = {
        "criteria": standard(),
        "criteria of many": criteria(make_table(MANY)),
        "criteria of one": criteria(make_table((1,))),
        "spectra": spectra_figure(*DIMENSIONS),
        "extreme spectra": spectra_figure(1, 512),
        "rate": rate_distortion(make_table()),
        "rate of many": rate_distortion(make_table(MANY)),
        "rate of one": rate_distortion(make_table((1,))),
        "overlap": figures.overlap(make_overlap(), "Title", MNIST),
        "certain": figures.overlap(np.eye(10), "Title", MNIST),
        "overlaps": figures.overlaps({dimension: make_overlap(dimension) for dimension in DIMENSIONS}, MNIST),
        "overlaps of one": figures.overlaps({512: make_overlap()}, MNIST),
    }
    for figure in drawn.values():
        figure.draw_without_rendering()
    return drawn


def written(figure: Figure) -> Iterator[Text]:
    """All texts that the page shows."""
    yield from figure.texts
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)]:
        yield from legend.get_texts() if legend else ()
    for axes in figure.axes:
        yield from axes.texts
        for axis in (axes.xaxis, axes.yaxis):
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            for at, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
                if low <= at <= high:
                    yield label


def box(text: Text) -> NDArray[np.float64]:
    return np.asarray(Text.get_window_extent(text).extents)  # of the text without the arrow of an annotation


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """The texts of a drawn page that cover one another."""
    shown = [text for text in written(figure) if text.get_text()]
    boxes = np.array([box(text) for text in shown])
    low = np.maximum(boxes[:, np.newaxis, :2], boxes[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], boxes[:, 2:])
    pairs = np.argwhere(np.triu((high - low).min(axis=2) >= 1, k=1)).tolist()
    return [(shown[one].get_text(), shown[other].get_text()) for one, other in pairs]


def panel(figure: Figure, name: str) -> Axes:
    """The panel whose title is `name`, with an arrow or without."""
    return next(axes for axes in figure.axes if axes.texts[0].get_text().rstrip(" ↑↓") == name)


def line(axes: Axes, label: str) -> NDArray[np.float64]:
    """The points of a line, (N, 2), without missing ones."""
    (found,) = [each for each in axes.lines if each.get_label() == label]
    points = np.asarray(found.get_xydata(), dtype=np.float64)
    return points[np.isfinite(points).all(axis=1)]


def levels(axes: Axes) -> set[float]:
    """The heights of the lines that cross the whole panel."""
    return {
        float(np.asarray(each.get_ydata())[0])
        for each in axes.lines
        if each.get_transform() == axes.get_yaxis_transform()
    }


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def values(table: pd.DataFrame, model: str, column: str) -> list[float]:
    chosen = table[table["model"] == model].sort_values("latent_dim")
    numbers: list[float] = chosen[column].dropna().astype(float).tolist()
    return numbers


def shades(axes: Axes) -> dict[tuple[int, int], str]:
    """The colour of each cell of a matrix that has one."""
    errors, diagonal = axes.images
    cells = {}
    for image in (errors, diagonal):
        shown: np.ma.MaskedArray[Any, Any] = np.ma.asarray(image.get_array())
        for row, column in np.argwhere(~np.ma.getmaskarray(shown)).tolist():
            cells[row, column] = to_hex(tuple(image.cmap(image.norm(shown[row, column]))))
    return cells


@pytest.mark.slow
def test_nothing_is_drawn_outside_the_page() -> None:
    for name, figure in all_figures().items():
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0, name


def test_no_text_covers_another() -> None:
    for name, figure in all_figures().items():
        assert overlapping(figure) == [], name


def test_every_criterion_has_a_panel_that_says_which_way_is_better() -> None:
    titles = [axes.texts[0].get_text() for axes in standard().axes]
    assert sorted(titles) == sorted(f"{name} {better}".strip() for name, better in SCORES.values())


def test_a_panel_draws_the_numbers_of_the_table_by_dimension() -> None:
    table = make_table()
    figure = standard()
    for column, (name, _) in SCORES.items():
        axes = panel(figure, name)
        for model in ("VAE", "PCA"):
            assert line(axes, model)[:, 1].tolist() == values(table, model, column), column
        assert line(axes, "VAE")[:, 0].tolist() == list(range(len(DIMENSIONS)))
        assert [label.get_text() for label in axes.get_xticklabels()] == [str(d) for d in DIMENSIONS]


def test_a_table_read_from_a_file_is_drawn_alike() -> None:
    read = pd.read_csv(io.StringIO(make_table().to_csv(index=False)))
    drawn, again = standard(), criteria(read)
    for name, _ in SCORES.values():
        assert line(panel(drawn, name), "VAE") == pytest.approx(line(panel(again, name), "VAE"))
        assert texts(panel(drawn, name)) == texts(panel(again, name))


def test_intervals_are_drawn_where_they_are() -> None:
    table, figure = make_table(), standard()
    for column, (name, _) in SCORES.items():
        (bars,) = [each for each in panel(figure, name).collections if isinstance(each, LineCollection)]
        if column in WITHOUT_INTERVAL:
            assert not any(np.isfinite(segment).any() for segment in bars.get_segments())
            continue
        expected = zip(
            range(len(DIMENSIONS)),
            values(table, "VAE", f"{column}_low"),
            values(table, "VAE", f"{column}_high"),
            strict=True,
        )
        drawn = [(*segment[0], segment[1, 1]) for segment in map(np.asarray, bars.get_segments())]
        assert drawn == list(expected), column


def test_the_best_dimension_is_marked_where_one_way_is_better() -> None:
    table, figure = make_table(), standard()
    for column, (name, better) in SCORES.items():
        axes = panel(figure, name)
        bold = [label.get_text() for label in axes.get_xticklabels() if label.get_fontweight() == "bold"]
        if not better:
            assert "best" not in {each.get_label() for each in axes.lines}
            assert bold == []
            continue
        vae = values(table, "VAE", column)
        best = (max if better == "↑" else min)(range(len(vae)), key=vae.__getitem__)
        assert line(axes, "best").tolist() == [[best, vae[best]]]
        assert bold == [str(DIMENSIONS[best])]


def test_findings_and_figure_agree_which_way_is_better() -> None:
    shared = {each.column: each.higher for each in CRITERIA if each.column in SCORES}
    assert shared
    assert shared == {column: SCORES[column][1] == "↑" for column in shared}


def test_test_images_and_limits_are_lines_with_their_names_and_values() -> None:
    figure = standard()
    score = panel(figure, "inception score")
    assert levels(score) == {9.85, CEILING}
    assert {"test\n9.85", "ceiling\n9.98"} < set(texts(score))
    assert CAP in levels(panel(figure, "mutual information"))
    assert "ln N\n9.21" in texts(panel(figure, "mutual information"))
    assert "test\n98.5%" in texts(panel(figure, "legible samples"))


def test_what_is_far_off_is_written_and_does_not_stretch_the_axis() -> None:
    figure = standard()
    fid = panel(figure, "FID")
    assert levels(fid) == {1.1}
    assert "noise\n↑ 2,013" in texts(fid)
    assert fid.get_ylim()[1] < 200
    assert "noise\n↓ 1.03" in texts(panel(figure, "inception score"))


def test_pca_off_the_scale_is_written_with_its_bound() -> None:
    table = make_table()
    pca = table["model"] == "PCA"
    table.loc[pca, "fid"] = [9000.0, 8000, 7000, 6000, 5000, 4000]
    table.loc[pca, "precision"] = [0.001, 0.002, 0.003, 0.8, 0.8, 0.8]
    figure = criteria(table)
    assert "PCA\n≥ 4,000" in texts(panel(figure, "FID"))
    assert "PCA\n≤ 0.003" in texts(panel(figure, "precision"))


def test_names_of_lines_that_lie_close_do_not_touch() -> None:
    table = make_table()
    table.loc[table["model"] == "test images", "conditional_entropy"] = 0.2
    table.loc[table["model"] == "pixel noise", "conditional_entropy"] = 0.201
    figure = criteria(table)
    figure.draw_without_rendering()
    assert {"test\n0.2", "noise\n0.201"} < set(texts(panel(figure, "conditional entropy H(y|x)")))
    assert overlapping(figure) == []


def test_the_vaes_take_up_a_fifth_of_the_axis_whatever_stands_beside_them() -> None:
    random = np.random.default_rng(0)
    table = make_table()
    for column in SCORES:
        others = table["model"] != "VAE"
        table.loc[others, column] = random.normal(size=int(others.sum())) * 10.0 ** random.uniform(-3, 5)
    figure = criteria(table)
    for column, (name, _) in SCORES.items():
        ends = [column] if column in WITHOUT_INTERVAL else [column, f"{column}_low", f"{column}_high"]
        vae = [value for end in ends for value in values(table, "VAE", end)]
        low, high = panel(figure, name).get_ylim()
        assert low < min(vae) <= max(vae) < high, column
        assert max(vae) - min(vae) >= 0.2 * (high - low), column


def test_missing_numbers_leave_a_gap() -> None:
    table = make_table()
    table.loc[2, ["fid", "fid_low", "fid_high"]] = np.nan
    table["kid"] = np.nan
    table.loc[table["model"] == "VAE", "recall"] = np.nan
    table.loc[table["model"] == "test images", "recall"] = np.nan
    figure = criteria(table)
    figure.draw_without_rendering()
    fid = panel(figure, "FID")
    assert line(fid, "VAE")[:, 0].tolist() == [0, 1, 3, 4, 5]
    (drawn,) = [each for each in fid.lines if each.get_label() == "VAE"]
    assert np.isnan(np.asarray(drawn.get_ydata())[2])  # or the line would run over the gap
    for name in ("KID", "recall"):
        assert len(line(panel(figure, name), "VAE")) == 0
        assert "best" not in {each.get_label() for each in panel(figure, name).lines}
    assert not any("test" in text for text in texts(panel(figure, "recall"))[2:])


def test_a_table_of_vaes_alone_is_drawn() -> None:
    table = make_table((7,))
    figure = criteria(table[table["model"] == "VAE"])
    figure.draw_without_rendering()
    assert line(panel(figure, "FID"), "VAE").tolist() == [[0, table["fid"][0]]]
    assert levels(panel(figure, "FID")) == set()


def test_equal_scores_are_drawn() -> None:
    table = make_table()
    for column in SCORES:
        table[column] = 0.0
    figure = criteria(table)
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low < 0 < high


def spectrum_bars(axes: Axes) -> list[Rectangle]:
    """The bars of the KL, without the marks below them."""
    return [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_y() >= 0]


def spectrum_marks(axes: Axes) -> list[Rectangle]:
    """What shows a unit whose KL is too small to see."""
    return [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_y() < 0]


@pytest.mark.parametrize("dimension", [1, 5, 30, 512])
def test_a_spectrum_has_a_bar_a_unit_from_the_largest_to_the_smallest(dimension: int) -> None:
    kl, active = make_spectrum(dimension)
    (axes,) = spectra_figure(dimension).axes
    bars = spectrum_bars(axes)
    order = np.argsort(-kl)
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0, height) for height in kl[order]]
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in bars] == list(range(1, dimension + 1))
    colours = [to_hex(bar.get_facecolor()) for bar in bars]
    of_active = {colour for colour, is_active in zip(colours, active[order], strict=True) if is_active}
    of_others = {colour for colour, is_active in zip(colours, active[order], strict=True) if not is_active}
    assert len(of_active) == 1
    assert len(of_others) == (dimension > 12)
    marks = spectrum_marks(axes)
    assert [to_hex(mark.get_facecolor()) for mark in marks] == colours
    assert [mark.get_x() for mark in marks] == [bar.get_x() for bar in bars]
    assert of_active.isdisjoint(of_others)
    assert f"{active.sum()} of {dimension} active · {kl.sum():.2f} nats in all" in texts(axes)
    ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    assert ticks
    assert all(1 <= tick == round(tick) <= dimension for tick in ticks)


def test_spectra_share_their_scale_and_stand_by_rising_dimension() -> None:
    figure = spectra_figure(30, 2, 512, 5)
    assert [axes.texts[0].get_text() for axes in figure.axes] == [
        f"latent dimension {dimension}" for dimension in (2, 5, 30, 512)
    ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    low, high = figure.axes[0].get_ylim()
    tops = [bar.get_y() + bar.get_height() for axes in figure.axes for bar in spectrum_bars(axes)]
    assert low == 0 <= max(tops) < high


def test_a_collapsed_model_has_a_spectrum_of_inactive_units() -> None:
    figure = figures.kl_spectra({3: [np.zeros(3)]}, {3: [np.zeros(3, dtype=bool)]})
    figure.draw_without_rendering()
    assert "0 of 3 active · 0.00 nats in all" in texts(figure.axes[0])
    assert [mark.get_height() > 0 for mark in spectrum_marks(figure.axes[0])] == [True] * 3


def test_criteria_warn_of_an_unfit_panel_and_mark_no_best_by_it() -> None:
    table = make_table()
    table.loc[table["model"] == "test images", "reconstruction_accuracy"] = 0.617
    figure = criteria(judged(table))
    figure.draw_without_rendering()
    assert panel_warning(table, MNIST) in [text.get_text() for text in figure.texts]
    assert overlapping(figure) == []
    for name in ("FID", "inception score", "legible samples", "reconstructions read right"):
        assert not len(line(panel(figure, name), "VAE"))
        assert "best" not in {each.get_label() for each in panel(figure, name).lines}
    assert "best" in {each.get_label() for each in panel(figure, "combined loss").lines}


def test_readings_of_an_unfit_panel_carry_the_warning() -> None:
    figure = figures.confusion(np.eye(10, dtype=np.int64), "Title", MNIST, "They are unfit.")
    assert "They are unfit." in [text.get_text() for text in figure.texts]
    assert overlapping(figure) == []


SERIES = {
    "": "trained here by the fast recipe",
    "reproduced_": "trained here by the report's recipe",
    "report_": "the report's table",
}


def pairs(table: pd.DataFrame, prefix: str) -> list[list[float]]:
    rows = table[table["model"] == "VAE"].sort_values("latent_dim")
    found: list[list[float]] = (
        rows[[f"{prefix}kl_loss", f"{prefix}reconstruction_loss"]].dropna().to_numpy().tolist()
    )
    return found


def numbers(axes: Axes) -> list[str]:
    """The texts inside the axes: the names of points."""
    low, high = axes.get_xlim()
    return [
        text.get_text()
        for text in axes.texts
        if text.get_transform() == axes.transData and low < float(text.get_position()[0]) < high
    ]


def test_rate_distortion_draws_the_pairs_of_the_table() -> None:
    table = make_table()
    (axes,) = rate_distortion(table.sample(frac=1, random_state=0)).axes
    for prefix, name in SERIES.items():
        assert line(axes, name).tolist() == pairs(table, prefix)
    joined = {each.get_label(): each.get_linestyle() for each in axes.lines}
    assert joined[SERIES[""]] == "-"
    assert joined[SERIES["report_"]] == "None"


def test_rate_distortion_names_each_point_by_its_dimension_beside_it() -> None:
    table = make_table()
    (axes,) = rate_distortion(table).axes
    assert sorted(numbers(axes)) == sorted(3 * [str(dimension) for dimension in DIMENSIONS])
    colours = {each.get_label(): each.get_color() for each in axes.lines}
    for prefix, name in SERIES.items():
        places = axes.transData.transform(pairs(table, prefix))
        for text in axes.texts:
            if text.get_color() == colours[name] and text.get_text() in {str(d) for d in DIMENSIONS}:
                at = axes.transData.transform(text.get_position())
                nearest = np.hypot(*(places - at).T)
                assert DIMENSIONS[int(nearest.argmin())] == int(text.get_text())
                assert nearest.min() < 30


def test_points_in_one_place_share_their_label() -> None:
    table = make_table(MANY)
    vae = table["model"] == "VAE"
    for prefix in SERIES:
        table.loc[vae, [f"{prefix}kl_loss", f"{prefix}reconstruction_loss"]] = np.nan
    table.loc[vae, "kl_loss"] = [3.0, 5, 7, 9, 11, *[12.5] * 5]
    table.loc[vae, "reconstruction_loss"] = [35.0, 29, 24, 19, 15, *[14.0] * 5]
    (axes,) = rate_distortion(table).axes
    assert numbers(axes) == ["1", "2", "4", "8", "16", "32, 64, 128, 256, 512"]


def test_along_a_line_of_equal_loss_the_sum_is_what_it_says() -> None:
    (axes,) = rate_distortion(make_table()).axes
    right = axes.get_xlim()[1]
    named = {}
    for text in axes.texts:
        x, y = getattr(text, "xy", (np.nan, np.nan))
        if x == right:
            named[float(text.get_text())] = x + y
    assert len(named) >= 5
    assert list(named.values()) == pytest.approx(list(named))
    slopes = [each for each in axes.lines if type(each).__name__ == "AxLine"]
    assert len(slopes) == len(named)
    assert all(each.get_slope() == -1 for each in slopes)  # type: ignore[attr-defined]
    assert [sum(each.get_xy1()) for each in slopes] == pytest.approx(list(named))  # type: ignore[attr-defined]


def test_missing_reports_are_left_out() -> None:
    table = make_table()
    table.loc[1, "report_kl_loss"] = np.nan
    table["reproduced_reconstruction_loss"] = np.nan
    figure = rate_distortion(table)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [str(each.get_label()) for each in axes.lines]
    assert SERIES["reproduced_"] not in names
    assert len(line(axes, SERIES["report_"])) == len(DIMENSIONS) - 1
    assert numbers(axes).count("3") == 1
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [SERIES[""], SERIES["report_"]]


def test_a_table_without_models_has_an_empty_view() -> None:
    table = make_table()
    rate_distortion(table[table["model"] == "PCA"]).draw_without_rendering()


def matrix_axes(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if len(axes.images) == 2]


def test_overlap_writes_percent_by_digit_row_and_class_column() -> None:
    matrix = np.eye(10)
    matrix[7, 7], matrix[7, 9], matrix[7, 2] = 0.8766, 0.123, 0.0004
    (axes,) = matrix_axes(figures.overlap(matrix, "A title", MNIST))
    at = {text.get_position(): text.get_text() for text in axes.texts}
    assert at[9, 7] == "12.3"  # x is the column, y the row
    assert (7, 9) not in at
    assert (2, 7) not in at  # below 0.05%
    assert at[7, 7] == "87.7"
    assert at[9.65, 7] == "12.3%"
    assert at[9.65, 0] == "0.0%"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("class", "digit of the point")


def test_overlap_and_confusion_colour_equal_shares_alike() -> None:
    counts = np.diag(np.full(10, 1000))
    counts[7, 7], counts[7, 9], counts[2, 3], counts[2, 2] = 850, 150, 4, 996
    (confused,) = matrix_axes(figures.confusion(counts, "Title", MNIST))
    (overlapping,) = matrix_axes(figures.overlap(counts / 1000, "Title", MNIST))
    small = matrix_axes(figures.overlaps({5: counts / 1000, 2: counts / 1000}, MNIST))
    assert len(shades(confused)) == 12
    assert all(shades(confused) == shades(axes) for axes in [overlapping, *small])
    assert shades(confused)[7, 9] != shades(confused)[2, 3]
    red, green, blue = (int(shades(confused)[4, 4][start : start + 2], 16) for start in (1, 3, 5))
    assert max(red, green, blue) - min(red, green, blue) < 10  # the diagonal is grey


def test_an_absent_digit_leaves_its_row_of_the_overlap_empty() -> None:
    for empty in (0.0, np.nan):
        matrix = make_overlap()
        matrix[4] = empty
        figure = figures.overlap(matrix, "Title", MNIST)
        figure.draw_without_rendering()
        (axes,) = matrix_axes(figure)
        assert not [text for text in axes.texts if text.get_position()[1] == 4]
        small = figures.overlaps({5: matrix}, MNIST)
        others = np.mean([1 - matrix[digit, digit] for digit in range(10) if digit != 4])
        assert f"{others:.1%} to other digits, mean of the rows" in texts(small.axes[0])


def test_overlaps_have_a_panel_a_dimension_and_numbers_only_where_large() -> None:
    matrices = {dimension: make_overlap(dimension) for dimension in (30, 2, 5, 10)}
    panels = matrix_axes(figures.overlaps(matrices, MNIST))
    assert [axes.texts[-2].get_text() for axes in panels] == [
        f"latent dimension {dimension}" for dimension in (2, 5, 10, 30)
    ]
    for axes, dimension in zip(panels, (2, 5, 10, 30), strict=True):
        matrix = matrices[dimension]
        cells = {text.get_position(): text.get_text() for text in axes.texts[:-2]}
        assert cells == {
            (column, row): f"{100 * matrix[row, column]:.0f}"
            for row, column in np.argwhere((matrix >= 0.05) & ~np.eye(10, dtype=bool)).tolist()
        }


def test_labels_are_moved_apart_and_kept_within() -> None:
    heights = within(apart([9.9, 10, 10, 0, 5], 2), 2, 0.5, 9.5)
    assert heights == pytest.approx([5.5, 7.5, 9.5, 0.5, 3.5])
    assert apart([1, 4, 9], 2) == [1, 4, 9]


def test_labels_find_places_clear_of_points_and_of_each_other() -> None:
    points = [(100.0, 100.0), (104.0, 100.0), (100.0, 104.0), (108.0, 108.0)]
    obstacles = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    sizes = [(20.0, 12.0)] * len(points)
    centres = beside(points, sizes, obstacles)
    placed = [(x - 10, y - 6, x + 10, y + 6) for x, y in centres]
    for one, other in [*combinations(placed, 2), *((a, b) for a in placed for b in obstacles)]:
        wide = min(one[2], other[2]) - max(one[0], other[0])
        high = min(one[3], other[3]) - max(one[1], other[1])
        assert min(wide, high) <= 0
    assert all(np.hypot(x - u, y - v) < 60 for (x, y), (u, v) in zip(points, centres, strict=True))


def test_labels_without_a_free_place_are_still_placed() -> None:
    assert len(beside([(0.0, 0.0)], [(5.0, 5.0)], [(-1e3, -1e3, 1e3, 1e3)])) == 1


# Several trainings.


def test_each_training_is_a_point() -> None:
    table = make_table()
    once = table[table["model"] == "VAE"]
    again = once.assign(fid=once["fid"] + 1, kl_loss=once["kl_loss"] + 1)
    trainings = pd.concat([once, again])
    figure = figures.criteria(table, trainings, CEILING, CAP, MNIST)
    named = [[text.get_text() for text in each.legends[0].get_texts()] for each in (figure, criteria(table))]
    assert ["each training" in names for names in named] == [True, False]
    [fid] = [axes for axes in figure.axes if "FID ↓" in texts(axes)]
    [points] = [line for line in fid.lines if line.get_marker() == "_"]
    places = [sorted(once["latent_dim"]).index(dimension) for dimension in trainings["latent_dim"]]
    assert np.asarray(points.get_xdata()).tolist() == places
    assert np.asarray(points.get_ydata()).tolist() == list(trainings["fid"])

    several, alone = figures.rate_distortion(table, trainings), rate_distortion(table)
    drawn = [
        [np.asarray(line.get_xdata()).tolist() for line in figure.axes[0].lines]
        for figure in (several, alone)
    ]
    assert [list(trainings["kl_loss"]) in lines for lines in drawn] == [True, False]


def test_a_spectrum_has_points_of_the_other_trainings() -> None:
    spectra = [np.array([0.2, 1.0]), np.array([3.0, 0.1]), np.array([0.5, 0.6])]
    (axes,) = figures.kl_spectra({2: spectra}, {2: [np.array([True, True])] * 3}).axes
    assert [bar.get_height() for bar in spectrum_bars(axes)] == [1.0, 0.2]
    assert [np.asarray(line.get_ydata()).tolist() for line in axes.lines] == [[3.0, 0.1], [0.6, 0.5]]
    assert axes.get_ylim()[1] > 3
