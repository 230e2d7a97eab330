"""The page as one text: what the pipeline wrote, filled into the template."""

import base64
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from vaebench.findings.criteria import CRITERIA, Criterion, estimate, points, winners
from vaebench.findings.fitness import panel_warning
from vaebench.findings.table import Record, cell, records, rows_of
from vaebench.models.classifier import Classifier
from vaebench.page import charts
from vaebench.page.explorer import Explored, explorer_data
from vaebench.page.origin import Origin
from vaebench.pipeline.datasets import DATASETS, DatasetEntry
from vaebench.pipeline.files import UnusableFileError
from vaebench.pipeline.key import ModelKey

_FILES = resources.files("vaebench.page")
_TENSORFLOW = ("tf-core-4.22.0.min.js", "tf-backend-wasm-4.22.0.min.js")
_WASM = "tf-backend-wasm-4.22.0-simd.wasm"
_PNG = b"\x89PNG\r\n\x1a\n"  # how such a file begins
# One module after the other, in one scope.
_EXPLORER = (
    "network",
    "state",
    "pictures",
    "plane",
    "manifold",
    "drawing",
    "compare",
    "walk",
    "link",
    "explore",
)

# Pictures of every model: file name, title, what to see, alternative text, in the words of a data set.
_GALLERIES = (
    (
        "samples",
        "Samples from the prior",
        "64 points drawn from N(0, I), decoded.",
        "An 8 by 8 grid of {nouns} that the model with {dimension} latent dimensions decodes from prior "
        "samples",
    ),
    (
        "reconstructions",
        "Reconstructions",
        "15 test {nouns} above what is decoded from their posterior means.",
        "15 test {nouns}, and below each the reconstruction by the model with {dimension} latent dimensions",
    ),
    (
        "interpolations",
        "Walks between {nouns}",
        "Straight lines in the latent space between two test {nouns}.",
        "Five rows of {nouns} that change step by step from one to another, with {dimension} latent "
        "dimensions",
    ),
    (
        "latent",
        "Latent spaces",
        "Posterior means of the test {nouns}; above three dimensions, their first two principal components.",
        "Posterior means of the test {nouns} with {dimension} latent dimensions, coloured by {class_noun}",
    ),
    (
        "confusion",
        "What reconstructions are read as",
        "Rows: the true {class_noun}. Columns: what the classifiers read in its reconstruction.",
        "Confusion matrix of the reconstructions by the model with {dimension} latent dimensions",
    ),
)
_WIDE = (
    (
        "overlaps",
        "Overlap of {class_nouns} in the latent space",
        "Class overlap matrices, one for each latent dimension",
    ),
    (
        "kl_spectra",
        "KL of each latent unit",
        "KL of every latent unit in nats, a panel for each latent dimension",
    ),
    (
        "recipes",
        "Losses by recipe",
        "Combined loss by epoch of the fast recipe, of the report's, and the report's table",
    ),
)


@dataclass(frozen=True)
class Results:
    """Everything that the page shows."""

    table: pd.DataFrame  # see `vaebench.findings.table.benchmark_table`
    findings: str  # Markdown
    trainings: Mapping[ModelKey, Record]  # what `train_vae` says of each
    curves: Mapping[int, Sequence[pd.DataFrame]]  # losses by epoch of each training, by latent dimension
    models: Mapping[ModelKey, Explored]  # of each latent dimension the first training
    panel: Sequence[Classifier]  # that reads images
    panel_accuracy: float  # share of the test images that it reads right
    plots: Path  # the folder of the benchmark's pictures
    origins: Sequence[Origin]
    commit: str  # that the page is made from; empty outside a repository
    dataset: str  # as params.yaml names it


class _Image(NamedTuple):
    title: str
    source: str
    alt: str
    width: int
    height: int


class _Section(NamedTuple):
    title: Markup
    body: Markup


class _Findings(NamedTuple):
    head: Markup  # what stands before the first section
    parts: list[_Section]


class _Tile(NamedTuple):
    title: str
    value: str
    note: str
    link: str  # to where it comes from


