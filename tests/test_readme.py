"""The README says what the repository holds."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_table_is_the_pipelines() -> None:
    table = README.split("<!-- benchmark.md -->")[1].split("<!-- /benchmark.md -->")[0]
    assert table.strip() == (ROOT / "metrics/benchmark.md").read_text().strip()


def test_speed_is_the_benchmarks() -> None:
    table = README.split("<!-- throughput.md -->")[1].split("<!-- /throughput.md -->")[0]
    assert table.strip() == (ROOT / "benchmarks/throughput.md").read_text().strip()


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
