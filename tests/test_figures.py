import dataclasses
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Annotation, Text
from mpl_toolkits.mplot3d.proj3d import proj_transform
from PIL import Image

from vaebench import figures
from vaebench.evaluation.pictures import Pictures, load_pictures
from vaebench.figures.style import CLASS_COLOURS, FAINT, INK, SOFT
from vaebench.page import charts
from vaebench.page.charts import loss_curves as page_loss_curves
from vaebench.pipeline.datasets import DATASETS

Draw = Callable[[Pictures, int], Figure]
MNIST, FASHION = DATASETS["mnist"], DATASETS["fashion_mnist"]
DRAWINGS: dict[str, Draw] = {
    "latent_scatter": partial(figures.latent_scatter, data=MNIST),
    "reconstructions": partial(figures.reconstructions, data=MNIST),
    "prior_samples": figures.prior_samples,
    "interpolations": partial(figures.interpolations, data=MNIST),
    "label_distributions": partial(figures.label_distributions, data=MNIST),
}
GRIDS = {name: DRAWINGS[name] for name in ("reconstructions", "prior_samples", "interpolations")}


def make_pictures(latent_dim: int = 5, count: int = 300) -> Pictures:
    random = np.random.default_rng(latent_dim)
    axes = latent_dim if latent_dim <= 3 else 2
    labels = np.arange(count, dtype=np.uint8) % 10
    centres = random.normal(size=(10, axes))
    probabilities = random.dirichlet(np.full(10, 0.2), size=64).astype(np.float32)
    return Pictures(
        originals=random.integers(0, 256, (15, 28, 28), dtype=np.uint8),
        reconstructions=random.integers(0, 256, (15, 28, 28), dtype=np.uint8),
        original_labels=np.arange(15, dtype=np.uint8) % 10,
        samples=random.integers(0, 256, (64, 28, 28), dtype=np.uint8),
        interpolations=random.integers(0, 256, (5, 11, 28, 28), dtype=np.uint8),
        interpolation_labels=np.array([[3, 8], [4, 9], [1, 7], [0, 6], [2, 5]], dtype=np.uint8),
        latent=(centres[labels] + 0.3 * random.normal(size=(count, axes))).astype(np.float32),
        labels=labels,
        explained_variance=np.full(axes, 0.25, dtype=np.float32),
        probabilities=probabilities,
        marginal=probabilities.mean(axis=0),
        test_marginal=np.full(10, 0.1, dtype=np.float32),
        latent_centre=np.zeros(axes, dtype=np.float32),
        latent_axes=np.eye(axes, dtype=np.float32),
        confusion=random.integers(0, 1000, (10, 10)),
    )


def make_curve(epochs: int = 10, level: float = 20.0, scale: float = 1.0) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    reconstruction, kl = scale * (level + 30 / epoch), scale * (8 - 3 / epoch)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "reconstruction_loss": reconstruction,
            "kl_loss": kl,
            "combined_loss": reconstruction + kl,
            "test_reconstruction_loss": reconstruction + 0.5,
            "test_kl_loss": kl + 0.1,
            "test_combined_loss": reconstruction + kl + 0.6,
        }
    )


def once(curves: Mapping[int, pd.DataFrame]) -> dict[int, list[pd.DataFrame]]:
    """Curves of models that were trained once."""
    return {dimension: [curve] for dimension, curve in curves.items()}


def make_confusion() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    matrix = np.diag(np.full(10, 90))
    matrix[7, 9] = 13
    return matrix


@cache
def all_figures() -> dict[str, Figure]:
    curves = {d: make_curve(level=30 - d / 20) for d in (2, 3, 4, 5, 10, 30, 512)}
    drawn = {
        "loss_curves": figures.loss_curves(make_curve(), 512, MNIST),
        "benchmark_curves": figures.benchmark_curves(once(curves)),
        "recipe_curves": figures.recipe_curves(once(curves), "fast", once(curves), {2: 37.0, 5: 512.0}),
        "confusion": figures.confusion(make_confusion(), "Title", MNIST),
    }
    for name, draw in DRAWINGS.items():
        drawn |= {f"{name}-{d}": draw(make_pictures(d), d) for d in (1, 2, 3, 512)}
    return drawn


def words(figure: Figure) -> str:
    """All that is written in a figure, a text a line."""
    written = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return "\n".join(text.get_text() for text in written if isinstance(text, Text))