def build(results: Results) -> str:
    """Return the page, which needs no other file and no network."""
    data = DATASETS[results.dataset]
    words = {"nouns": data.nouns, "class_noun": data.class_noun, "class_nouns": data.class_nouns}
    vaes, pcas = rows_of(results.table, "VAE"), rows_of(results.table, "PCA")
    scored = _scored(vaes, data)
    [tests] = [row for row in records(results.table) if row["model"] == "test images"]
    origins = {origin.stage: _shown(origin) for origin in results.origins}
    first = {key.latent_dim: key.item for key in results.models}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_read("report.html.jinja"))
    threads = {int(training["threads"]) for training in results.trainings.values()}
    return template.render(
        style=Markup(_read("style.css")),  # noqa: S704 - our own file
        dimensions=list(vaes),
        first=2 if 2 in vaes else min(vaes),
        warning=panel_warning(results.table, data),
        of=data,
        data=_data_line(tests, data.title),
        brackets=_brackets(max(int(row["trainings"]) for row in vaes.values())),
        provenance=_provenance(results.origins),
        panel_size=len(results.panel),
        panel_accuracy=f"{results.panel_accuracy:.1%}",
        tiles=_tiles(vaes, tests, first, len(scored)),
        trainings=[_training(key, training, origins) for key, training in results.trainings.items()],
        threads=" or ".join(f"{count} thread{'s' if count > 1 else ''}" for count in sorted(threads)),
        losses=charts.LOSSES,
        comparison=[_comparison(first[dimension], row, origins) for dimension, row in vaes.items()],
        scores=[_score(score, vaes, tests, origins, first) for score in scored],
        galleries=[_gallery(kind, vaes, results.plots, words) for kind in _GALLERIES],
        wide=[
            _image(results.plots / f"{name}.png", title.format(**words), alt) for name, title, alt in _WIDE
        ],
        findings=_findings(results.findings),
        origins=list(origins.values()),
        runs_known=any(origin.run_id for origin in results.origins),
        commit=results.commit,
        charts_data=_json(_charts(results, vaes, pcas, tests, scored)),
        explorer_data=_json(
            explorer_data(
                {key.latent_dim: model for key, model in results.models.items()}, results.panel, data
            )
        ),
        wasm=base64.b64encode((_FILES / "vendor" / _WASM).read_bytes()).decode(),
        tensorflow=_script("\n".join(_read(f"vendor/{name}") for name in _TENSORFLOW)),
        charts_script=_script("\n".join([_vega(), _read("charts.js"), _read("folds.js")])),
        explore_script=_script("\n".join(_read(f"{name}.js") for name in _EXPLORER)),
    )


def _scored(vaes: Mapping[int, Record], data: DatasetEntry) -> list[Criterion]:
    """Return the criteria that some model has a number for, in the words of the data set."""
    criteria = [score._replace(name=score.named(data)) for score in CRITERIA]
    return [score for score in criteria if any(estimate(row, score.column) for row in vaes.values())]


def _charts(
    results: Results,
    vaes: Mapping[int, Record],
    pcas: Mapping[int, Record],
    tests: Record,
    scored: Sequence[Criterion],
) -> dict[str, charts.Spec]:
    """Return every chart by the id of its place in the page."""
    return {
        **{f"chart-{loss}": charts.loss_curves(results.curves, loss) for loss in charts.LOSSES},
        "chart-report": charts.beside_report(vaes),
        "chart-rate-distortion": charts.rate_distortion(vaes),
        **{f"chart-{score.column}": charts.criterion(vaes, pcas, tests, score) for score in scored},
    }


def _brackets(trainings: int) -> str:
    if trainings == 1:
        return "Brackets are 95 % intervals over images."
    return (
        f"Numbers are means over {trainings} trainings, sd the standard deviation between them, brackets "
        "95 % intervals over images and trainings; pictures and models are those of the first."
    )


def _data_line(tests: Record, name: str) -> str:
    return (
        f"{name[0].upper()}{name[1:]}: "
        f"{tests['train_images']:,} training and {tests['test_images']:,} test images, "
        f"{tests['samples']:,} prior samples a model, seed {tests['evaluation_seed']}"
    )


