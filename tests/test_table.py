"""The table of the benchmark: rows, the report's columns and its recipe's beside ours, the text to read."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vaebench.table import COLUMNS, HEADLINE, benchmark_table, headline, to_markdown

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


OTHERS = ("report_", "reproduced_")  # columns that do not come from the model


def model(latent_dim: int) -> dict[str, Any]:
    """What two stages wrote of a model, with a number of its own in every column, and more."""
    own = [column for column in COLUMNS if not column.startswith(OTHERS)]
    numbers = {column: latent_dim + number / 100 for number, column in enumerate(own)}
    return {
        **dict(reversed(numbers.items())),
        "latent_dim": latent_dim,
        "reconstruction_accuracy": 0.9 + latent_dim / 1000,
        "parameters": 200_000 + latent_dim,
        "recipe": "fast",
        "precision": "bfloat16",
        "epochs": 10,
        "learning_rate": 5e-4,
        "confusion": [[1, 2], [3, 4]],
        "device": "cpu",
    }


def reproduction(latent_dim: int) -> dict[str, Any]:
    """What another stage wrote of a model trained by the report's recipe, and more."""
    losses = {loss: latent_dim + 0.5 + number / 100 for number, loss in enumerate(LOSSES)}
    others = {f"test_{loss}": 1.0 for loss in LOSSES} | {"recipe": "report", "training_seconds": 2.0}
    return {**others, **losses, "latent_dim": latent_dim, "precision": "float32", "epochs": 3}


@pytest.fixture(scope="module")
def report() -> pd.DataFrame:
    return pd.read_csv(ROOT / "metrics" / "report.csv")


@pytest.fixture(scope="module")
def table(report: pd.DataFrame) -> pd.DataFrame:
    """The benchmark, given out of order, and a dimension that the report has not."""
    models = [model(latent_dim) for latent_dim in (30, 2, 7, 10, 5)]
    return benchmark_table(models, [reproduction(latent_dim) for latent_dim in (5, 3, 30, 2, 10)], report)


def cells(line: str) -> list[str]:
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_committed_report_is_the_reports(report: pd.DataFrame) -> None:
    found = {int(row["latent_dim"]): tuple(row[loss] for loss in LOSSES) for _, row in report.iterrows()}
    assert found == REPORT
    for kl, reconstruction, combined in REPORT.values():
        assert kl + reconstruction == pytest.approx(combined, abs=2e-5)  # it rounded each by itself


def test_rows_are_by_rising_dimension(table: pd.DataFrame) -> None:
    assert table["latent_dim"].tolist() == [2, 5, 7, 10, 30]
    assert pd.api.types.is_integer_dtype(table["latent_dim"])
    assert tuple(table.columns) == COLUMNS


def test_numbers_are_in_their_columns(table: pd.DataFrame) -> None:
    for row in table.to_dict("records"):
        expected = model(row["latent_dim"])
        for column in COLUMNS:
            if not column.startswith(OTHERS):
                assert row[column] == expected[column], column


def test_reports_numbers_stand_beside_ours(table: pd.DataFrame) -> None:
    for row in table.to_dict("records"):
        losses = tuple(row[f"report_{loss}"] for loss in LOSSES)
        if row["latent_dim"] in REPORT:
            assert losses == REPORT[row["latent_dim"]]
        else:
            assert all(pd.isna(loss) for loss in losses)


def test_reproduced_numbers_stand_beside_ours(table: pd.DataFrame) -> None:
    for row in table.to_dict("records"):
        losses = [row[f"reproduced_{loss}"] for loss in LOSSES]
        if row["latent_dim"] in REPORT:
            assert losses == [reproduction(row["latent_dim"])[loss] for loss in LOSSES]
        else:
            assert all(pd.isna(loss) for loss in losses)


def test_order_of_the_models_does_not_matter(table: pd.DataFrame, report: pd.DataFrame) -> None:
    models = [model(latent_dim) for latent_dim in table["latent_dim"]]
    reproductions = [reproduction(latent_dim) for latent_dim in REPORT]
    random.Random(0).shuffle(models)
    random.Random(1).shuffle(reproductions)
    again = benchmark_table(iter(models), iter(reproductions), report.iloc[::-1])
    pd.testing.assert_frame_equal(again, table)


