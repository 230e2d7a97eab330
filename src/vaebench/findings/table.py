"""The table of the benchmark: a row a model, beside the report's losses and what bounds the scores."""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

import pandas as pd

from vaebench.findings.fitness import judged, panel_warning
from vaebench.findings.markdown import markdown_table
from vaebench.findings.trainings import combine
from vaebench.pipeline.datasets import DatasetEntry

Record = Mapping[str, Any]  # one file of metrics, or one row of a table, by name


def _each(names: str, suffixes: str) -> tuple[str, ...]:
    """Return each name, followed by the name with each of the suffixes."""
    return tuple(
        f"{name}{suffix}"
        for name in names.split()
        for suffix in ("", *(f"_{suffix}" for suffix in suffixes.split()))
    )


LOSSES = ("kl_loss", "reconstruction_loss", "combined_loss")
# What `evaluate` finds. low and high: a 95 % interval; spread: between classifiers; mc_error: of the draws.
SCORES = (
    *LOSSES,
    *(f"test_{loss}" for loss in LOSSES),
    *("test_combined_loss_low", "test_combined_loss_high"),
    *_each("test_reconstruction_loss_at_mean", "low high"),
    *("mse", "effective_beta", "negative_elbo", "negative_elbo_fitted"),
    *_each("nll_bound nll_bound_fitted", "low high mc_error"),
    *_each("inception_score", "low high spread"),
    *("inception_score_mean_exp", "label_entropy", "conditional_entropy"),
    *_each("fid kid precision recall density coverage", "low high spread"),
    *_each(
        "legible_share legible_path_share reconstruction_accuracy knn_accuracy probe_accuracy", "low high"
    ),
    *("class_overlap", "kl_per_unit", "active_units", "mutual_information", "marginal_kl"),
    "marginal_kl_floor",
)
_ENDS = ("low", "high", "spread", "mc_error")
NUMBERS = tuple(score for score in SCORES if not score.endswith(tuple(f"_{end}" for end in _ENDS)))
_SHARES = (
    *("precision", "recall", "coverage", "legible_share", "legible_path_share"),
    *("reconstruction_accuracy", "knn_accuracy", "probe_accuracy", "class_overlap"),
)
_OF_ANY_SIGN = ("negative_elbo", "nll_bound", "kid", "mutual_information", "marginal_kl")
# Over several trainings each number has an interval, and a standard deviation between them. These columns are
# there where they hold something.
_OVER_TRAININGS = tuple(
    column
    for number in NUMBERS
    for column in (f"{number}_low", f"{number}_high", f"{number}_training_sd")
    if column not in SCORES
)
TRAINING = (
    *("training_seconds", "images_per_second", "recipe", "epochs", "training_precision", "threads"),
    "parameters",
)
_MEASURED = ("training_seconds", "images_per_second")  # of each training: the table has their mean
# What the scores are of.
DRAWN = ("evaluation_seed", "train_images", "test_images", "samples", "likelihood_images")
COLUMNS = (
    *("model", "latent_dim", "trainings"),
    *SCORES,
    *(f"reproduced_{loss}" for loss in LOSSES),
    *(f"report_{loss}" for loss in LOSSES),
    *TRAINING,
    *DRAWN,
)
TEXTS = ("model", "recipe", "training_precision")
COUNTS = ("latent_dim", "trainings", "epochs", "threads", "parameters", *DRAWN)

# What stands for a model where there is room for a dozen numbers.
HEADLINE = (
    *("combined_loss", "reconstruction_loss", "kl_loss", "test_combined_loss", "nll_bound"),
    *("inception_score", "fid", "coverage", "legible_share"),
    *("reconstruction_accuracy", "knn_accuracy", "active_units", "marginal_kl"),
    "training_seconds",
)

# The two tables for reading: name, column, format (see `cell`).
_FIT = (
    ("KL", "kl_loss", ".2f"),
    ("squared error", "reconstruction_loss", ".2f"),
    ("combined", "combined_loss", ".2f"),
    ("combined, test set", "test_combined_loss", ".2f"),
    ("combined by the report's recipe", "reproduced_combined_loss", ".2f"),
    ("combined in the report", "report_combined_loss", ".2f"),
    ("−log p(x) bound, σ² = 1/2", "nll_bound", ".1f"),
    ("−log p(x) bound, σ² fitted", "nll_bound_fitted", ".1f"),
    ("training, seconds", "training_seconds", ".0f"),
)
_SAMPLES_AND_SPACE = (
    ("inception score", "inception_score", ".2f"),
    ("FID", "fid", ""),
    ("recall", "recall", ".2f"),
    ("coverage", "coverage", ".2f"),
    ("legible samples", "legible_share", ".1%"),
    ("reconstructions read right", "reconstruction_accuracy", ".1%"),
    ("k-NN accuracy", "knn_accuracy", ".1%"),
    ("active units", "active_units", ".0f"),
    ("marginal KL", "marginal_kl", ".2f"),
)

