"""The table of the benchmark: rows, the report's columns beside ours, and the text to read."""

import io
import json
import random
from pathlib import Path

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


def model(latent_dim: int) -> dict[str, float]:
    """What two stages wrote of a model, with a number of its own in every column, and more."""
    own = [column for column in COLUMNS if not column.startswith("report_")]
    numbers = {column: latent_dim + number / 100 for number, column in enumerate(own)}
    return {
        **dict(reversed(numbers.items())),
        "latent_dim": latent_dim,
        "reconstruction_accuracy": 0.9 + latent_dim / 1000,
        "parameters": 200_000 + latent_dim,
        "epochs": 10,
        "learning_rate": 5e-4,
        "confusion": [[1, 2], [3, 4]],  # type: ignore[dict-item]
        "device": "cpu",  # type: ignore[dict-item]
    }


@pytest.fixture(scope="module")
def report() -> pd.DataFrame:
    return pd.read_csv(ROOT / "metrics" / "report.csv")


@pytest.fixture(scope="module")
def table(report: pd.DataFrame) -> pd.DataFrame:
    """The benchmark, given out of order, and a dimension that the report has not."""
    return benchmark_table([model(latent_dim) for latent_dim in (30, 2, 7, 10, 5)], report)


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
            if not column.startswith("report_"):
                assert row[column] == expected[column], column


def test_reports_numbers_stand_beside_ours(table: pd.DataFrame) -> None:
    for row in table.to_dict("records"):
        losses = tuple(row[f"report_{loss}"] for loss in LOSSES)
        if row["latent_dim"] in REPORT:
            assert losses == REPORT[row["latent_dim"]]
        else:
            assert all(pd.isna(loss) for loss in losses)


def test_order_of_the_models_does_not_matter(table: pd.DataFrame, report: pd.DataFrame) -> None:
    models = [model(latent_dim) for latent_dim in table["latent_dim"]]
    random.Random(0).shuffle(models)
    pd.testing.assert_frame_equal(benchmark_table(iter(models), report.iloc[::-1]), table)


def test_dimensions_of_the_report_that_were_not_trained_are_no_rows(report: pd.DataFrame) -> None:
    assert benchmark_table([model(5)], report)["latent_dim"].tolist() == [5]


def test_missing_score_is_an_error(report: pd.DataFrame) -> None:
    incomplete = model(5)
    del incomplete["inception_score"]
    with pytest.raises(KeyError, match="inception_score"):
        benchmark_table([incomplete], report)


def test_csv_leaves_what_the_report_has_not_empty(table: pd.DataFrame) -> None:
    lines = table.to_csv(index=False).splitlines()
    rows = [dict(zip(COLUMNS, line.split(","), strict=True)) for line in lines[1:]]
    seven = next(row for row in rows if row["latent_dim"] == "7")
    assert [column for column, cell in seven.items() if not cell] == [f"report_{loss}" for loss in LOSSES]
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
        "report's KL",
        "reconstruction",
        "report's reconstruction",
        "combined",
        "report's combined",
        "test combined",
        "inception score (95 %)",
        "reconstructions read right",
        "training",
    ]
    assert rule == "|" + "---:|" * 11
    assert [cells(line)[0] for line in lines] == ["2", "5", "7", "10", "30"]
    assert all(len(cells(line)) == 11 for line in lines)
    five = model(5)
    assert cells(lines[1]) == [
        "5",
        f"{five['kl_loss']:.2f}",
        "8.40",
        f"{five['reconstruction_loss']:.2f}",
        "22.89",
        f"{five['combined_loss']:.2f}",
        "31.29",
        f"{five['test_combined_loss']:.2f}",
        f"{five['inception_score']:.2f} "
        f"({five['inception_score_low']:.2f}–{five['inception_score_high']:.2f})",
        "90.5%",
        f"{five['training_seconds']:.0f} s",
    ]
    assert len({cell for line in lines for cell in cells(line)[1:6:2]}) == 15  # no column is another


def test_markdown_has_a_dash_where_the_report_has_nothing(table: pd.DataFrame) -> None:
    for line in to_markdown(table).splitlines()[2:]:
        reports = cells(line)[2:7:2]
        assert (reports == ["–"] * 3) == (cells(line)[0] == "7")
        assert "nan" not in line
