"""The claims of the report, each with the numbers that bear on it and a rule that decides.

One number is above or below another only where their intervals do not overlap.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import combinations
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from vaebench.evaluation.confusion import CLASSES, most_confused
from vaebench.evaluation.interval import share_interval
from vaebench.findings.criteria import Estimate, beats, estimate, points, winners
from vaebench.findings.markdown import markdown_table
from vaebench.findings.table import Record, cell
from vaebench.findings.trainings import mean_curve, over_trainings
from vaebench.pipeline.datasets import DatasetEntry

STEADY = 0.9  # of all pairs of epochs, for a loss that rises or falls
DOMINATED = 2.0  # reconstruction loss over KL from which it dominates
BALANCED = 1.5  # the same ratio, either way up, up to which the two balance
LOW = 4  # the highest of the low dimensions: the report's compromise is 5
EPOCHS = 10  # the report's
FLAT = 0.001  # relative fall of the loss in an epoch below which it is flat
MANY = 0.25  # of the samples
EMPTIER = math.log(2)  # nats: as where half as much of the prior is filled
TOP = 3  # of the pairs of classes
CONFUSED = 0.01  # the rate from which a pair is confused at all

PAIRS = CLASSES * (CLASSES - 1) // 2
SHOWN = 15  # digits that the report shows beside their reconstructions
GRID = 64  # prior samples that it shows
LEGIBLE = 60  # of them, by its count
HIGH, BEST, MISREADING = 30, 5, 3  # the dimensions that its claims name

Records = Mapping[int, Record]  # the VAEs' rows of the table, by latent dimension
Curves = Mapping[int, Sequence[pd.DataFrame]]  # the losses of every epoch, of each training, by dimension

_NO_MODEL = "no model of that dimension"
_NO_OTHER = "no other model to compare with"
_UNFIT = "the classifiers are unfit"


class Matrices(NamedTuple):
    """Which classes one model mixes up, in each of its trainings."""

    confusions: Sequence[Tensor]  # (10, 10), int64; row: true class, column: read as; none of an unfit panel
    overlaps: Sequence[Tensor]  # (10, 10), float64; row: class of a point, column: share of each class there

    @property
    def confusion(self) -> Tensor | None:
        """All trainings' together, or None."""
        return torch.stack([*self.confusions]).sum(0) if self.confusions else None

    @property
    def overlap(self) -> Tensor:
        """The mean over trainings."""
        return torch.stack([*self.overlaps]).mean(0)


class Outcome(Enum):
    """What a rule makes of the numbers."""

    YES = "yes"
    NO = "no"
    PARTLY = "in part"  # of several cases some hold
    OPEN = "open"  # the interval lies on both sides
    MISSING = "not tested"


class Part(NamedTuple):
    """One thing that a claim says, and whether it holds."""

    statement: str
    outcome: Outcome
    missing: str = _NO_MODEL  # why, where it could not be tested