def _provenance(origins: Sequence[Origin]) -> str:
    """Return where numbers lead to, which is not the same in a clone as on the machine that computed them."""
    commits = _share([origin.commit for origin in origins], "the commit that brought it")
    runs = _share([origin.run_id for origin in origins], "the run that computed it")
    leads = [each for each in ("the file that holds it", commits, runs) if each]
    text = f"Each number leads to {', '.join(leads[:-1])}{' and ' if len(leads) > 1 else ''}{leads[-1]}."
    if not commits:
        text += " The files are not committed."
    if not runs:
        text += " The runs are in the MLflow store where they were made, which this page was made without."
    return text


def _share(found: Sequence[str], what: str) -> str:
    """Return what files lead to, and how many of them where it is not all; nothing where none does."""
    count = sum(map(bool, found))
    return (
        what + ("" if count == len(found) else f" (known of {count} in {len(found)} files)") if count else ""
    )


def _tiles(vaes: Mapping[int, Record], tests: Record, first: Mapping[int, str], criteria: int) -> list[_Tile]:
    """Return the numbers to see first; each is computed, as its sentence is."""
    tiles = []
    compared = [row for row in vaes.values() if not pd.isna(row["report_combined_loss"])]
    if compared:
        lower = sum(row["combined_loss"] < row["report_combined_loss"] for row in compared)
        value = f"{lower} of {len(compared)}"
        tiles.append(_Tile("combined loss below the report's", value, "latent dimensions", "#table"))
    real = cell(tests, "inception_score", ".2f")
    for column, title, note in (
        ("test_combined_loss", "lowest loss on test images", "squared error + KL"),
        ("legible_share", "most legible samples", "of the prior samples"),
        ("inception_score", "highest inception score", f"real test images: {real}"),
    ):
        [score] = [each for each in CRITERIA if each.column == column]
        if ranked := _winners(vaes, score):
            best, *tied = ranked
            value = cell({column: vaes[best][column]}, column, score.form)
            note = f"{value}, {note}{_tied(tied)}"
            tiles.append(_Tile(title, f"{best} dims", note, f"#made-evaluate-{first[best]}"))
    standing = {dimension: found["all"] for dimension, found in points(vaes).items() if "all" in found}
    if standing:
        best, *tied = [each for each, share in standing.items() if share == max(standing.values())]
        note = f"{standing[best]:.0%} of the points over {criteria} criteria{_tied(tied)}"
        tiles.append(_Tile("best in the round robin", f"{best} dims", note, "#findings"))
    return tiles


def _winners(vaes: Mapping[int, Record], score: Criterion) -> list[int]:
    found = {key: number for key, row in vaes.items() if (number := estimate(row, score.column))}
    return winners(found, higher=score.higher)


def _tied(dimensions: Sequence[int]) -> str:
    return f"; tied: {', '.join(map(str, dimensions))}" if dimensions else ""


def _training(key: ModelKey, training: Record, origins: Mapping[str, Any]) -> dict[str, Any]:
    cells = [
        f"{key.seed}",
        f"{training['parameters']:,}",
        training["recipe"],
        f"{training['epochs']}",
        f"{training['batch_size']}",
        training["optimizer"],
        f"{training['learning_rate']:g}",
        training["training_precision"],
        f"{training['training_seconds']:.0f}",
        f"{training['images_per_second']:,.0f}",
    ]
    return {"latent_dim": key.latent_dim, "cells": cells, "origin": origins[key.training]}


def _comparison(item: str, row: Record, origins: Mapping[str, Any]) -> dict[str, Any]:
    ours = origins[f"evaluate@{item}"]
    report = origins["report"]
    reproduced = origins.get(f"reproduce_report@{item}", report)
    columns = (
        ("kl_loss", ours),
        ("report_kl_loss", report),
        ("reconstruction_loss", ours),
        ("report_reconstruction_loss", report),
        ("combined_loss", ours),
        ("reproduced_combined_loss", reproduced),
        ("report_combined_loss", report),
        ("test_combined_loss", ours),
    )
    cells = [{"text": cell(row, column, ".2f"), "origin": origin} for column, origin in columns]
    change = row["combined_loss"] / row["report_combined_loss"] - 1
    cells.append({"text": "–" if math.isnan(change) else f"{change:+.1%}".replace("-", "−"), "origin": ours})
    return {"latent_dim": int(row["latent_dim"]), "cells": cells}


