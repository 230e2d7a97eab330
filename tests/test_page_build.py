"""The page's text, from the committed results and models that were not trained."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from pages import committed_results, committed_table, origin
from projects import DIMENSIONS
from vaebench.findings.criteria import CRITERIA, estimate, winners
from vaebench.findings.fitness import judged
from vaebench.findings.table import cell, rows_of
from vaebench.page.build import _provenance, build
from vaebench.page.origin import Origin
from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.key import ModelKey

EVIL = """# Findings

Before.

## Claim *one*

<script>alert(1)</script> & more

| a | b |
|---|---:|
| 1 | 2 |

### Part

## Last

end
"""


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return committed_table()


@pytest.fixture(scope="module")
def page() -> str:
    return build(committed_results(EVIL))


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


def test_best_of_each_row_and_its_ties_are_marked(page: str, table: pd.DataFrame) -> None:
    vaes = rows_of(table, "VAE")
    marked = 0
    for score in CRITERIA:
        [line] = [
            row for row in page.split("<tr>") if f"{score.name} {'↑' if score.higher else '↓'}</th>" in row
        ]
        found = {key: number for key, row in vaes.items() if (number := estimate(row, score.column))}
        best, *tied = winners(found, higher=score.higher)
        classes = re.findall(r'<td(?: class="(\w+)")?>', line)[: len(DIMENSIONS)]
        assert classes == ["best" if each == best else "tied" if each in tied else "" for each in DIMENSIONS]
        assert line.count("tied with the best") == len(tied)
        marked += len(tied)
    assert marked > 2  # there are some to tell


def test_first_numbers_name_their_ties(table: pd.DataFrame) -> None:
    tied = table.copy()
    tied.loc[tied["latent_dim"] == 30, "test_combined_loss_low"] = 26.0
    tiles = build(replace(committed_results(EVIL), table=tied)).partition('<ul class="tiles">')[2]
    assert "26.52, squared error + KL; tied: 30<" in tiles.partition("</ul>")[0]


def test_unfit_panel_is_said_and_nobody_wins_by_it(table: pd.DataFrame, page: str) -> None:
    warning = "The classifiers are unfit: they read 61.7% of the test digits right"
    assert warning not in page
    unfit = table.copy()
    unfit.loc[unfit["model"] == "test images", "reconstruction_accuracy"] = 0.617
    built = build(replace(committed_results(EVIL), table=judged(unfit)))
    assert warning in built.partition("<main")[0]
    tiles = built.partition('<ul class="tiles">')[2].partition("</ul>")[0]
    assert "lowest loss on test images" in tiles
    assert not re.search("legible|inception|round robin", tiles)
    assert "nan" not in [word.strip("<>/") for word in built.partition("<script")[0].lower().split()]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            [origin("a"), origin("b")],
            "Each number leads to the file that holds it and the commit that brought it. The runs are in the "
            "MLflow store where they were made, which this page was made without.",
        ),
        (
            [origin("a", "r"), origin("b")],
            "Each number leads to the file that holds it, the commit that brought it and the run that "
            "computed it (known of 1 in 2 files).",
        ),
        (
            [origin("a", "r", ""), origin("b", "r", "")],
            "Each number leads to the file that holds it and the run that computed it. "
            "The files are not committed.",
        ),
    ],
)
def test_page_says_where_numbers_lead(made: Sequence[Origin], said: str) -> None:
    assert _provenance(made) == said


def test_models_and_charts_are_embedded(page: str) -> None:
    models = embedded(page, "explorer-data")["models"]
    assert tuple(map(int, models)) == DIMENSIONS
    assert {len(model["axes"][0]) for model in models.values()} == {2, 3}  # three dimensions are shown whole
    assert len(embedded(page, "explorer-data")["classifiers"]) == 3
    for latent_dim, model in models.items():
        assert model["latent_dim"] == len(model["axes"]) == len(model["kl_spectrum"]) == int(latent_dim)
    charts = embedded(page, "charts-data")
    assert {name for name in charts if f'id="{name}"' in page} == set(charts)
    assert len(re.findall(r'class="chart" id="', page)) == len(charts)


def test_findings_are_text_a_level_lower_and_folded(page: str) -> None:
    section = page.partition('<section id="findings">')[2].partition("</section>")[0]
    head, *parts = section.split("<details>")
    assert "<p>Before.</p>" in head
    assert parts[0].startswith("<summary><h3>Claim <em>one</em></h3></summary>")
    assert parts[1].startswith("<summary><h3>Last</h3></summary>")
    assert "<h4>Part</h4>" in parts[0]
    assert section.count("</details>") == 2
    assert "Findings</h1>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in section
    assert '<div class="scroll" tabindex="0"><table>' in section


def test_every_link_to_an_origin_leads_there(page: str) -> None:
    targets = set(re.findall(r'href="#(made-[\w-]+)"', page))
    assert targets >= {f"made-evaluate-{each}-0" for each in DIMENSIONS}
    assert targets <= set(re.findall(r'<tr id="(made-[\w-]+)">', page))


def test_every_training_has_its_row(table: pd.DataFrame) -> None:
    results = committed_results(EVIL)
    again = {ModelKey(key.latent_dim, 7): {**each, "seed": 7} for key, each in results.trainings.items()}
    made = [*results.origins, *(origin(f"train_vae@{key.item}") for key in again)]
    built = build(replace(results, trainings={**results.trainings, **again}, origins=made))
    for key, training in {**results.trainings, **again}.items():
        beginning = f"{key.latent_dim} {key.seed} {training['parameters']:,} "
        assert sum(row.startswith(beginning) for row in rows(built)) == 1
    assert 'href="#made-train_vae-5-7"' in built


def test_page_of_clothes_names_its_classes() -> None:
    fashion = build(replace(committed_results(EVIL), dataset="fashion_mnist"))
    told = embedded(fashion, "explorer-data")
    assert told["classes"] == [*DATASETS["fashion_mnist"].classes]
    assert (told["noun"], told["numbered"]) == ("image", False)
    shown = re.sub(r"<(script|style).*?</\1>|src=\"[^\"]*\"", "", fashion, flags=re.DOTALL)
    for text in (
        "click one of the test images",
        "draw an image",
        "legible between images ↑",
        "Data: Fashion-MNIST, by Han",
    ):
        assert text in shown
    seen = re.sub(r'<[^>]*?((?:alt|title|aria-label)="[^"]*")?[^>]*>', r"\1", shown)
    assert not re.findall(r".{30}digit.{30}", seen)
    charts = json.dumps(embedded(fashion, "charts-data"), ensure_ascii=False)
    assert "legible between images" in charts
    assert "digit" not in charts


def test_page_says_what_it_is_of(table: pd.DataFrame) -> None:
    results = committed_results(EVIL)
    few = table[~table["latent_dim"].isin([3, 4])]
    models = {key: model for key, model in results.models.items() if key.latent_dim not in (3, 4)}
    alone = build(replace(results, table=few, models=models, dataset="digits"))
    assert "does a VAE of scikit-learn&#39;s digits need?" in alone
    assert "with 2, 3, 4, 5, 10 and 30 latent dimensions and compared" in alone  # which is the report's
    assert "Brackets are 95 % intervals over images." in alone
    several = build(replace(results, table=table.assign(trainings=3)))
    assert "means over 3 trainings" in several
    assert "intervals over images and trainings" in several