class Finding(NamedTuple):
    """One claim, beside what bears on it."""

    claim: str
    numbers: str  # Markdown
    rule: str
    parts: Sequence[Part]


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Return what all share, leaving out what was not tested; `PARTLY` where they differ."""
    tested = set(outcomes) - {Outcome.MISSING}
    if not tested:
        return Outcome.MISSING
    return tested.pop() if len(tested) == 1 else Outcome.PARTLY


def verdict(parts: Iterable[Part]) -> str:
    """Return what a claim is, by its parts that were tested and decided.

    Supported where all of them hold, not supported where all fail, else mixed.
    """
    outcomes = [part.outcome for part in parts]
    decided = [outcome for outcome in outcomes if outcome not in (Outcome.OPEN, Outcome.MISSING)]
    if not decided:
        return "undecided" if Outcome.OPEN in outcomes else "not tested"
    words = {Outcome.YES: "supported", Outcome.NO: "not supported"}
    return words.get(combine(decided), "mixed")


def kl_rises(curves: Curves, reproduced: Curves) -> Finding:
    """Test whether KL rises while reconstruction falls, in every curve."""

    def course(trainings: Sequence[pd.DataFrame] | None, loss: str) -> str:
        if not trainings:
            return "–"
        curve = mean_curve(trainings)
        text = f"{curve[loss].iloc[0]:.2f} → {curve[loss].iloc[-1]:.2f}"
        return f"{text} ({_rising(curve[loss]):.0%})" if len(curve) > 1 else text

    def judged(curve: pd.DataFrame) -> Outcome:
        if len(curve) < 2:
            return Outcome.MISSING
        return _outcome(min(_rising(curve["kl_loss"]), _rising(-curve["reconstruction_loss"])) >= STEADY)

    kinds = {"benchmark": curves, "reproduced": reproduced}
    header = [f"{loss}, {kind}" for kind in kinds for loss in ("KL", "reconstruction")]
    rows = [
        [str(dimension)]
        + [
            course(kind.get(dimension), loss)
            for kind in kinds.values()
            for loss in ("kl_loss", "reconstruction_loss")
        ]
        for dimension in sorted({*curves, *reproduced})
    ]
    return Finding(
        "KL rises while reconstruction falls during training",
        "Training losses of the first and of the last epoch. In brackets: of all pairs of epochs, the share "
        "where the later one has the higher loss.\n\n" + markdown_table(["latent dim", *header], rows),
        f"in at least {100 * STEADY:.0f} % of the pairs the later epoch has the higher KL, and in as many "
        "the lower reconstruction loss.",
        [
            _each(
                f"in the {kind} models",
                {dimension: combine(map(judged, trainings)) for dimension, trainings in found.items()},
                "no curve of two epochs",
            )
            for kind, found in kinds.items()
        ],
    )


def losses_balance(vaes: Records) -> Finding:
    """Test whether reconstruction dominates the loss at low dimensions and balances with KL at 30."""

    def quotient(error: float, kl: float) -> float:
        return error / kl if kl else math.inf

    def ratio(row: Record, prefix: str) -> float:
        return quotient(float(row[f"{prefix}reconstruction_loss"]), float(row[f"{prefix}kl_loss"]))

    def within(row: Record, prefix: str, lowest: float, highest: float) -> Outcome:
        error, kl = f"{prefix}reconstruction_loss", f"{prefix}kl_loss"
        ends = (
            quotient(_end(row, error, "low"), _end(row, kl, "high")),
            quotient(_end(row, error, "high"), _end(row, kl, "low")),
        )
        if lowest <= min(ends) and max(ends) <= highest:
            return Outcome.YES
        return Outcome.NO if max(ends) < lowest or min(ends) > highest else Outcome.OPEN

    def judged(row: Record, lowest: float, highest: float) -> Outcome:
        known = [prefix for prefix in ("", "reproduced_") if not math.isnan(ratio(row, prefix))]
        return combine(within(row, prefix, lowest, highest) for prefix in known)

    prefixes = {"benchmark": "", "reproduced": "reproduced_", "published": "report_"}
    rows = [
        [str(dimension), *(_or_dash(ratio(row, prefix), ".2f") for prefix in prefixes.values())]
        for dimension, row in vaes.items()
    ]
    low = {dimension: judged(row, DOMINATED, math.inf) for dimension, row in vaes.items() if dimension <= LOW}
    high = judged(vaes[HIGH], 1 / BALANCED, BALANCED) if HIGH in vaes else Outcome.MISSING
    return Finding(
        f"Low dimensions are dominated by reconstruction; at {HIGH} the two losses balance",
        "Reconstruction loss over KL, on the training set after training.\n\n"
        + markdown_table(["latent dim", *prefixes], rows),
        f"up to {LOW} dimensions the ratio is at least {DOMINATED:g}; at {HIGH} it is between 1/{BALANCED:g} "
        f"and {BALANCED:g}. Benchmark and reproduced models are judged; the published ones are the claim.",
        [
            _each("reconstruction dominates", low, "no model of a low dimension"),
            Part(f"at {HIGH} the two losses balance", high),
        ],
    )


def still_falling(curves: Curves, reproduced: Curves, optimizer: str) -> Finding:
    """Test whether the loss still falls in the report's last epoch, by its own recipe."""
    nothing = math.nan

    def last_two(trainings: Sequence[pd.DataFrame]) -> tuple[float, float]:
        curve = mean_curve(trainings) if trainings else None
        found = {} if curve is None else dict(zip(curve["epoch"], curve["combined_loss"], strict=True))
        return found.get(EPOCHS - 1, nothing), found.get(EPOCHS, nothing)

    def fall(trainings: Sequence[pd.DataFrame]) -> float:
        before, after = last_two(trainings)
        return 1 - after / before

    def judged(curve: pd.DataFrame) -> Outcome:
        return Outcome.MISSING if math.isnan(fall([curve])) else _outcome(fall([curve]) >= FLAT)

    rows = [
        [
            str(dimension),
            *(_or_dash(loss, ".2f") for loss in last_two(reproduced.get(dimension, []))),
            _or_dash(fall(reproduced.get(dimension, [])), ".2%"),
            _or_dash(fall(curves.get(dimension, [])), ".2%"),
        ]
        for dimension in sorted({*curves, *reproduced})
    ]
    schedule = (
        " The benchmark models' learning rate ends at zero: their fall comes from that schedule, and says "
        "nothing about more epochs."
    )
    header = ["latent dim", f"epoch {EPOCHS - 1}", f"epoch {EPOCHS}", "fall", "fall, benchmark"]
    return Finding(
        f"{EPOCHS} epochs are too few: the total loss has not flattened at any dimension",
        f"Combined training loss of the reproduced models in epochs {EPOCHS - 1} and {EPOCHS}, and how far "
        f"it falls from one to the other.{schedule if optimizer == 'muon' else ''}\n\n"
        + markdown_table(header, rows),
        f"the reproduced models' loss falls by at least {100 * FLAT:g} %. At less, {EPOCHS} more epochs "
        f"would gain less than {100 * FLAT * EPOCHS:g} %.",
        [
            _each(
                "still falling",
                {dimension: combine(map(judged, trainings)) for dimension, trainings in reproduced.items()},
                f"no curve of {EPOCHS} epochs",
            )
        ],
    )


