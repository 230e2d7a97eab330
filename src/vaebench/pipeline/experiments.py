"""DVC's experiments as a table that fits the terminal: `make show`.

`dvc exp show` has a column for each parameter and metric, most of them alike in every row.
"""

import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from vaebench.pipeline import paths
from vaebench.pipeline.params import PARAMS_FILE
from vaebench.pipeline.stage import StageError, run_stage

State = Mapping[str, Any]  # one commit or experiment of `dvc exp show --json`

# The metrics shown, of falling importance: name, column, format.
_METRICS = (
    ("test loss", "test_combined_loss", ".2f"),
    ("FID", "fid", ",.0f"),
    ("legible", "legible_share", ".1%"),
    ("read", "reconstruction_accuracy", ".1%"),
    ("IS", "inception_score", ".2f"),
    ("-log p(x)", "nll_bound", ".1f"),
    ("seconds", "training_seconds", ".0f"),
)
_NAME, _CHANGED = 26, 28  # characters: of names at most, of changes at least
_NUMBER = 9  # likewise, of a metric
_GAP = "  "


class Row(NamedTuple):
    """One line of the table."""

    name: str
    changed: str  # the parameters that differ from the commit's, as `-S` takes them
    metrics: Mapping[str, float]  # of the model under study


def main() -> None:
    """List the experiments of this commit: what each changed, and what came of it."""
    command = ["dvc", "exp", "show", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)  # noqa: S603
    if done.returncode:
        raise StageError("`dvc exp show` fails; what it says stands above")
    print(table(list(rows(json.loads(done.stdout))), shutil.get_terminal_size((100, 24)).columns))


def rows(states: Sequence[State]) -> Iterator[Row]:
    """Yield the workspace, then each commit followed by its experiments.

    Args:
        states: what `dvc exp show --json` prints: the workspace, which is compared with the commit after it,
            and commits, each of which its experiments are compared with.
    """
    workspace, *commits = states
    # Changed parameters beside the results of others: they were set and not run, or the run failed.
    changed = _changes(workspace, commits[0])
    stale = changed and _metrics(workspace) == _metrics(commits[0])
    yield Row(f"workspace{' (not run)' if stale else ''}", changed, {} if stale else _metrics(workspace))
    for commit in commits:
        yield Row(f"{commit['name'] or 'commit'} {commit['rev'][:7]}", "", _metrics(commit))
        for experiment in commit["experiments"] or ():
            tip = experiment["revs"][0]
            state = (experiment["executor"] or {}).get("state", "success")
            name = f"  {tip['name'] or tip['rev'][:7]}"
            if state == "success":
                yield Row(name, _changes(tip, commit), _metrics(tip))
            else:
                yield Row(f"{name} ({state})", _changes(tip, commit), {})


def table(found: Sequence[Row], width: int) -> str:
    """Return the rows as text of `width` columns.

    Names and changes are wrapped; metrics that have no room are left out, the least important first.
    """
    first = min(max(len(row.name) for row in found), _NAME)
    shown = [metric for metric in _METRICS if any(metric[1] in row.metrics for row in found)]
    while shown and _room(width, first, shown) < _CHANGED:
        shown.pop()
    room = max(_room(width, first, shown), _CHANGED)
    lines = [_line("", "changed", [name for name, _, _ in shown], (first, room))]
    for row in found:
        cells = [f"{row.metrics[key]:{form}}" if key in row.metrics else "-" for _, key, form in shown]
        indent = row.name[: len(row.name) - len(row.name.lstrip())]
        names = textwrap.wrap(row.name, first, subsequent_indent=f"{indent}  ")
        changes = textwrap.wrap(row.changed, room, break_on_hyphens=False)
        for place, (name, change) in enumerate(zip_longest(names, changes, fillvalue="")):
            lines.append(_line(name, change, [] if place else cells, (first, room)))
    return "\n".join(lines)


def _room(width: int, first: int, metrics: Sequence[tuple[str, str, str]]) -> int:
    """Return what the names and the metrics leave of `width`."""
    return width - first - len(_GAP) - len(metrics) * (len(_GAP) + _NUMBER)


def _line(name: str, change: str, cells: Sequence[str], widths: tuple[int, int]) -> str:
    first, room = widths
    return _GAP.join(
        [f"{name:<{first}}", f"{change:<{room}}", *(f"{cell:>{_NUMBER}}" for cell in cells)]
    ).rstrip()


def _parameters(state: State) -> dict[str, Any]:
    """Return the parameters by their dotted names."""
    files = (state["data"] or {}).get("params", {})
    return dict(_flat(files.get(str(PARAMS_FILE), {}).get("data") or {}))


def _metrics(state: State) -> Mapping[str, float]:
    files = (state["data"] or {}).get("metrics", {})
    found: Mapping[str, float] = files.get(paths.MODEL_METRICS.as_posix(), {}).get("data") or {}
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changes(state: State, base: State) -> str:
    before = _parameters(base)
    return " ".join(f"{key}={value}" for key, value in _parameters(state).items() if before.get(key) != value)


if __name__ == "__main__":
    run_stage(main)