def panel(figure: Figure, xlabel: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_xlabel() == xlabel)


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def heights(line: Line2D) -> list[float]:
    values: list[float] = np.asarray(line.get_ydata()).tolist()
    return values


def tied_colours(axes: Axes) -> dict[str, str]:
    """The colours of the lines by the name at their end, as what ties the two says."""
    found = {}
    for text in axes.texts:
        if isinstance(text, Annotation) and text.arrow_patch is not None:
            found[text.get_text()] = to_hex(text.arrow_patch.get_edgecolor())
    return found


def legend_colours(figure: Figure) -> dict[str, str]:
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    return dict(zip(names, (to_hex(dot.get_color()) for dot in legend.get_lines()), strict=True))


@pytest.mark.slow
def test_nothing_is_drawn_outside_the_page() -> None:
    for name, figure in all_figures().items():
        figure.draw_without_rendering()
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0, name


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_the_title_names_the_latent_dimension(draw: Draw) -> None:
    for latent_dim in (1, 2, 3, 5, 30):
        assert f"latent dimension {latent_dim}\n" in words(draw(make_pictures(latent_dim), latent_dim))


def test_loss_curves_draw_training_solid_and_test_dashed() -> None:
    curve = make_curve()
    (axes,) = figures.loss_curves(curve, 5, MNIST).axes
    lines = {(line.get_linestyle(), tuple(heights(line))) for line in axes.lines}
    losses = ("combined_loss", "reconstruction_loss", "kl_loss")
    assert lines == {("-", tuple(curve[loss][1:])) for loss in losses} | {
        ("--", tuple(curve[f"test_{loss}"][1:])) for loss in losses
    }


def test_loss_curves_say_where_training_ended() -> None:
    curve = make_curve()
    written = words(figures.loss_curves(curve, 5, MNIST))
    last = curve.iloc[-1]
    assert f"KL divergence {last['kl_loss']:.2f} (test {last['test_kl_loss']:.2f})" in written


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_loss_curves_of_any_length_tick_whole_epochs(epochs: int) -> None:
    figure = figures.loss_curves(make_curve(epochs), 5, MNIST)
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == round(tick) for tick in ticks)


def test_one_epoch_is_visible_as_a_point() -> None:
    (axes,) = figures.loss_curves(make_curve(1), 5, MNIST).axes
    assert "o" in {line.get_marker() for line in axes.lines}


def test_benchmark_draws_each_dimension_in_each_panel_in_one_colour() -> None:
    curves = {30: make_curve(level=10), 2: make_curve(level=30), 5: make_curve(level=20)}
    panels = figures.benchmark_curves(once(curves)).axes
    assert len(panels) == 3
    for axes, loss in zip(panels, ("combined_loss", "reconstruction_loss", "kl_loss"), strict=True):
        drawn = {colour: int(name) for name, colour in tied_colours(axes).items()}
        for line in axes.lines:
            assert heights(line) == list(curves[drawn[str(line.get_color())]][loss][1:])
        assert len(axes.lines) == len(curves)


def test_a_dimension_has_one_colour_in_figures_and_page() -> None:
    dimensions = (2, 3, 4, 5, 10, 30, 64, 128)
    curves = {dimension: make_curve() for dimension in dimensions}
    encoding = page_loss_curves(once(curves), "combined_loss")["encoding"]["color"]["scale"]
    colours = dict(zip(map(str, encoding["domain"]), encoding["range"], strict=True))
    assert len(set(colours.values())) == len(dimensions)
    for axes in figures.benchmark_curves({d: [curves[d]] for d in reversed(dimensions)}).axes:
        assert tied_colours(axes) == colours


def test_ink_is_alike_in_figures_and_page() -> None:
    style = (Path(charts.__file__).parent / "style.css").read_text()
    for name, colour in (("ink", INK), ("soft", SOFT), ("line", FAINT)):
        assert f"--{name}: light-dark({colour}," in style


def test_labels_of_equal_curves_do_not_overlap() -> None:
    figure = figures.benchmark_curves({d: [make_curve()] for d in (2, 3, 4, 5, 10, 30, 64, 128)})
    figure.draw_without_rendering()
    for axes in figure.axes:
        labels = [text for text in axes.texts if text.get_text().isdigit()]
        extents = sorted((Text.get_window_extent(text) for text in labels), key=lambda extent: extent.y0)
        assert len(extents) == 8
        assert all(below.y1 <= above.y0 for below, above in pairwise(extents))


