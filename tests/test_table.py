"""The table of the benchmark: its rows, what stands beside ours, the CSV and the text to read."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vaebench.findings.fitness import READ, panel_warning
from vaebench.findings.markdown import markdown_table
from vaebench.findings.report import published
from vaebench.findings.table import (
    COLUMNS,
    COUNTS,
    DRAWN,
    HEADLINE,
    NUMBERS,
    SCORES,
    TRAINING,
    benchmark_table,
    cell,
    headline,
    rows_of,
    to_markdown,
    to_text,
    trainings_table,
)
from vaebench.pipeline.datasets import DATASETS

MNIST = DATASETS["mnist"]
ROOT = Path(__file__).resolve().parents[1]

# As the report printed it: KL, reconstruction, combined.
REPORT = {
    2: (4.4122, 32.26999, 36.68219),
    3: (6.12124, 30.11598, 36.23721),
    4: (7.30888, 25.05045, 32.35933),
    5: (8.39849, 22.89452, 31.29301),
    10: (11.90844, 17.10307, 29.01152),
    30: (12.58757, 15.39129, 27.97886),
}
LOSSES = ("kl_loss", "reconstruction_loss", "combined_loss")
BESIDE = [f"{source}_{loss}" for source in ("reproduced", "report") for loss in LOSSES]
NO_PCA = ("kl_loss", "combined_loss", "test_kl_loss", "test_combined_loss", "nll_bound", "active_units")


def training(latent_dim: int) -> dict[str, Any]:
    """What training a model wrote, and more than the table has columns for."""
    return {
        "latent_dim": latent_dim,
        "training_seconds": 300.0 + latent_dim,
        "images_per_second": 2000.5 + latent_dim,
        "recipe": "fast",
        "epochs": 10,
        "training_precision": "bfloat16",
        "threads": 1,
        "parameters": 200_000 + latent_dim,
        "learning_rate": 5e-4,
        "optimizer": "muon",
        "device": "cpu",
    }


def scores(start: float) -> dict[str, float]:
    """Every score of a model, each with a number of its own."""
    return {score: start + number / 128 for number, score in enumerate(SCORES)} | {"active_units": start}


DREW = dict(zip(DRAWN, (3, 60_000, 10_000, 9_000, 1_000), strict=True))


def evaluation(latent_dim: int) -> dict[str, Any]:
    """What evaluating a model wrote, and more."""
    pca = {score: -value for score, value in scores(latent_dim).items() if score not in NO_PCA}
    others = DREW | {"confusion": [[1, 2], [3, 4]], "kl_spectrum": [0.5] * latent_dim}
    vae = dict(reversed(scores(latent_dim).items()))
    return {"latent_dim": latent_dim, **others, "vae": vae, "pca": pca}


def reproduction(latent_dim: int) -> dict[str, Any]:
    """What another stage wrote of a model trained by the report's recipe, and more."""
    losses = {loss: latent_dim + 0.5 + number / 100 for number, loss in enumerate(LOSSES)}
    others = {f"test_{loss}": 1.0 for loss in LOSSES} | {"recipe": "report", "training_seconds": 2.0}
    return {**others, **losses, "latent_dim": latent_dim, "training_precision": "float32", "epochs": 3}


REFERENCES: dict[str, Any] = {
    **DREW,
    "inception_score_ceiling": 9.98,
    "test images": {
        "inception_score": 9.85,
        "inception_score_low": 9.8,
        "inception_score_high": 9.9,
        "fid": 0.31,
    },
    "pixel noise": {"inception_score": 1.02, "fid": 1234.5},
}


@pytest.fixture(scope="module")
def report() -> pd.DataFrame:
    return pd.read_csv(ROOT / "metrics" / "report.csv")


def build(report: pd.DataFrame, *latent_dims: int) -> pd.DataFrame:
    return benchmark_table(
        map(training, latent_dims),
        map(evaluation, reversed(latent_dims)),
        REFERENCES,
        map(reproduction, (5, 3, 30, 2, 10)),
        report,
    )