def test_dimensions_that_were_not_trained_are_no_rows(report: pd.DataFrame) -> None:
    reproductions = [reproduction(latent_dim) for latent_dim in REPORT]
    assert benchmark_table([model(5)], reproductions, report)["latent_dim"].tolist() == [5]


def test_without_the_reports_numbers_the_reproduced_ones_stay(report: pd.DataFrame) -> None:
    # As for other digits than MNIST's.
    [row] = benchmark_table([model(5)], [reproduction(5)], report.iloc[:0]).to_dict("records")
    assert row["reproduced_kl_loss"] == 5.5
    assert pd.isna(row["report_kl_loss"])


def test_missing_score_is_an_error(report: pd.DataFrame) -> None:
    incomplete = model(5)
    del incomplete["inception_score"]
    with pytest.raises(KeyError, match="inception_score"):
        benchmark_table([incomplete], [reproduction(5)], report)


def test_missing_loss_of_a_reproduction_is_an_error(report: pd.DataFrame) -> None:
    incomplete = reproduction(5)
    del incomplete["kl_loss"]
    with pytest.raises(KeyError, match="kl_loss"):
        benchmark_table([model(5)], [incomplete], report)


def test_csv_leaves_what_the_report_has_not_empty(table: pd.DataFrame) -> None:
    lines = table.to_csv(index=False).splitlines()
    rows = [dict(zip(COLUMNS, line.split(","), strict=True)) for line in lines[1:]]
    seven = next(row for row in rows if row["latent_dim"] == "7")
    empty = [column for column, cell in seven.items() if not cell]
    assert empty == [f"{source}_{loss}" for source in ("reproduced", "report") for loss in LOSSES]
    assert all(all(row.values()) for row in rows if row is not seven)
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    pd.testing.assert_frame_equal(read, table)


# The headline.


@pytest.mark.parametrize("latent_dim", [2, 7])
def test_headline(table: pd.DataFrame, latent_dim: int) -> None:
    numbers = headline(table, latent_dim)
    assert tuple(numbers) == HEADLINE
    expected = model(latent_dim)
    assert numbers == {name: expected[name] for name in HEADLINE}
    assert all(type(number) is float for number in numbers.values())
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_headline_has_both_train_and_test_losses(table: pd.DataFrame) -> None:
    numbers = headline(table, 5)
    for loss in LOSSES:
        assert numbers[loss] != numbers[f"test_{loss}"]


def test_headline_of_a_dimension_that_is_not_there(table: pd.DataFrame) -> None:
    with pytest.raises(IndexError):
        headline(table, 6)


# The text.


def test_markdown(table: pd.DataFrame) -> None:
    text = to_markdown(table)
    assert text.endswith("|\n")
    header, rule, *lines = text.splitlines()
    assert cells(header) == [
        "latent dim",
        "KL",
        "reconstruction",
        "combined",
        "combined, test set",
        "combined by the report's recipe",
        "combined in the report",
        "inception score (95 %)",
        "reconstructions read right",
        "training",
    ]
    assert rule == "|" + "---:|" * 10
    assert [cells(line)[0] for line in lines] == ["2", "5", "7", "10", "30"]
    assert all(len(cells(line)) == 10 for line in lines)
    five = model(5)
    assert cells(lines[1]) == [
        "5",
        f"{five['kl_loss']:.2f}",
        f"{five['reconstruction_loss']:.2f}",
        f"{five['combined_loss']:.2f}",
        f"{five['test_combined_loss']:.2f}",
        "5.52",
        "31.29",
        f"{five['inception_score']:.2f} "
        f"({five['inception_score_low']:.2f}–{five['inception_score_high']:.2f})",
        "90.5%",
        f"{five['training_seconds']:.0f} s",
    ]
    assert len({cell for line in lines for cell in cells(line)[1:5]}) == 20  # no column is another


def test_markdown_has_a_dash_where_the_report_has_nothing(table: pd.DataFrame) -> None:
    for line in to_markdown(table).splitlines()[2:]:
        assert (cells(line)[5:7] == ["–"] * 2) == (cells(line)[0] == "7")
        assert "nan" not in line


def test_markdown_of_other_digits_has_the_reproduced_losses(report: pd.DataFrame) -> None:
    table = benchmark_table([model(5)], [reproduction(5)], report.iloc[:0])
    assert cells(to_markdown(table).splitlines()[2])[5:7] == ["5.52", "–"]
