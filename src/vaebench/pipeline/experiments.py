"""DVC's experiments as a table that fits the terminal: `make show`.

`dvc exp show` has a column for each of some sixty parameters and metrics, most of them the same in every row.
"""

import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from vaebench.pipeline import paths
from vaebench.pipeline.params import PARAMS_FILE
from vaebench.pipeline.stage import StageError, run_stage

State = Mapping[str, Any]  # one commit or experiment of `dvc exp show --json`

# The metrics shown, of falling importance: name, column, format.
_METRICS = (
    ("test loss", "test_combined_loss", ".2f"),
    ("FID", "fid", ".0f"),
    ("legible", "legible_share", ".1%"),
    ("read right", "reconstruction_accuracy", ".1%"),
    ("IS", "inception_score", ".2f"),
    ("-log p(x)", "nll_bound", ".1f"),
    ("seconds", "training_seconds", ".0f"),
)
_NAME, _CHANGED = 28, 24  # the most and the least columns of the terminal for each
_GAP = "  "


class Row(NamedTuple):
    """One line of the table."""

    name: str
    changed: str  # the parameters that differ from the commit's, as `-S` takes them
    metrics: Mapping[str, float]  # of the model under study


def main() -> None:
    """List the experiments of this commit: what each changed, and what came of it."""
    done = subprocess.run(["dvc", "exp", "show", "--json"], stdout=subprocess.PIPE, text=True, check=False)  # noqa: S607
    if done.returncode:
        raise StageError("`dvc exp show` fails; what it says stands above")
    print(table(list(rows(json.loads(done.stdout))), shutil.get_terminal_size((100, 24)).columns))


def rows(states: Sequence[State]) -> Iterator[Row]:
    """Yield the workspace, then each commit followed by its experiments.

    Args:
        states: what `dvc exp show --json` prints: the workspace, which is compared with the commit after it,
            and commits, each of which its experiments are compared with.
    """
    commits = [state for state in states if state["rev"] != "workspace"]
    for state in states:
        in_workspace = state["rev"] == "workspace"
        base = _parameters(commits[0] if in_workspace and commits else state)
        own = "workspace" if in_workspace else f"{state['name'] or 'commit'} {state['rev'][:7]}"
        yield Row(own, _changes(state, base) if in_workspace else "", _metrics(state))
        for experiment in state["experiments"] or ():
            tip = experiment["revs"][0]
            standing = (experiment["executor"] or {}).get("state") or ""
            if standing == "success":
                standing = ""
            elif not standing and tip["error"]:
                standing = "error"
            name = tip["name"] or experiment["name"] or tip["rev"][:7]
            yield Row(
                f"  {name}{f' ({standing})' if standing else ''}",
                _changes(tip, base),
                {} if standing else _metrics(tip),
            )


def table(found: Sequence[Row], width: int) -> str:
    """Return the rows as text of `width` columns.

    Names and changes are wrapped; metrics that have no room are left out, the least important first.
    """
    first = min(max((len(row.name) for row in found), default=0), _NAME)
    shown = [metric for metric in _METRICS if any(metric[1] in row.metrics for row in found)]
    while shown and width - first - len(_GAP) - _width(shown) < _CHANGED:
        shown.pop()
    room = max(width - first - len(_GAP) - _width(shown), _CHANGED)
    room = min(room, max((len(row.changed) for row in found), default=0) or room)
    room = max(room, len("changed"))
    lines = [_line("", "changed", [name for name, _, _ in shown], first, room, shown)]
    for row in found:
        cells = [f"{row.metrics[key]:{form}}" if key in row.metrics else "-" for _, key, form in shown]
        names = textwrap.wrap(row.name, first, initial_indent="", subsequent_indent="    ") or [""]
        if row.name.startswith("  "):
            names[0] = f"  {names[0].lstrip()}"
        changes = textwrap.wrap(row.changed, room, break_on_hyphens=False) or [""]
        for place in range(max(len(names), len(changes))):
            name = names[place] if place < len(names) else ""
            change = changes[place] if place < len(changes) else ""
            lines.append(_line(name, change, cells if place == 0 else [], first, room, shown))
    return "\n".join(lines)


def _line(
    name: str, change: str, cells: Sequence[str], first: int, room: int, shown: Sequence[tuple[str, str, str]]
) -> str:
    numbers = "".join(
        f"{_GAP}{cell:>{_width([metric]) - len(_GAP)}}" for cell, metric in zip(cells, shown, strict=False)
    )
    return f"{name:<{first}}{_GAP}{change:<{room}}{numbers}".rstrip()


def _width(metrics: Sequence[tuple[str, str, str]]) -> int:
    return sum(len(_GAP) + max(len(name), 6) for name, _, _ in metrics)


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


def _changes(state: State, base: Mapping[str, Any]) -> str:
    own = _parameters(state)
    changed = [f"{key}={value}" for key, value in own.items() if base.get(key) != value]
    return " ".join(changed) or "nothing" if own else ""


if __name__ == "__main__":
    run_stage(main)