@pytest.fixture(scope="module")
def table(report: pd.DataFrame) -> pd.DataFrame:
    """The benchmark, given out of order, and a dimension that the report has not."""
    return build(report, 30, 2, 7, 10, 5)


def cells(line: str) -> list[str]:
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_committed_report_is_the_reports(report: pd.DataFrame) -> None:
    found = {int(row["latent_dim"]): tuple(row[loss] for loss in LOSSES) for _, row in report.iterrows()}
    assert found == REPORT
    for kl, reconstruction, combined in REPORT.values():
        assert kl + reconstruction == pytest.approx(combined, abs=2e-5)  # it rounded each by itself


def test_only_mnist_has_published_losses(report: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(published(report, "mnist"), report)
    none = published(report, "digits")
    assert len(none) == 0
    assert list(none.columns) == list(report.columns)


# The table.


def test_columns() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert set(COLUMNS) == {"model", "latent_dim", "trainings", *SCORES, *BESIDE, *TRAINING, *DRAWN}
    assert set(COUNTS) < set(COLUMNS)
    assert COLUMNS.index("precision_low") == COLUMNS.index("precision") + 1
    for interval in ("nll_bound", "fid", "kid", "coverage", "legible_path_share", "probe_accuracy"):
        start = COLUMNS.index(interval)
        assert COLUMNS[start : start + 3] == (interval, f"{interval}_low", f"{interval}_high")
    assert [column for column in COLUMNS if column.endswith("_mc_error")] == [
        "nll_bound_mc_error",
        "nll_bound_fitted_mc_error",
    ]
    assert len([column for column in COLUMNS if column.endswith("_spread")]) == 7


def test_rows_are_vaes_then_pca_then_the_references(table: pd.DataFrame) -> None:
    assert tuple(table.columns) == COLUMNS
    assert table["model"].tolist() == ["VAE"] * 5 + ["PCA"] * 5 + ["test images", "pixel noise"]
    assert table["latent_dim"].tolist()[:10] == [2, 5, 7, 10, 30] * 2
    assert table["latent_dim"].isna().tolist() == [False] * 10 + [True] * 2
    assert [str(table[column].dtype) for column in COUNTS] == ["Int64"] * len(COUNTS)


def test_numbers_are_in_their_columns(table: pd.DataFrame) -> None:
    for latent_dim, row in rows_of(table, "VAE").items():
        expected = {**training(latent_dim), **scores(latent_dim)}
        assert {name: row[name] for name in (*SCORES, *TRAINING)} == {
            name: expected[name] for name in (*SCORES, *TRAINING)
        }
    for latent_dim, row in rows_of(table, "PCA").items():
        pca = evaluation(latent_dim)["pca"]
        assert {name: row[name] for name in pca} == pca
        assert all(pd.isna(row[name]) for name in (*NO_PCA, *BESIDE, *TRAINING))
    noise = table.iloc[-1]
    assert noise["fid"] == 1234.5
    assert noise.notna().sum() == 3 + len(DRAWN)


def test_reports_numbers_stand_beside_ours(table: pd.DataFrame) -> None:
    for latent_dim, row in rows_of(table, "VAE").items():
        losses = tuple(row[f"report_{loss}"] for loss in LOSSES)
        if latent_dim in REPORT:
            assert losses == REPORT[latent_dim]
        else:
            assert all(pd.isna(loss) for loss in losses)


def test_reproduced_numbers_stand_beside_ours(table: pd.DataFrame) -> None:
    for latent_dim, row in rows_of(table, "VAE").items():
        losses = [row[f"reproduced_{loss}"] for loss in LOSSES]
        if latent_dim in REPORT:
            assert losses == [reproduction(latent_dim)[loss] for loss in LOSSES]
        else:
            assert all(pd.isna(loss) for loss in losses)


def test_order_of_the_models_does_not_matter(table: pd.DataFrame, report: pd.DataFrame) -> None:
    shuffled = [[2, 5, 7, 10, 30], [2, 5, 7, 10, 30], list(REPORT)]
    for seed, dimensions in enumerate(shuffled):
        random.Random(seed).shuffle(dimensions)
    again = benchmark_table(
        map(training, shuffled[0]),
        map(evaluation, shuffled[1]),
        dict(reversed(REFERENCES.items())),
        map(reproduction, shuffled[2]),
        report.iloc[::-1],
    )
    pd.testing.assert_frame_equal(again, table)


def test_dimensions_that_were_not_trained_are_no_rows(report: pd.DataFrame) -> None:
    assert build(report, 5)["latent_dim"].dropna().tolist() == [5, 5]


def test_without_the_reports_numbers_the_reproduced_ones_stay(report: pd.DataFrame) -> None:
    row = rows_of(build(published(report, "digits"), 5), "VAE")[5]
    assert row["reproduced_kl_loss"] == 5.5
    assert pd.isna(row["report_kl_loss"])


@pytest.mark.parametrize("score", ["inception_score", "nll_bound_mc_error"])
def test_missing_score_is_an_error(report: pd.DataFrame, score: str) -> None:
    incomplete = evaluation(5)
    del incomplete["vae"][score]
    with pytest.raises(KeyError, match=score):
        benchmark_table([training(5)], [incomplete], REFERENCES, [reproduction(5)], report)


@pytest.mark.parametrize("where", ["vae", "pca", "pixel noise"])
def test_score_without_a_column_is_an_error(report: pd.DataFrame, where: str) -> None:
    evaluated, references = evaluation(5), {**REFERENCES, "pixel noise": {"fid": 1.0}}
    {**evaluated, **references}[where]["reccall"] = 0.5
    with pytest.raises(KeyError, match="without a column: reccall"):
        benchmark_table([training(5)], [evaluated], references, [reproduction(5)], report)


def test_missing_loss_of_a_reproduction_is_an_error(report: pd.DataFrame) -> None:
    incomplete = reproduction(5)
    del incomplete["kl_loss"]
    with pytest.raises(KeyError, match="kl_loss"):
        benchmark_table([training(5)], [evaluation(5)], REFERENCES, [incomplete], report)


def test_csv_leaves_empty_what_does_not_apply(table: pd.DataFrame) -> None:
    lines = table.to_csv(index=False).splitlines()
    rows = [dict(zip(COLUMNS, line.split(","), strict=True)) for line in lines[1:]]
    assert [row["latent_dim"] for row in rows] == ["2", "5", "7", "10", "30"] * 2 + ["", ""]  # not 2.0
    assert [rows[1][count] for count in COUNTS] == [
        *("5", "1", "10", "1", "200005"),
        *("3", "60000", "10000", "9000", "1000"),
    ]
    seven = rows[2]
    assert [column for column, text in seven.items() if not text] == BESIDE
    assert all(all(row.values()) for row in rows[:5] if row is not seven)
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype=dict.fromkeys(COUNTS, "Int64"))
    pd.testing.assert_frame_equal(read, table)