def _score(
    score: Criterion,
    vaes: Mapping[int, Record],
    tests: Record,
    origins: Mapping[str, Any],
    first: Mapping[int, str],
) -> dict[str, Any]:
    best, *tied = _winners(vaes, score)
    standing = {best: "best", **dict.fromkeys(tied, "tied")}
    cells = [
        {
            "text": cell(row, score.column, score.form),
            "origin": origins[f"evaluate@{first[dimension]}"],
            "standing": standing.get(dimension, ""),
        }
        for dimension, row in vaes.items()
    ]
    real = {
        "text": cell(tests, score.column, score.form),
        "origin": origins["evaluate_references"],
        "standing": "",
    }
    return {"name": score.name, "column": score.column, "higher": score.higher, "cells": [*cells, real]}


def _shown(origin: Origin) -> dict[str, Any]:
    anchor = f"made-{origin.stage.replace('@', '-')}"
    about = [f"commit {origin.commit[:10]}" if origin.commit else "not committed"]
    about += [f"run {origin.run_id[:10]}"] if origin.run_id else []
    return {**vars(origin), "anchor": anchor, "title": f"{origin.stage}: {', '.join(about)}"}


def _gallery(
    kind: tuple[str, str, str, str], dimensions: Iterable[int], plots: Path, words: Mapping[str, str]
) -> dict[str, Any]:
    name, alt = kind[0], kind[3]
    title, note = (text.format(**words) for text in kind[1:3])
    images = [
        (each, _image(plots / f"{name}-d{each}.png", title, alt.format(**words, dimension=each)))
        for each in dimensions
    ]
    return {"title": title, "note": note, "images": images}


def _image(path: Path, title: str, alt: str) -> _Image:
    if not path.is_file():
        raise UnusableFileError(path, "not found")
    content = path.read_bytes()
    if content[:8] != _PNG or len(content) < 24:
        raise UnusableFileError(path, "is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    return _Image(title, f"data:image/png;base64,{base64.b64encode(content).decode()}", alt, width, height)


def _findings(markdown: str) -> _Findings:
    """Return Markdown as HTML by section, headings a level lower, without the first: the page has its own."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")

    def rendered(tokens: Sequence[Token]) -> Markup:
        html = reader.renderer.render(tokens, reader.options, {})
        wrapped = html.replace("<table>", '<div class="scroll" tabindex="0"><table>')
        return Markup(wrapped.replace("</table>", "</table></div>"))  # noqa: S704 - markdown-it escapes HTML

    tokens = reader.parse(markdown)
    places = [index for index, token in enumerate(tokens) if token.type == "heading_open"]
    starts = [index for index in places if tokens[index].tag == "h2"]
    for index in places:
        for token in (tokens[index], tokens[index + 2]):
            token.tag = f"h{int(token.tag[1]) + 1}"
    # A heading is three tokens: its beginning, its text, its end.
    first = places[0] if places else -3
    head, *bodies = [tokens[start + 3 : end] for start, end in pairwise([first, *starts, len(tokens)])]
    titles = [rendered([tokens[start + 1]]) for start in starts]
    parts = [_Section(title, rendered(body)) for title, body in zip(titles, bodies, strict=True)]
    return _Findings(rendered(head), parts)


def _json(content: object) -> Markup:
    """Return `content` for a script element, which `</` would end."""
    return Markup(json.dumps(content, allow_nan=False, separators=(",", ":")).replace("</", "<\\/"))  # noqa: S704


def _script(code: str) -> Markup:
    return Markup(code.replace("</script", "<\\/script"))  # noqa: S704 - our own and vendored files


def _vega() -> str:
    """Return Vega-Lite and what it needs, which defines `drawChart`."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.drawChart = vegaEmbed;")
    return bundle


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")