def sparse(vaes: Records, noise: float, data: DatasetEntry) -> Finding:
    """Test whether many samples at 30 are not legible, fewer than elsewhere, and the space is emptier.

    Args:
        vaes: the models.
        noise: the share of pixel noise that is legible, or NaN.
        data: the data set, for its words.
    """
    genuine = data.noun if data.noun == data.class_noun else f"real {data.noun}"

    def emptier(dimension: int) -> Outcome:
        high, low = (
            Estimate(
                row["marginal_kl"], _end(row, "marginal_kl_floor", "low"), _end(row, "marginal_kl", "high")
            )
            for row in (vaes[HIGH], vaes[dimension])
        )
        if high.low - low.high >= EMPTIER:
            return Outcome.YES
        return Outcome.NO if high.high - low.low < EMPTIER else Outcome.OPEN

    columns = (
        ("legible samples", "legible_share", ".1%"),
        (f"legible between {data.nouns}", "legible_path_share", ".1%"),
        ("marginal KL", "marginal_kl", ".2f"),
        ("its floor", "marginal_kl_floor", ".2f"),
        ("mutual information", "mutual_information", ".2f"),
    )
    rows = [
        [str(dimension), *(cell(row, column, form) for _, column, form in columns)]
        for dimension, row in vaes.items()
    ]
    shares = _estimates(vaes, "legible_share")
    low = [dimension for dimension in vaes if dimension <= LOW]
    many = Outcome.MISSING
    best: dict[int, Outcome] = {}
    lower: dict[int, Outcome] = {}
    emptied: dict[int, Outcome] = {}
    if HIGH in vaes:
        emptied = {dimension: emptier(dimension) for dimension in low}
    if HIGH in shares:
        high = shares.pop(HIGH)
        many = _exceeds(Estimate(1 - high.value, 1 - high.high, 1 - high.low), MANY)
        best = {dimension: _below(high, shares[dimension]) for dimension in winners(shares, higher=True)[:1]}
        lower = {dimension: _below(high, shares[dimension]) for dimension in low}
    other = _NO_OTHER if HIGH in vaes else _NO_MODEL
    unread = _UNFIT if HIGH in vaes and many is Outcome.MISSING else ""
    return Finding(
        f"High-dimensional latent spaces are sparse: at {HIGH}, many prior samples are not legible "
        f"{data.nouns}",
        f"*Legible*: the classifiers recognise the image as surely as 99 % of the real {data.nouns} that "
        f"they read right; that proves no {genuine}: {_or_dash(noise, '.1%')} of pixel noise pass, so it "
        f"compares images near {genuine}s alone. *Between {data.nouns}*: images on straight lines between "
        f"test {data.nouns} of different classes. "
        "*Marginal KL*: of the aggregated posterior of the test images from the prior, in nats; that of all "
        "possible images lies between its *floor* and it, far apart where the *mutual information* is near "
        "its cap, the logarithm of the number of images.\n\n"
        + markdown_table(["latent dim", *(name for name, _, _ in columns)], rows),
        f"*many* are more than {100 * MANY:.0f} %, by the whole interval. *Fewer*: intervals apart. "
        "*Emptier*: a marginal KL higher by at least ln 2, as where half as much of the prior is filled, "
        "wherever between its two bounds either lies; open where that decides. "
        f"*Low* are up to {LOW} dimensions.",
        [
            Part(f"many are not legible at {HIGH}", many, unread or _NO_MODEL),
            _each(f"fewer are legible at {HIGH} than at the best of the others", best, unread or other),
            _each(f"fewer are legible at {HIGH} than at low dimensions", lower, unread or other),
            _each(f"the space is emptier at {HIGH} than at low dimensions", emptied, other),
        ],
    )