# Several trainings.


def test_numbers_are_means_over_trainings(report: pd.DataFrame) -> None:
    seeds = (4, 1)
    shift = dict(zip(seeds, (0.0, 0.5), strict=True))
    trainings = [training(5) | {"seed": seed, "training_seconds": 100.0 + seed} for seed in seeds]
    evaluations = [evaluation(5) | {"seed": seed} for seed in seeds]
    for each in evaluations:
        each["vae"] = {name: value / 100 + shift[each["seed"]] for name, value in each["vae"].items()}
    table = benchmark_table(trainings, evaluations, REFERENCES, [reproduction(5)], report)
    row = table.iloc[0]
    assert (row["trainings"], row["training_seconds"]) == (2, 102.5)
    for name, value in evaluation(5)["vae"].items():
        if not name.endswith(("_low", "_high")):
            assert row[name] == pytest.approx(value / 100 + 0.25)
    for name in NUMBERS:
        assert row[f"{name}_training_sd"] == pytest.approx(0.5 / 2**0.5)
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert not {f"{name}_training_sd" for name in NUMBERS} & set(build(report, 2, 5).columns)
    assert "sd 0.35)" in to_markdown(table, MNIST)

    apart = trainings_table(trainings, evaluations)
    assert apart[["latent_dim", "seed"]].to_numpy().tolist() == [[5, 4], [5, 1]]
    assert apart["training_seconds"].tolist() == [104.0, 101.0]
    for score in NUMBERS:
        assert apart[score].tolist() == [evaluation["vae"][score] for evaluation in evaluations]


