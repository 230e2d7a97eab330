"""The page's text, from the committed results and models that were not trained."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vaebench.criteria import CRITERIA
from vaebench.page.build import Results, build
from vaebench.page.explorer import Explored
from vaebench.page.origin import Origin
from vaebench.pictures import Pictures
from vaebench.table import cell, rows_of
from vaebench.vae import build_vae

ROOT = Path(__file__).parents[1]
DIMENSIONS = (2, 3, 4, 5, 10, 30)
EVIL = "# Findings\n\n## Claim\n\n<script>alert(1)</script> & more\n\n| a | b |\n|---|---:|\n| 1 | 2 |\n"


def pictures(latent_dim: int) -> Pictures:
    random = np.random.default_rng(0)
    axes = latent_dim if latent_dim <= 3 else 2
    images = np.zeros((64, 28, 28), dtype=np.uint8)
    digits = np.arange(100, dtype=np.uint8) % 10
    return Pictures(
        originals=images[:15],
        reconstructions=images[:15],
        original_labels=digits[:15],
        samples=images,
        interpolations=images[:55].reshape(5, 11, 28, 28),
        interpolation_labels=digits[:10].reshape(5, 2),
        latent=random.standard_normal((100, axes), dtype=np.float32),
        labels=digits,
        explained_variance=np.full(axes, 0.25, dtype=np.float32),
        latent_centre=np.zeros(latent_dim, dtype=np.float32),
        latent_axes=np.eye(latent_dim, axes, dtype=np.float32),
        probabilities=np.full((64, 10), 0.1, dtype=np.float32),
        marginal=np.full(10, 0.1, dtype=np.float32),
        test_marginal=np.full(10, 0.1, dtype=np.float32),
        confusion=np.eye(10, dtype=np.int64),
    )


def origin(stage: str) -> Origin:
    return Origin(stage, Path(f"metrics/{stage}.json"), "c" * 40, "2026-01-02", "", "", "")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(ROOT / "metrics/benchmark.csv")


@pytest.fixture(scope="module")
def page(table: pd.DataFrame) -> str:
    stages = ["report", "aggregate", "evaluate_references"]
    stages += [
        f"{name}@{each}" for name in ("train_vae", "evaluate", "reproduce_report") for each in DIMENSIONS
    ]
    return build(
        Results(
            table=table,
            findings=EVIL,
            trainings={
                each: json.loads((ROOT / f"metrics/training/d{each}.json").read_text()) for each in DIMENSIONS
            },
            curves={each: pd.read_csv(ROOT / f"metrics/training/d{each}.csv") for each in DIMENSIONS},
            models={
                each: Explored(build_vae(each, 0), pictures(each), [1.0] * each, [True] * each)
                for each in DIMENSIONS
            },
            plots=ROOT / "plots/benchmark",
            origins=[origin(stage) for stage in stages],
            commit="d" * 40,
            dataset="mnist",
        )
    )


class Text(HTMLParser):
    """The words of each row of the tables."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append("")
            self.within = True

    def handle_endtag(self, tag: str) -> None:
        self.within = self.within and tag != "tr"

    def handle_data(self, data: str) -> None:
        if self.within:
            self.rows[-1] += f" {data.strip()}"


def rows(page: str) -> list[str]:
    reader = Text()
    reader.feed(page.partition('<script type="application/json"')[0])
    return [" ".join(row.split()) for row in reader.rows]


def embedded(page: str, name: str) -> Any:
    [found] = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


def test_tables_hold_the_numbers(page: str, table: pd.DataFrame) -> None:
    found = rows(page)
    vaes = rows_of(table, "VAE")
    for score in CRITERIA:
        [line] = [row for row in found if row.startswith(f"{score.name} {'↑' if score.higher else '↓'}")]
        for vae in vaes.values():
            value, _, interval = cell(vae, score.column, score.form).rstrip(")").partition(" (")
            assert f" {value} {interval}".rstrip() in line
    for latent_dim, vae in vaes.items():
        losses = [f"{vae[name]:.2f}" for name in ("kl_loss", "report_kl_loss", "combined_loss")]
        assert any(row.startswith(f"{latent_dim} ") and all(each in row for each in losses) for row in found)
    assert not re.search(r"\b(nan|None)\b", " ".join(found))


def test_best_of_each_row_is_marked(page: str) -> None:
    assert page.count('<td class="best">') == len(CRITERIA)


def test_models_and_charts_are_embedded(page: str) -> None:
    models = embedded(page, "explorer-data")["models"]
    assert tuple(map(int, models)) == DIMENSIONS
    for latent_dim, model in models.items():
        assert model["latent_dim"] == len(model["axes"]) == len(model["kl_spectrum"]) == int(latent_dim)
    charts = embedded(page, "charts-data")
    assert {name for name in charts if f'id="{name}"' in page} == set(charts)
    assert len(re.findall(r'class="chart" id="', page)) == len(charts)


def test_findings_are_text_a_level_lower(page: str) -> None:
    section = page.partition('<section id="findings">')[2].partition("</section>")[0]
    assert "<h3>Claim</h3>" in section
    assert "Findings</h1>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in section
    assert '<div class="scroll" tabindex="0"><table>' in section


def test_every_link_to_an_origin_leads_there(page: str) -> None:
    targets = set(re.findall(r'href="#(made-[\w-]+)"', page))
    assert targets >= {f"made-evaluate-{each}" for each in DIMENSIONS}
    assert targets <= set(re.findall(r'<tr id="(made-[\w-]+)">', page))
