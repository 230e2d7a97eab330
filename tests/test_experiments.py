"""`make show`: what `dvc exp show --json` said of a small repository, and what it says of one made here."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from projects import ROOT, git, run, succeed
from vaebench.pipeline.experiments import rows, table

# Recorded: a workspace that was changed and not run, and of the commit's experiments one runs and one failed.
RECORDED = Path(__file__).parent / "data/experiments.json"
CHANGED = {
    "workspace (not run)": "latent_dim=4",
    "master 7ae5e20": "",
    "  seven (running)": "latent_dim=7",
    "  two-dimensions-fewer-epochs": (
        "latent_dim=2 vae.recipe=report vae.fast.epochs=3 vae.fast.learning_rate=0.001"
    ),
    "  wider": "latent_dim=10",
    "  broken (failed)": "latent_dim=0",
}


@pytest.fixture
def states() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(RECORDED.read_text())
    return found


def test_experiments_stand_by_name_with_what_they_changed(states: list[dict[str, Any]]) -> None:
    assert {row.name: row.changed for row in rows(states)} == CHANGED


def test_only_what_was_computed_has_metrics(states: list[dict[str, Any]]) -> None:
    known = {row.name.strip(): row.metrics["test_combined_loss"] for row in rows(states) if row.metrics}
    assert known == {"master 7ae5e20": 35.5, "two-dimensions-fewer-epochs": 38.5, "wider": 30.5}


def test_queued_experiments_are_named_as_such(states: list[dict[str, Any]]) -> None:
    states[1]["experiments"][0]["executor"]["state"] = "queued"
    assert "  seven (queued)" in {row.name for row in rows(states)}


def test_workspace_like_the_commit_has_its_metrics(states: list[dict[str, Any]]) -> None:
    states[0]["data"] = states[1]["data"]
    workspace = next(rows(states))
    assert (workspace.name, workspace.changed) == ("workspace", "")
    assert workspace.metrics["latent_dim"] == 5


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_table_fits_and_loses_no_word(states: list[dict[str, Any]], width: int) -> None:
    found = list(rows(states))
    lines = table(found, width).splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(lines)
    for row in found:
        assert all(change in text for change in row.changed.split())
    assert not {"seed", "train_images", "nan"} & set(re.findall(r"\w+", text))
    first = [line for line in lines if line.startswith("  wider")]
    if width >= 100:
        assert lines[0].split()[:4] == ["changed", "test", "loss", "FID"]
        assert first[0].split()[:4] == ["wider", "latent_dim=10", "30.50", "130"]


@pytest.mark.slow
def test_real_experiments_are_shown(tmp_path: Path) -> None:
    """A pipeline of one stage, which writes its parameter as its loss; dvc is real."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "metrics").mkdir()
    loss = r"""s/^latent_dim: *\([0-9]*\).*/{"test_combined_loss": \1}/p"""
    (tmp_path / "stage.sh").write_text(f"sed -n '{loss}' params.yaml > metrics/model.json\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  aggregate:\n    cmd: sh stage.sh\n    params: [latent_dim]\n"
        "    metrics:\n      - metrics/model.json:\n          cache: false\n"
    )
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    for name, value in (("user.name", "n"), ("user.email", "e")):
        git(tmp_path, "config", name, value)
    succeed(tmp_path, "dvc", "init", "--quiet")
    succeed(tmp_path, "dvc", "repro", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "m")
    succeed(tmp_path, "dvc", "exp", "run", "--quiet", "--name", "wider", "-S", "latent_dim=10")
    program = (sys.executable, "-m", "vaebench.pipeline.experiments")
    shown = run(tmp_path, *program, PYTHONPATH=str(ROOT / "src"))
    assert shown.returncode == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["workspace", "latent_dim=10", "10.00"] in lines
    assert ["main", git(tmp_path, "rev-parse", "HEAD")[:7], "5.00"] in lines
    assert ["wider", "latent_dim=10", "10.00"] in lines
