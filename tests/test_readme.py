"""The README says what the repository holds."""

import re
from pathlib import Path

import pandas as pd

from vaebench.findings.criteria import CRITERIA, estimate, winners
from vaebench.findings.table import rows_of, to_summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def part(name: str) -> str:
    return README.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()


def test_table_is_the_pipelines() -> None:
    table = pd.read_csv(ROOT / "metrics/benchmark.csv")
    assert part("summary") == to_summary(table).strip()


def test_verdicts_are_the_pipelines() -> None:
    findings = (ROOT / "metrics/findings.md").read_text()
    assert part("verdicts") == findings[findings.index("| claim |") :].split("\n\n")[0]


def test_winners_are_the_tables() -> None:
    rows = rows_of(pd.read_csv(ROOT / "metrics/benchmark.csv"), "VAE")
    best = {
        score.column: winners(
            {key: found for key, row in rows.items() if (found := estimate(row, score.column))},
            higher=score.higher,
        )[0]
        for score in CRITERIA
    }
    named = {
        10: ("test_combined_loss", "fid"),
        30: ("test_reconstruction_loss_at_mean", "reconstruction_accuracy", "recall"),
        3: ("inception_score", "legible_share"),
    }
    assert {column: best[column] for columns in named.values() for column in columns} == {
        column: dimension for dimension, columns in named.items() for column in columns
    }
    assert 5 not in best.values()
    below = [row["combined_loss"] < row["report_combined_loss"] for row in rows.values()]
    assert below == [True] * 6


def test_speed_is_the_benchmarks() -> None:
    assert part("throughput.md") == (ROOT / "benchmarks/throughput.md").read_text().strip()


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if not target.startswith("http")]
    assert len(local) > 10
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_make_targets_exist() -> None:
    named = set(re.findall(r"(?:^|`|&& )make ([a-z]+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert named >= {"demo", "test", "ui"}
    assert [name for name in named if f"\n{name}:" not in makefile] == []