def best_compromise(vaes: Records, *, counted: bool) -> Finding:
    """Test the report's two counts at dimension 5, and whether it does best over all criteria.

    Args:
        vaes: the models.
        counted: whether their images are those that the report counted.
    """
    read, legible = _estimates(vaes, "reconstruction_accuracy"), _estimates(vaes, "legible_share")
    unread = _UNFIT if BEST in vaes and BEST not in read else ""
    totals = {dimension: shares["all"] for dimension, shares in points(vaes).items() if "all" in shares}
    rows = [
        [
            str(dimension),
            cell(row, "reconstruction_accuracy", ".1%"),
            _or_dash(row["reconstruction_accuracy"] ** SHOWN, ".0%"),
            cell(row, "legible_share", ".1%"),
            _or_dash(row["legible_share"] * GRID, ".1f"),
            _or_dash(totals.get(dimension, math.nan), ".2f"),
        ]
        for dimension, row in vaes.items()
    ]
    header = [
        "latent dim",
        "reconstructions read right",
        f"chance of {SHOWN} of {SHOWN}",
        "legible samples",
        f"of {GRID}",
        "points",
    ]
    most = Part(
        f"{BEST} has the most points",
        _outcome(totals[BEST] >= max(totals.values()) - 1e-9) if BEST in totals else Outcome.MISSING,
        unread or (_NO_OTHER if BEST in vaes else _NO_MODEL),
    )
    meant = "*Points* are those of the round robin [below](#which-dimension-wins-by-which-criterion).\n\n"
    if not counted:
        own = (0, 1, 3, 5)  # without what its counts come to
        return Finding(
            f"Dimension {BEST} is the best trade-off",
            meant + markdown_table([header[at] for at in own], [[row[at] for at in own] for row in rows]),
            "the best trade-off has the most points.",
            [Part("the report's two counts agree", Outcome.MISSING, "it counted MNIST's"), most],
        )
    return Finding(
        f"Dimension {BEST} is the best trade-off: all {SHOWN} digits reconstructed faithfully, {LEGIBLE} of "
        f"{GRID} prior samples legible",
        meant + markdown_table(header, rows),
        "a count of the report agrees with a rate here where their 95 % intervals overlap. So few images "
        f"leave much open: {SHOWN} of {SHOWN} is {_share(SHOWN, SHOWN)}, {LEGIBLE} of {GRID} is "
        f"{_share(LEGIBLE, GRID)}. The best trade-off has the most points.",
        [
            Part(
                f"{SHOWN} of {SHOWN} agrees with the reconstructions read right at {BEST}",
                _agrees(SHOWN, SHOWN, read.get(BEST)),
                unread or _NO_MODEL,
            ),
            Part(
                f"{LEGIBLE} of {GRID} agrees with the legible samples at {BEST}",
                _agrees(LEGIBLE, GRID, legible.get(BEST)),
                unread or _NO_MODEL,
            ),
            most,
        ],
    )