# For a terminal of 100 columns and for a first look, without intervals.
_SHORT = (
    *(("KL", "kl_loss", ".2f"), ("sq. error", "reconstruction_loss", ".2f")),
    *(("combined", "combined_loss", ".2f"), ("test set", "test_combined_loss", ".2f")),
    *(("inception", "inception_score", ".2f"), ("FID", "fid", ""), ("coverage", "coverage", ".2f")),
    *(("legible", "legible_share", ".1%"), ("read right", "reconstruction_accuracy", ".1%")),
)


def benchmark_table(
    trainings: Iterable[Record],
    evaluations: Iterable[Record],
    references: Record,
    reproductions: Iterable[Record],
    report: pd.DataFrame,
) -> pd.DataFrame:
    """Return the VAEs by rising dimension, PCA likewise, the test images and pixel noise.

    Args:
        trainings: what `train_vae` wrote of each training: `latent_dim` and the columns of `TRAINING`.
        evaluations: what `evaluate` wrote of each: `latent_dim`, the columns of `DRAWN`, under `vae` all of
            `SCORES`, and under `pca` those that apply to PCA.
        references: the columns of `DRAWN`, and under `test images` and `pixel noise` the scores that apply.
        reproductions: what `reproduce_report` wrote of each of its models: `latent_dim` and the losses.
        report: the report's table, likewise.

    Returns:
        The `COLUMNS`, `COUNTS` as nullable integers. A VAE's numbers are means over its trainings: see
        `vaebench.findings.trainings`. A cell that does not apply is empty: among others, the
        `report_` and `reproduced_` ones of a dimension that the report did not train, and what an unfit panel
        read.

    Raises:
        KeyError: a VAE lacks a score, or a score has no column.
    """
    trained, evaluated = _by_dimension(trainings), _by_dimension(evaluations)
    compared = {
        f"{source}_{loss}": {row["latent_dim"]: row[loss] for row in rows}
        for source, rows in (("reproduced", list(reproductions)), ("report", report.to_dict("records")))
        for loss in LOSSES
    }
    vaes, pcas = [], []
    for latent_dim, found in sorted(evaluated.items()):
        evaluation = found[0]
        drawn = {column: evaluation[column] for column in DRAWN}
        scores = [{score: _known(each["vae"])[score] for score in SCORES} for each in found]
        vaes.append(
            {"model": "VAE", "latent_dim": latent_dim, "trainings": len(found)}
            | combine(scores, {number: _limits(number) for number in NUMBERS})
            | {column: losses.get(latent_dim) for column, losses in compared.items()}
            | {column: trained[latent_dim][0][column] for column in TRAINING}
            | {column: fmean(each[column] for each in trained[latent_dim]) for column in _MEASURED}
            | drawn
        )
        pcas.append({"model": "PCA", "latent_dim": latent_dim, **_known(evaluation["pca"]), **drawn})
    drawn = {column: references[column] for column in DRAWN}
    ends = [{"model": name, **_known(references[name]), **drawn} for name in ("test images", "pixel noise")]
    known = {column for row in vaes for column in row}
    columns = [*COLUMNS, *(column for column in _OVER_TRAININGS if column in known)]
    table = pd.DataFrame([*vaes, *pcas, *ends], columns=columns)
    types = {column: "Int64" if column in COUNTS else "float64" for column in columns if column not in TEXTS}
    return judged(table.astype(types))


def trainings_table(trainings: Iterable[Record], evaluations: Iterable[Record]) -> pd.DataFrame:
    """Return the numbers of every training: a row each, in the order of the evaluations.

    Args:
        trainings: see `benchmark_table`.
        evaluations: likewise.
    """
    measured = {(each["latent_dim"], each["seed"]): each for each in trainings}
    rows = []
    for evaluation in evaluations:
        key = {name: evaluation[name] for name in ("latent_dim", "seed")}
        scores = {number: evaluation["vae"][number] for number in NUMBERS}
        rows.append({**key, **scores, **{name: measured[(*key.values(),)][name] for name in TRAINING}})
    return pd.DataFrame(rows)