def test_several_trainings_have_thin_lines_beside_their_mean() -> None:
    trainings = [make_curve(level=20), make_curve(level=30)]
    mean = (trainings[0] + trainings[1]) / 2
    for figure in (
        figures.benchmark_curves({5: trainings}),
        figures.recipe_curves({5: trainings}, "fast", {5: [make_curve(level=40)]}, {}),
    ):
        axes = figure.axes[0]
        thick, *thin = axes.lines[:3]
        assert heights(thick) == list(mean["combined_loss"][1:])
        assert [heights(line) for line in thin] == [list(each["combined_loss"][1:]) for each in trainings]
        assert all(line.get_linewidth() < thick.get_linewidth() for line in thin)


def test_a_benchmark_may_hold_one_model_of_one_epoch() -> None:
    assert len(figures.benchmark_curves({5: [make_curve(1)]}).axes) == 3


def test_recipes_are_drawn_together_a_panel_a_dimension() -> None:
    curves = {d: make_curve(5, level=20 - d) for d in (7, 5, 2, 10)}
    reproduced = {d: make_curve(10, level=25 - d) for d in (10, 2, 5)}
    figure = figures.recipe_curves(once(curves), "fast", once(reproduced), {5: 31.5, 7: 30.0})
    assert [axes.texts[0].get_text() for axes in figure.axes] == [
        f"latent dimension {d}"
        for d in (2, 5, 10)  # the report's
    ]
    for axes, latent_dim in zip(figure.axes, (2, 5, 10), strict=True):
        colours = tied_colours(axes)
        drawn = {line.get_color(): line for line in axes.lines}
        for name, curve in (("fast", curves[latent_dim]), ("report's", reproduced[latent_dim])):
            line = drawn[colours[name]]
            assert heights(line) == list(curve["combined_loss"][1:])
            assert np.asarray(line.get_xdata()).tolist() == list(curve["epoch"][1:])
        dashed = [heights(line) for line in axes.lines if line.get_linestyle() == "--"]
        assert dashed == ([[31.5, 31.5]] if latent_dim == 5 else [])
        assert ("published" in colours) == (latent_dim == 5)


def test_recipes_of_one_epoch_are_visible_as_points() -> None:
    for axes in figures.recipe_curves({5: [make_curve(1)]}, "fast", {5: [make_curve(1, level=25)]}, {}).axes:
        assert [(heights(line), line.get_marker()) for line in axes.lines] == [
            (list(curve["combined_loss"]), "o") for curve in (make_curve(1), make_curve(1, level=25))
        ]


def test_the_plane_holds_every_point_in_the_colour_of_its_digit() -> None:
    pictures = make_pictures(2)
    axes = panel(figures.latent_scatter(pictures, 2, MNIST), "z₁")
    (points,) = axes.collections
    assert np.array_equal(points.get_offsets(), pictures.latent)
    drawn = [to_hex(colour) for colour in points.get_facecolors()]  # type: ignore[attr-defined]
    assert drawn == [CLASS_COLOURS[label] for label in pictures.labels]


def test_the_space_is_drawn_whole_and_by_its_planes() -> None:
    pictures = make_pictures(3)
    figure = figures.latent_scatter(pictures, 3, MNIST)
    assert figure.axes[0].name == "3d"
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes[1:]] == [
        ("z₁", "z₂"),
        ("z₁", "z₃"),
        ("z₂", "z₃"),
    ]
    assert np.array_equal(figure.axes[2].collections[0].get_offsets(), pictures.latent[:, [0, 2]])


def test_a_projection_says_that_it_is_one_and_what_it_shows() -> None:
    pictures = dataclasses.replace(
        make_pictures(5), explained_variance=np.array([0.4, 0.25], dtype=np.float32)
    )
    written = words(figures.latent_scatter(pictures, 5, MNIST))
    assert "2-D PCA projection · latent dimension 5" in written
    assert "65% of their variance" in written
    assert "principal component 1 (40% of the variance)" in written
    assert "PCA" not in words(figures.latent_scatter(make_pictures(2), 2, MNIST))