def sevens_and_nines(matrices: Mapping[int, Matrices], data: DatasetEntry) -> Finding:
    """Test whether 7 and 9 are among the most confused pairs, and how often sevens turn into nines at 3."""
    claim = (
        "7 and 9 overlap in the latent space; two sevens were reconstructed as nines at dimension "
        f"{MISREADING}"
    )
    if (data.classes[7], data.classes[9]) != ("7", "9"):
        return Finding(
            claim,
            f"{data.title} has neither sevens nor nines; what is confused in it stands "
            "[below](#most-confused-pairs).\n",
            "none.",
            [Part("7 and 9 overlap, or are misread", Outcome.MISSING, f"{data.title} has neither")],
        )
    read = {key: found.confusion for key, found in matrices.items() if found.confusion is not None}
    overlaps = {key: _place(found.overlap) for key, found in matrices.items()}
    readings = {key: _place(confusion) for key, confusion in read.items()}
    overlapping = {key: [*map(_place, found.overlaps)] for key, found in matrices.items()}
    misread = {key: [*map(_place, found.confusions)] for key, found in matrices.items() if found.confusions}
    turned = {dimension: int(confusion[7, 9]) for dimension, confusion in read.items()}
    sevens = {dimension: int(confusion[7].sum()) for dimension, confusion in read.items()}
    unread = _UNFIT if matrices and not read else _NO_MODEL
    rows = []
    for dimension, overlap in overlaps.items():
        cells = ["–", "–", "–"]
        if dimension in read:
            reading, count = readings[dimension], sevens[dimension]
            cells = [f"{reading.rate:.1%}", str(reading.rank)]
            cells += [_share(turned[dimension], count) if count else "–"]
        rows.append([str(dimension), f"{overlap.rate:.1%}", str(overlap.rank), *cells])
    turning = Outcome.MISSING
    if MISREADING in read:
        turning = _exceeds(_turning(matrices[MISREADING].confusions), CONFUSED)
    rate = f"{100 * CONFUSED:.0f} %"
    return Finding(
        claim,
        "How often 7 and 9 are confused, the mean of both directions, and their rank among the "
        f"{PAIRS} pairs of digits: by the overlap of their posteriors, and by what their reconstructions are "
        "read as.\n\n"
        + markdown_table(
            ["latent dim", "overlap", "rank", "reconstructions", "rank", "sevens read as nines"], rows
        ),
        f"they overlap, or are misread, if the rate is at least {rate}; they stand out if they are among the "
        f"first {TOP} pairs. Sevens turn into nines if more than {rate} of them do, by the whole interval.",
        [
            _each("7 and 9 overlap", _judged(overlapping, lambda place: place.rate >= CONFUSED)),
            _each(
                f"they are among the {TOP} pairs that overlap most",
                _judged(overlapping, lambda place: place.rank <= TOP),
            ),
            _each(
                "their reconstructions are misread",
                _judged(misread, lambda place: place.rate >= CONFUSED),
                unread,
            ),
            _each(
                f"they are among the {TOP} pairs that are misread most",
                _judged(misread, lambda place: place.rank <= TOP),
                unread,
            ),
            Part(f"sevens are reconstructed as nines at {MISREADING}", turning, unread),
        ],
    )