def _limits(number: str) -> tuple[float, float]:
    """Return the least and the most that a number can be."""
    least = -math.inf if number.startswith(_OF_ANY_SIGN) else 0.0
    return least, 1.0 if number in _SHARES else math.inf


def _by_dimension(rows: Iterable[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for row in rows:
        found.setdefault(int(row["latent_dim"]), []).append(row)
    return found


def records(table: pd.DataFrame) -> list[Record]:
    """Return the rows of the table."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def rows_of(table: pd.DataFrame, model: str) -> dict[int, Record]:
    """Return the rows of a kind of model, VAE or PCA, by latent dimension."""
    return {int(row["latent_dim"]): row for row in records(table) if row["model"] == model}


def headline(table: pd.DataFrame, latent_dim: int) -> dict[str, float]:
    """Return the `HEADLINE` numbers of one VAE of the table, those that it has.

    Raises:
        KeyError: there is none of that dimension.
    """
    row = rows_of(table, "VAE")[latent_dim]
    return {name: float(row[name]) for name in HEADLINE if not pd.isna(row[name])}


def to_markdown(table: pd.DataFrame, data: DatasetEntry) -> str:
    """Return two tables for reading: losses and likelihood; samples and latent space.

    A VAE is named by its latent dimension. What has no number in a table has no row there. Above them stands
    what is wrong with the panel, if something is.
    """
    warning = panel_warning(table, data)
    texts = [f"**{warning}** What they read is left out.\n"] if warning else []
    for columns in (_FIT, _SAMPLES_AND_SPACE):
        rows = []
        for row in records(table):
            cells = [cell(row, column, form) for _, column, form in columns]
            if set(cells) != {"–"}:
                rows.append([_name(row), *cells])
        texts.append(markdown_table(["latent dim", *(name for name, _, _ in columns)], rows))
    return "\n".join(texts)


def to_summary(table: pd.DataFrame) -> str:
    """Return the table that the README shows: the VAEs and the test images, without intervals."""
    rows = [row for row in records(table) if row["model"] in ("VAE", "test images")]
    return markdown_table(["latent dim", *(name for name, _, _ in _SHORT)], _short(rows))


def to_text(table: pd.DataFrame, data: DatasetEntry) -> str:
    """Return the numbers that matter most, as a table of at most 100 columns for a terminal.

    Above it stands what is wrong with the panel, if something is.
    """
    warning = panel_warning(table, data)
    header = ["latent dim", *(name for name, _, _ in _SHORT)]
    rows = _short(records(table))
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])])
        for cells in (header, *rows)
    ]
    return "\n".join([warning, *lines] if warning else lines) + "\n"


def _short(rows: Iterable[Record]) -> list[list[str]]:
    return [
        [_name(row), *(cell({column: row[column]}, column, form) for _, column, form in _SHORT)]
        for row in rows
    ]


def cell(row: Record, column: str, form: str = "") -> str:
    """Return a number as a table shows it, with its interval if it has one: `8.02 (7.95–8.07)`.

    Over several trainings, the standard deviation between them follows: `8.02 (7.90–8.12, sd 0.03)`.

    Args:
        row: a row of the table.
        column: which of its numbers; `_low` and `_high` name the interval.
        form: how Python formats it; where empty, three significant digits. The ends of the interval have as
            many decimals as the number.

    Returns:
        The text; a dash where there is no number.
    """
    value = row[column]
    if pd.isna(value):
        return "–"
    form = form or f",.{_decimals(value)}f"
    text = f"{value:{form}}"
    low, high = row.get(f"{column}_low", math.nan), row.get(f"{column}_high", math.nan)
    if pd.isna(low) or pd.isna(high):
        return text
    ends = [f"{end:{form}}".rstrip("%") for end in (low, high)]
    spread = row.get(f"{column}_training_sd", math.nan)
    between = "" if pd.isna(spread) else f", sd {f'{spread:{form}}'.rstrip('%')}"
    return f"{text} ({(' to ' if low < 0 else '–').join(ends)}{between})"


def _decimals(value: float) -> int:
    """Return the decimals that leave three significant digits."""
    return 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))


def _name(row: Record) -> str:
    if row["model"] not in ("VAE", "PCA"):
        return str(row["model"])
    return f"{'PCA ' if row['model'] == 'PCA' else ''}{row['latent_dim']:.0f}"


def _known(scores: Record) -> Record:
    """Return `scores`, each of which has its column."""
    if strangers := sorted(set(scores) - set(SCORES)):
        raise KeyError(f"scores without a column: {', '.join(strangers)}")
    return scores