def test_a_digit_has_one_colour_in_every_figure() -> None:
    expected = {str(digit): colour for digit, colour in enumerate(CLASS_COLOURS)}
    for latent_dim in (2, 3, 5):
        assert (
            legend_colours(figures.latent_scatter(make_pictures(latent_dim), latent_dim, MNIST)) == expected
        )
    marginal = panel(figures.label_distributions(make_pictures(), 5, MNIST), "read as")
    assert [to_hex(bar.get_facecolor()) for bar in bars(marginal)] == list(CLASS_COLOURS)


def test_a_saved_scatter_keeps_the_colours_apart(tmp_path: Path) -> None:
    pictures = make_pictures(2)
    figures.save(figures.latent_scatter(pictures, 2, MNIST), tmp_path / "d2.png")
    with Image.open(tmp_path / "d2.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(float)
    for colour in CLASS_COLOURS:
        nearest = np.abs(pixels - 255 * np.array(to_rgb(colour))).max(axis=1).min()
        assert nearest <= 16, colour


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 5])
def test_a_collapsed_latent_space_is_drawn(latent_dim: int, tmp_path: Path) -> None:
    pictures = make_pictures(latent_dim)
    collapsed = dataclasses.replace(pictures, latent=np.zeros_like(pictures.latent))
    figures.save(figures.latent_scatter(collapsed, latent_dim, MNIST), tmp_path / "collapsed.png")


@pytest.mark.parametrize("latent_dim", [2, 3, 5])
@pytest.mark.parametrize("spread", [0, 0.1, 1])
def test_names_of_digits_do_not_overlap(latent_dim: int, spread: float) -> None:
    pictures = make_pictures(latent_dim)
    close = dataclasses.replace(pictures, latent=np.float32(spread) * pictures.latent)
    figure = figures.latent_scatter(close, latent_dim, MNIST)
    figure.draw_without_rendering()
    names = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert len(names) == 10
    extents = [Text.get_window_extent(name) for name in names]
    places = [np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]) for box in extents]
    assert min(np.hypot(*(one - other)) for one, other in combinations(places, 2)) > 15


def test_names_in_space_stand_where_their_digits_are_seen() -> None:
    centres = 10 * np.random.default_rng(0).normal(size=(10, 3))
    pictures = make_pictures(3)
    far = dataclasses.replace(pictures, latent=centres[pictures.labels].astype(np.float32))
    figure = figures.latent_scatter(far, 3, MNIST)
    figure.draw_without_rendering()
    space: Any = figure.axes[0]
    for text in space.texts:
        seen = proj_transform(*centres[int(text.get_text())], space.get_proj())[:2]
        box = Text.get_window_extent(text)
        middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        assert np.hypot(*(space.transData.transform(seen) - middle)) < 20


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 5])
def test_a_digit_without_images_is_left_out(latent_dim: int, tmp_path: Path) -> None:
    pictures = make_pictures(latent_dim)
    kept = pictures.labels != 4
    figure = figures.latent_scatter(
        dataclasses.replace(pictures, latent=pictures.latent[kept], labels=pictures.labels[kept]),
        latent_dim,
        MNIST,
    )
    figures.save(figure, tmp_path / "nine.png")
    if latent_dim > 1:
        assert sorted(legend_colours(figure)) == list("012356789")


def test_a_line_has_a_row_for_each_digit_where_its_values_lie() -> None:
    pictures = dataclasses.replace(
        make_pictures(1),
        latent=np.repeat(np.arange(10, dtype=np.float32), 30)[:, np.newaxis],
        labels=np.repeat(np.arange(10, dtype=np.uint8), 30),
    )
    axes = panel(figures.latent_scatter(pictures, 1, MNIST), "z₁")
    assert [label.get_text() for label in axes.get_yticklabels()] == [*"0123456789", "all"]
    for digit, patch in enumerate(axes.patches[:10]):
        assert isinstance(patch, StepPatch)
        heights, edges, _ = patch.get_data()
        assert to_hex(patch.get_facecolor()) == CLASS_COLOURS[digit]
        (occupied,) = np.flatnonzero(heights != digit)
        assert edges[occupied] <= digit <= edges[occupied + 1]