# A panel that cannot read.


@pytest.mark.parametrize(("share", "fit"), [(0.617, False), (0.899, False), (0.9, True), (0.9967, True)])
def test_unfit_panel_leaves_no_number_that_it_read(report: pd.DataFrame, share: float, fit: bool) -> None:
    tests = {**REFERENCES["test images"], "reconstruction_accuracy": share}
    references = {**REFERENCES, "test images": tests}
    dimensions = (2, 5)
    table = benchmark_table(
        map(training, dimensions),
        map(evaluation, dimensions),
        references,
        map(reproduction, dimensions),
        report,
    )
    warning = panel_warning(table, MNIST)
    assert bool(warning) != fit
    read = [column for column in COLUMNS if column.startswith(READ)]
    assert {"fid", "fid_low", "legible_share", "legible_path_share_high", "recall_spread"} <= set(read)
    assert not {"test_reconstruction_loss_at_mean", "knn_accuracy", "training_precision"} & set(read)
    vae = rows_of(table, "VAE")[5]
    assert [pd.isna(vae[column]) for column in read] == [not fit] * len(read)
    assert not any(pd.isna(vae[column]) for column in SCORES if column not in read)
    assert table.iloc[-2]["reconstruction_accuracy"] == share  # by which a reader of the file can tell
    assert pd.isna(table.iloc[-1]["fid"]) != fit
    assert ("legible_share" in headline(table, 5)) == fit
    assert "test_combined_loss" in headline(table, 5)
    assert (f"**{warning}**" in to_markdown(table, MNIST)) != fit
    assert fit or f"{share:.1%} of the test digits" in warning


# The headline.


@pytest.mark.parametrize("latent_dim", [2, 7])
def test_headline(table: pd.DataFrame, latent_dim: int) -> None:
    numbers = headline(table, latent_dim)
    assert tuple(numbers) == HEADLINE
    assert len(numbers) <= 14
    expected = {**training(latent_dim), **scores(latent_dim)}
    assert numbers == {name: expected[name] for name in HEADLINE}  # the VAE's, not those of PCA
    assert {type(number) for number in numbers.values()} == {float}
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_headline_of_a_dimension_that_is_not_there(table: pd.DataFrame) -> None:
    with pytest.raises(KeyError):
        headline(table, 6)


# The text.


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (8.0179, ".2f", "8.02"),
        (0.9425, ".1%", "94.2%"),
        (1234.5, "", "1,234"),
        (12.345, "", "12.3"),
        (0.012345, "", "0.0123"),
        (-0.00012345, "", "-0.000123"),
        (0.0, "", "0.00"),
        (float("nan"), ".2f", "–"),
        (pd.NA, ".0f", "–"),
        (5, ".0f", "5"),
    ],
)
def test_cell(value: float, form: str, expected: str) -> None:
    assert cell({"score": value}, "score", form) == expected


def test_cell_with_an_interval() -> None:
    assert cell({"fid": 0.5, "fid_low": 0.4567, "fid_high": 12.0}, "fid") == "0.500 (0.457–12.000)"
    share = {"share": 0.9375, "share_low": 0.85, "share_high": 1.0}
    assert cell(share, "share", ".1%") == "93.8% (85.0–100.0)"
    assert cell({**share, "share_low": float("nan")}, "share", ".1%") == "93.8%"


