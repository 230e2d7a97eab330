"""The page `metrics/findings.md`: what the numbers make of the report's claims, and which dimension is best.

The wording stands here and in `vaebench.findings.claims`; every number, winner and verdict is computed.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from vaebench.evaluation.confusion import most_confused
from vaebench.findings.claims import (
    Curves,
    Finding,
    Matrices,
    Outcome,
    Records,
    best_compromise,
    kl_rises,
    losses_balance,
    sevens_and_nines,
    sparse,
    still_falling,
    verdict,
)
from vaebench.findings.criteria import CRITERIA, GROUPS, Criterion, beats, estimate, points, winners
from vaebench.findings.fitness import panel_warning
from vaebench.findings.markdown import markdown_table
from vaebench.findings.report import is_reported
from vaebench.findings.table import Record, cell, records, rows_of
from vaebench.pipeline.datasets import DATASETS, DatasetEntry

TOP = 3  # pairs of classes listed


class Scope(NamedTuple):
    """What the numbers speak of."""

    dataset: str  # as params.yaml names it
    train_images: int
    test_images: int
    samples: int  # decoded from N(0, I), of each model
    likelihood_images: int  # test images of the importance-weighted bound
    evaluation_seed: int  # of all draws
    trainings: int  # of each model
    recipe: str  # of the models
    optimizer: str  # likewise
    ceiling: float  # the highest inception score that the frequencies of the classes allow


def findings(
    table: pd.DataFrame,
    matrices: Mapping[int, Matrices],
    curves: Curves,
    reproduced: Curves,
    scope: Scope,
) -> str:
    """Return the page, in Markdown.

    Args:
        table: see `benchmark_table`; its VAEs may be of any dimensions.
        matrices: of each VAE, by rising latent dimension.
        curves: the losses of every training epoch, of each training of each VAE, by latent dimension.
        reproduced: the same of each model trained by the report's recipe.
        scope: what the numbers speak of.
    """
    data = DATASETS[scope.dataset]
    vaes = rows_of(table, "VAE")
    [noise] = [row for row in records(table) if row["model"] == "pixel noise"]
    found = [
        kl_rises(curves, reproduced),
        losses_balance(vaes),
        still_falling(curves, reproduced, scope.optimizer),
        sparse(vaes, noise["legible_share"], data),
        best_compromise(vaes, counted=is_reported(scope.dataset)),
        sevens_and_nines(matrices, data),
    ]
    verdicts = [[f"{number}. {each.claim}", _verdict(each)] for number, each in enumerate(found, 1)]
    return "\n".join(
        [
            _head(scope, data, panel_warning(table, data)),
            markdown_table(["claim", "verdict"], verdicts, left=2),
            *(_section(number, finding) for number, finding in enumerate(found, 1)),
            _contest(vaes, table, scope.ceiling, data),
            _confused_pairs(matrices, data),
            _beside_pca(vaes, rows_of(table, "PCA"), data),
        ]
    )


def _head(scope: Scope, data: DatasetEntry, warning: str) -> str:
    seed = scope.evaluation_seed
    title, train, test = data.title, f"{scope.train_images:,}", f"{scope.test_images:,}"
    likelihood_images = min(scope.likelihood_images, scope.test_images)
    alarm = (
        f"**{warning}** What they read is left out: no model wins by it and no image is called legible.\n"
        "More of `classifier.epochs` in `params.yaml` may mend it.\n\n"
        if warning
        else ""
    )
    of_mnist = " The report's claims, and its losses, are those of MNIST."
    others = "" if is_reported(scope.dataset) else of_mnist
    return f"""# Findings

{alarm}The claims of the report *Benchmarking Variational Autoencoder with MNIST Dataset* (2024), held against
numbers. The stage `aggregate` wrote this page: its wording and rules are fixed in `claims.py` and
`findings.py` of `src/vaebench/findings`, its numbers and verdicts are computed.

**Data: {title}.** {train} training and {test} test images, {scope.samples:,}
prior samples a model, {likelihood_images:,} images for the bounds on −log p(x), seed {seed}.{others}
*Benchmark* models are trained by the {scope.recipe} recipe, *reproduced* ones as the report trained its own;
*published* is what it printed.

{_brackets(scope.trainings)} One number
beats another where their intervals do not overlap, which is cautious; a number without an interval is taken
as it is. Those of recall and coverage are over real images, those of precision over samples, with the other
set as it is. A part of a claim is *open* where its interval does not decide. A claim is *supported* where all
decided parts hold, *not supported* where all fail, else *mixed*.
"""


def _brackets(trainings: int) -> str:
    if trainings == 1:
        return """\
Brackets hold 95 % intervals over images; they do not cover another training of the same model."""
    return f"""\