def test_grids_hold_every_pixel_dark_on_light() -> None:
    pictures = make_pictures()
    for draw, grid in (
        (GRIDS["reconstructions"], np.stack([pictures.originals, pictures.reconstructions])),
        (GRIDS["prior_samples"], pictures.samples.reshape(8, 8, 28, 28)),
        (GRIDS["interpolations"], pictures.interpolations),
    ):
        (image,) = draw(pictures, 5).axes[0].images
        tile = np.asarray(image.get_array())
        for row, column in ((0, 0), (1, 0), (0, 7), (1, 7), (grid.shape[0] - 1, grid.shape[1] - 1)):
            drawn = tile[29 * row : 29 * row + 28, 29 * column : 29 * column + 28]
            assert np.array_equal(drawn, 255 - grid[row, column])


@pytest.mark.parametrize("draw", GRIDS.values(), ids=GRIDS)
def test_grids_show_each_pixel_at_a_whole_scale(draw: Draw, tmp_path: Path) -> None:
    figure = draw(make_pictures(), 5)
    figures.save(figure, tmp_path / "grid.png")
    (image,) = figure.axes[0].images
    tile = np.asarray(image.get_array())
    area = figure.axes[0].get_window_extent()
    scale = area.width / tile.shape[1]
    assert scale == pytest.approx(round(scale))
    with Image.open(tmp_path / "grid.png") as saved:
        page = np.asarray(saved)
    top, left = round(page.shape[0] - area.y1), round(area.x0)
    shown = page[top : top + round(area.height), left : left + round(area.width)]
    expected = np.kron(tile, np.ones((round(scale), round(scale)), dtype=np.uint8))
    assert np.abs(shown.astype(int) - expected).max() <= 1  # the colour map rounds


def test_rows_and_columns_of_grids_are_named() -> None:
    pictures = make_pictures()
    rebuilt = figures.reconstructions(pictures, 5, MNIST).axes[0]
    assert [label.get_text() for label in rebuilt.get_yticklabels()] == ["original", "reconstruction"]
    assert [label.get_text() for label in rebuilt.get_xticklabels()] == [
        str(d) for d in pictures.original_labels
    ]
    ways = figures.interpolations(pictures, 5, MNIST).axes[0]
    assert [label.get_text() for label in ways.get_yticklabels()] == [
        "3 → 8",
        "4 → 9",
        "1 → 7",
        "0 → 6",
        "2 → 5",
    ]
    assert [label.get_text() for label in ways.get_xticklabels()][::5] == ["0%", "50%", "100%"]


def test_label_distributions_go_from_the_narrowest_to_the_widest() -> None:
    certainty = np.random.default_rng(0).permutation(64) / 63
    probabilities = (np.outer(certainty, np.eye(10)[3]) + (1 - certainty)[:, np.newaxis] / 10).astype(
        np.float32
    )
    pictures = dataclasses.replace(make_pictures(), probabilities=probabilities)
    panels = [
        axes for axes in figures.label_distributions(pictures, 5, MNIST).axes if "KL" in axes.get_xlabel()
    ]
    shown = [bars(axes)[3].get_height() for axes in panels]
    assert len(shown) == 8
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == 1
    assert shown[-1] == pytest.approx(0.1)


def test_label_distributions_show_the_sample_that_they_read() -> None:
    pictures = make_pictures()
    drawn = figures.label_distributions(pictures, 5, MNIST).axes
    for picture, reading in pairwise(drawn):
        if not picture.images:
            continue
        shown = 255 - np.asarray(picture.images[0].get_array())
        (sample,) = [i for i, image in enumerate(pictures.samples) if np.array_equal(image, shown)]
        p, q = pictures.probabilities[sample].astype(float), pictures.marginal.astype(float)
        assert [bar.get_height() for bar in bars(reading)] == list(pictures.probabilities[sample])
        divergence = sum(p[k] * np.log(p[k] / q[k]) for k in range(10) if p[k] > 0)
        assert reading.get_xlabel() == f"KL {divergence:.2f} nats"


def test_the_marginal_is_drawn_beside_the_test_digits() -> None:
    pictures = dataclasses.replace(
        make_pictures(), test_marginal=np.linspace(0.05, 0.15, 10, dtype=np.float32)
    )
    axes = panel(figures.label_distributions(pictures, 5, MNIST), "read as")
    assert [bar.get_height() for bar in bars(axes)] == list(pictures.marginal)
    (lines,) = axes.collections
    assert [np.asarray(path.vertices)[0, 1] for path in lines.get_paths()] == pytest.approx(
        list(pictures.test_marginal)
    )