def test_markdown_table() -> None:
    text = markdown_table(["a", "H(y|x)"], [["1", "2"], ("3", "4|5")])
    assert text == "| a | H(y\\|x) |\n|---|---:|\n| 1 | 2 |\n| 3 | 4\\|5 |\n"
    assert markdown_table(["a", "b"], [], left=2) == "| a | b |\n|---|---|\n"
    with pytest.raises(ValueError, match="3 cells under 2 names"):
        markdown_table(["a", "b"], [["1", "2", "3"]])


def test_markdown(table: pd.DataFrame) -> None:
    text = to_markdown(table, MNIST)
    assert text.endswith("|\n")
    fit, samples = (part.splitlines() for part in text.split("\n\n"))
    vaes, pcas = ["2", "5", "7", "10", "30"], ["PCA 2", "PCA 5", "PCA 7", "PCA 10", "PCA 30"]
    assert [cells(line)[0] for line in fit[2:]] == vaes + pcas  # what has no losses has no row
    assert [cells(line)[0] for line in samples[2:]] == [*vaes, *pcas, "test images", "pixel noise"]

    five = {**training(5), **scores(5)}
    row = dict(zip(cells(fit[0]), cells(fit[3]), strict=True))
    assert (row["KL"], row["squared error"]) == (
        f"{five['kl_loss']:.2f}",
        f"{five['reconstruction_loss']:.2f}",
    )
    low, high = five["test_combined_loss_low"], five["test_combined_loss_high"]
    assert row["combined, test set"] == f"{five['test_combined_loss']:.2f} ({low:.2f}–{high:.2f})"
    assert (row["combined by the report's recipe"], row["combined in the report"]) == ("5.52", "31.29")
    low, high = five["nll_bound_low"], five["nll_bound_high"]
    assert row["−log p(x) bound, σ² = 1/2"] == f"{five['nll_bound']:.1f} ({low:.1f}–{high:.1f})"
    assert row["training, seconds"] == "305"

    row = dict(zip(cells(samples[0]), cells(samples[3]), strict=True))
    low, high = five["inception_score_low"], five["inception_score_high"]
    assert row["inception score"] == f"{five['inception_score']:.2f} ({low:.2f}–{high:.2f})"
    low, high = five["legible_share_low"], five["legible_share_high"]
    assert row["legible samples"] == f"{five['legible_share']:.1%} ({100 * low:.1f}–{100 * high:.1f})"
    assert row["active units"] == "5"
    assert cells(samples[-2])[1:3] == ["9.85 (9.80–9.90)", "0.310"]
    assert cells(samples[-1])[1:4] == ["1.02", "1,234", "–"]


def test_text_for_a_terminal(table: pd.DataFrame) -> None:
    reread = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert to_text(reread, MNIST) == to_text(table, MNIST)
    header, *lines = to_text(table, MNIST).splitlines()
    assert {len(line) for line in (header, *lines)} == {len(header)}
    assert len(header) <= 100
    assert [line.split("  ")[0] for line in lines[-3:]] == ["PCA 30", "test images", "pixel noise"]
    five = {**training(5), **scores(5)}
    assert lines[1].split()[:2] == ["5", f"{five['kl_loss']:.2f}"]
    assert lines[1].split()[-1] == f"{five['reconstruction_accuracy']:.1%}"


def test_markdown_has_a_dash_where_nothing_applies(table: pd.DataFrame) -> None:
    text = to_markdown(table, MNIST)
    assert "nan" not in text.lower()
    for line in text.splitlines()[2:7]:
        assert (cells(line)[5:7] == ["–"] * 2) == (cells(line)[0] == "7")


def test_markdown_of_other_digits_has_the_reproduced_losses(report: pd.DataFrame) -> None:
    text = to_markdown(build(published(report, "digits"), 5), MNIST)
    assert cells(text.splitlines()[2])[5:7] == ["5.52", "–"]