def _turning(confusions: Sequence[Tensor]) -> Estimate:
    """Return which share of the sevens is read as nines, over trainings."""
    counts = [(int(confusion[7, 9]), max(int(confusion[7].sum()), 1)) for confusion in confusions]
    lows, highs = zip(*(share_interval(hits, count) for hits, count in counts), strict=True)
    value, low, high, _ = over_trainings([hits / count for hits, count in counts], lows, highs)
    return Estimate(value, low, high)


class _Place(NamedTuple):
    rank: int  # from 1, among the pairs
    rate: float


def _place(matrix: Tensor) -> _Place:
    """Return where 7 and 9 stand among all pairs."""
    pairs = most_confused(matrix, PAIRS)
    rate = next(pair.rate for pair in pairs if {pair.first, pair.second} == {7, 9})
    return _Place(1 + sum(pair.rate > rate for pair in pairs), rate)


def _judged(places: Mapping[int, Sequence[_Place]], holds: Callable[[_Place], bool]) -> dict[int, Outcome]:
    """Return what holds of each model, in all of its trainings."""
    return {
        dimension: combine(_outcome(holds(place)) for place in trainings)
        for dimension, trainings in places.items()
    }


def _rising(losses: "pd.Series[float]") -> float:
    """Return the share of all pairs of epochs of which the later one has the higher loss."""
    rises = [later > earlier for earlier, later in combinations(losses, 2)]
    return sum(rises) / len(rises)


def _end(row: Record, column: str, end: str) -> float:
    """Return an end of a number's interval over trainings, which is the number itself where it has none."""
    found = row.get(f"{column}_{end}", math.nan)
    return float(row[column] if math.isnan(found) else found)


def _outcome(holds: bool) -> Outcome:
    return Outcome.YES if holds else Outcome.NO


def _exceeds(found: Estimate, threshold: float) -> Outcome:
    if found.low > threshold:
        return Outcome.YES
    return Outcome.NO if found.high < threshold else Outcome.OPEN


def _below(first: Estimate, second: Estimate) -> Outcome:
    if beats(first, second, higher=False):
        return Outcome.YES
    return Outcome.NO if beats(second, first, higher=False) else Outcome.OPEN


def _agrees(hits: int, count: int, found: Estimate | None) -> Outcome:
    """Return whether the 95 % interval of a count overlaps that of what was found here."""
    if found is None:
        return Outcome.MISSING
    low, high = share_interval(hits, count)
    return _outcome(low <= found.high and found.low <= high)


def _each(statement: str, outcomes: Mapping[int, Outcome], missing: str = _NO_MODEL) -> Part:
    """Return what a statement comes to that was tested at several dimensions."""
    tested = {key: outcome for key, outcome in outcomes.items() if outcome is not Outcome.MISSING}
    if not tested:
        return Part(statement, Outcome.MISSING, missing)
    if len(set(tested.values())) == 1:
        return Part(f"{statement} ({', '.join(map(str, sorted(tested)))})", next(iter(tested.values())))
    by_outcome = (
        (outcome, [str(dimension) for dimension in sorted(tested) if tested[dimension] is outcome])
        for outcome in Outcome
    )
    where = "; ".join(f"{outcome.value}: {', '.join(found)}" for outcome, found in by_outcome if found)
    return Part(f"{statement} ({where})", Outcome.PARTLY)


def _estimates(vaes: Records, column: str) -> dict[int, Estimate]:
    return {dimension: found for dimension, row in vaes.items() if (found := estimate(row, column))}


def _or_dash(value: float, form: str) -> str:
    return "–" if math.isnan(value) else f"{value:{form}}"


def _share(hits: int, count: int) -> str:
    low, high = share_interval(hits, count)
    return f"{hits / count:.1%} ({100 * low:.1f}–{100 * high:.1f})"