def test_a_collapsed_marginal_is_drawn() -> None:
    certain = np.tile(np.eye(10, dtype=np.float32)[1], (64, 1))
    pictures = dataclasses.replace(make_pictures(), probabilities=certain, marginal=certain[0])
    figure = figures.label_distributions(pictures, 5, MNIST)
    assert "KL 0.00 nats" in words(figure)
    assert panel(figure, "read as").get_ylim()[1] >= 1


def test_confusion_writes_counts_by_true_row_and_read_column() -> None:
    axes = panel(figures.confusion(make_confusion(), "Title", MNIST), "read as")
    assert axes.get_ylabel() == "true digit"
    at = {text.get_position(): text.get_text() for text in axes.texts}
    assert at[9, 7] == "13"  # x is the column, y the row
    assert (7, 9) not in at
    assert at[0, 0] == "90"
    (low, high) = axes.get_ylim()
    assert low > high  # row 0 is on top


def test_confusion_colours_an_error_by_its_share_of_the_row() -> None:
    matrix = np.diag(np.full(10, 1000))
    matrix[2, 7], matrix[3, 5] = 10, 10
    matrix[3, 3] = 20

    def shade(row: int, column: int) -> float:
        image = panel(figures.confusion(matrix, "Title", MNIST), "read as").images[0]
        shares: np.ma.MaskedArray[Any, Any] = np.ma.asarray(image.get_array())
        return float(sum(image.cmap(image.norm(shares[row, column]))[:3]))

    assert shade(3, 5) < shade(2, 7)


def test_confusion_says_how_many_are_read_wrong_and_right() -> None:
    written = words(figures.confusion(make_confusion(), "A title", MNIST))
    assert "A title" in written
    assert "13 of 913 digits are read as another digit" in written
    assert "87.4%" in written


def test_confusion_of_an_absent_digit_leaves_its_row_empty(tmp_path: Path) -> None:
    matrix = make_confusion()
    matrix[4] = 0
    figure = figures.confusion(matrix, "Title", MNIST)
    figures.save(figure, tmp_path / "absent.png")
    assert not [text for text in panel(figure, "read as").texts if text.get_position()[1] == 4]


def inside(figure: Figure, texts: list[Text]) -> bool:
    """Whether all of the texts are on the page, and none covers another."""
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [Text.get_window_extent(text) for text in texts]
    apart = not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    return apart and all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 for box in boxes)


@pytest.mark.parametrize("latent_dim", [2, 3, 5])
@pytest.mark.parametrize("spread", [0, 0.1, 1])
def test_long_names_of_classes_do_not_overlap(latent_dim: int, spread: float) -> None:
    pictures = make_pictures(latent_dim)
    close = dataclasses.replace(pictures, latent=np.float32(spread) * pictures.latent)
    figure = figures.latent_scatter(close, latent_dim, FASHION)
    names = [text for text in figure.axes[0].texts if text.get_text() in FASHION.classes]
    assert [text.get_text() for text in names] == [*FASHION.classes]
    assert inside(figure, names)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*FASHION.classes]
    assert legend.get_title().get_text() == "class"
    assert inside(figure, legend.get_texts())


def test_line_names_its_rows_by_class() -> None:
    figure = figures.latent_scatter(make_pictures(1), 1, FASHION)
    rows = panel(figure, "z₁").get_yticklabels()
    assert [label.get_text() for label in rows] == [*FASHION.classes, "all"]
    assert inside(figure, rows)