Each number of a VAE is the mean over {trainings} trainings, *sd* the standard deviation between them; models
are reproduced once. Brackets hold 95 % intervals that cover both other images and other trainings (Zou &
Donner 2008; see `trainings.py` there)."""


def _verdict(finding: Finding) -> str:
    """Return the verdict, and how many parts it leaves out because the numbers do not decide them."""
    count = sum(part.outcome is Outcome.OPEN for part in finding.parts)
    return verdict(finding.parts) + (f" ({count} of {len(finding.parts)} parts open)" if count else "")


def _section(number: int, finding: Finding) -> str:
    parts = "\n".join(
        f"- {part.statement}: **{part.outcome.value}**"
        + (f", {part.missing}" if part.outcome is Outcome.MISSING else "")
        for part in finding.parts
    )
    return f"""## {number}. {finding.claim}

{finding.numbers}
Rule: {finding.rule}

{parts}

**Verdict: {_verdict(finding)}.**
"""


def _contest(vaes: Records, table: pd.DataFrame, ceiling: float, data: DatasetEntry) -> str:
    [tests] = [row for row in records(table) if row["model"] == "test images"]
    rows = []
    for criterion in CRITERIA:
        estimates = {key: found for key, row in vaes.items() if (found := estimate(row, criterion.column))}
        if not estimates:
            continue
        best, *tied = winners(estimates, higher=criterion.higher)
        real = estimate(tests, criterion.column)
        beyond = real is not None and beats(estimates[best], real, higher=criterion.higher)
        rows.append(
            [
                criterion.group,
                f"{criterion.named(data)}{' †' if beyond else ''}",
                "higher" if criterion.higher else "lower",
                f"**{best}**" + (f", tied: {', '.join(map(str, tied))}" if tied else ""),
                cell(vaes[best], criterion.column, criterion.form),
                cell(tests, criterion.column, criterion.form),
            ]
        )
    shares = points(vaes)
    columns = (*GROUPS, "all")
    standings = [
        [str(dimension), *(f"{found[name]:.2f}" if name in found else "–" for name in columns)]
        for dimension, found in shares.items()
    ]
    header = ["about", "criterion", "better", "best dimension", "its value", "test images"]
    return f"""## Which dimension wins by which criterion

The best value wins; the dimensions that it does not beat are tied with it. By a criterion with †, it beats
even real test images: winning there is no proof of being like them. The inception score's ceiling is
{ceiling:.2f}: every image read surely, the {data.class_nouns} as frequent as among the test images.

{markdown_table(header, rows, left=4)}
Round robin: in every criterion each dimension meets each other one, 1 point for a win and 1/2 for a tie. A
column is the mean over its criteria and opponents; *all* is the mean of the columns.

{markdown_table(["latent dim", *columns], standings)}"""


def _confused_pairs(matrices: Mapping[int, Matrices], data: DatasetEntry) -> str:
    rows = [
        [
            str(dimension),
            *(
                ", ".join(
                    f"{data.classes[pair.first]}–{data.classes[pair.second]} {pair.rate:.1%}"
                    for pair in most_confused(matrix, TOP)
                )
                if matrix is not None
                else "–"
                for matrix in (found.overlap, found.confusion)
            ),
        ]
        for dimension, found in matrices.items()
    ]
    header = ["latent dim", "overlap in the latent space", "reconstructions read as the other"]
    return f"""## Most confused pairs

The {TOP} pairs of {data.class_nouns} with the highest rates, each the mean of both directions.

{markdown_table(header, rows, left=3)}"""


def _beside_pca(vaes: Records, pcas: Records, data: DatasetEntry) -> str:
    rows, total = [], Counter[str]()
    for dimension in sorted(vaes.keys() & pcas.keys()):
        by_winner: dict[str, list[str]] = {"VAE": [], "PCA": [], "": []}
        for criterion in CRITERIA:
            better = _better(vaes[dimension], pcas[dimension], criterion)
            if better is not None:
                by_winner[better].append(criterion.named(data))
        counts = {winner: len(names) for winner, names in by_winner.items()}
        total.update(counts)
        rows.append([str(dimension), *map(str, counts.values()), ", ".join(by_winner["PCA"]) or "–"])
    summary = (
        f"Of {total.total()} comparisons the VAE wins {total['VAE']} and PCA {total['PCA']}, "
        f"{total['']} are ties."
        if total
        else "There is nothing to compare."
    )
    header = ["latent dim", "VAE better", "PCA better", "tied", "PCA better by"]
    return f"""## VAE beside PCA

Each VAE against as many principal components, by every criterion that both have. {summary}

{markdown_table(header, rows)}"""


def _better(vae: Record, pca: Record, criterion: Criterion) -> str | None:
    """Return which of the two is better, nothing for a tie, and None where one lacks the score."""
    own, other = estimate(vae, criterion.column), estimate(pca, criterion.column)
    if own is None or other is None:
        return None
    if beats(own, other, higher=criterion.higher):
        return "VAE"
    return "PCA" if beats(other, own, higher=criterion.higher) else ""