def test_matrices_name_their_rows_and_columns_by_class() -> None:
    counts, shares = make_confusion(), make_confusion() / 103
    for figure, beside in (
        (figures.confusion(counts, "Title", FASHION), "true class"),
        (figures.overlap(shares, "Title", FASHION), "class of the point"),
        (figures.overlaps({2: shares, 3: shares, 5: shares, 10: shares}, FASHION), ""),
    ):
        matrices = [axes for axes in figure.axes if len(axes.images) == 2]
        for axes in matrices:
            assert axes.get_ylabel() == beside
            for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
                assert [label.get_text() for label in labels] == [*FASHION.classes]
        names = [label for axes in matrices for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
        assert inside(figure, names)
        assert "digit" not in words(figure)


def test_grids_name_images_by_class() -> None:
    pictures = make_pictures()
    rebuilt = figures.reconstructions(pictures, 5, FASHION)
    columns = rebuilt.axes[0].get_xticklabels()
    assert [label.get_text() for label in columns] == [FASHION.classes[d] for d in pictures.original_labels]
    assert {label.get_rotation() for label in columns} == {45}
    ways = figures.interpolations(pictures, 5, FASHION)
    rows = ways.axes[0].get_yticklabels()
    assert rows[0].get_text() == "Dress → Bag"
    assert inside(ways, rows)
    assert {label.get_rotation() for label in ways.axes[0].get_xticklabels()} == {0}


def test_label_distributions_name_the_likeliest_class() -> None:
    pictures = make_pictures()
    figure = figures.label_distributions(pictures, 5, FASHION)
    captions = [axes.get_xlabel().split("\n") for axes in figure.axes if "KL" in axes.get_xlabel()]
    known = {f"{FASHION.classes[int(row.argmax())]} {row.max():.0%}" for row in pictures.probabilities}
    assert len(captions) == 8
    assert all(name in known for name, _ in captions)
    names = panel(figure, "read as").get_xticklabels()
    assert [label.get_text() for label in names] == [*FASHION.classes]
    assert inside(figure, names)


@pytest.mark.parametrize(
    "name", ["latent_scatter", "reconstructions", "interpolations", "label_distributions"]
)
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 5])
def test_no_figure_calls_clothes_digits(name: str, latent_dim: int) -> None:
    draw = getattr(figures, name)
    assert "digit" not in words(draw(make_pictures(latent_dim), latent_dim, FASHION))
    assert "digit" not in words(figures.loss_curves(make_curve(), latent_dim, FASHION))


def test_pictures_come_back_from_their_file(tmp_path: Path) -> None:
    pictures = make_pictures()
    np.savez(tmp_path / "d5.npz", **dataclasses.asdict(pictures))
    loaded = load_pictures(tmp_path / "d5.npz")
    for field in dataclasses.fields(pictures):
        assert np.array_equal(getattr(loaded, field.name), getattr(pictures, field.name))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    arrays = {**dataclasses.asdict(make_pictures()), "labels": np.array([object()])}
    np.savez(tmp_path / "d5.npz", **arrays)
    with pytest.raises(ValueError, match="allow_pickle"):
        load_pictures(tmp_path / "d5.npz")


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_equal_arrays_give_equal_bytes(draw: Draw, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        figures.save(draw(make_pictures(3), 3), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_saving_twice_gives_equal_bytes(tmp_path: Path) -> None:
    figure = figures.loss_curves(make_curve(), 5, MNIST)
    figures.save(figure, tmp_path / "one.png")
    figures.save(figure, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_users_matplotlib_settings_change_nothing(tmp_path: Path) -> None:
    figures.save(figures.loss_curves(make_curve(), 5, MNIST), tmp_path / "plain.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.bbox": "tight"}):
        figures.save(figures.loss_curves(make_curve(), 5, MNIST), tmp_path / "set.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "set.png").read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("disk full")

    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.save(figures.loss_curves(make_curve(), 5, MNIST), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_pages_are_saved_as_large_as_they_are_drawn(tmp_path: Path) -> None:
    for name, figure in all_figures().items():
        path = tmp_path / f"{name}.png"
        figures.save(figure, path)
        with Image.open(path) as image:
            assert image.size == tuple(round(side) for side in figure.bbox.size), name


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 5])
def test_ten_thousand_points_make_a_small_file(latent_dim: int, tmp_path: Path) -> None:
    pictures = make_pictures(latent_dim, count=10_000)
    figures.save(figures.latent_scatter(pictures, latent_dim, MNIST), tmp_path / "scatter.png")
    assert (tmp_path / "scatter.png").stat().st_size < 150_000


def test_drawing_needs_neither_torch_nor_pyplot(tmp_path: Path) -> None:
    code = """
import sys, pathlib, numpy
from vaebench import figures
from vaebench.pipeline.datasets import DATASETS
drawn = figures.confusion(numpy.eye(10, dtype=int), "Title", DATASETS["mnist"])
figures.save(drawn, pathlib.Path(sys.argv[1]))
print({"torch", "matplotlib.pyplot"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "figure.png")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
