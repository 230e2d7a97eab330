"""`make report` on results that cannot be shown, or to a place that cannot be written: one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vaebench.page.__main__ import main
from vaebench.pipeline.files import UnusableFileError
from vaebench.pipeline.stage import StageError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def results(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    shutil.copytree(made, root)
    shutil.copy(ROOT / "params.yaml", root)
    monkeypatch.chdir(root)
    return root


def copy_of(other: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(Path(other).read_bytes())


def without(key: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        content = json.loads(path.read_text())
        del content[key]
        path.write_text(json.dumps(content))

    return remove


@pytest.mark.parametrize(
    ("path", "spoil"),
    [
        ("metrics/benchmark.csv", copy_of("metrics/report.csv")),
        ("metrics/trainings.csv", copy_of("metrics/report.csv")),
        ("metrics/findings.md", copy_of("models/vae/d2-s0/weights.safetensors")),
        ("models/vae/d3-s0/training.json", without("threads")),
        ("models/vae/d3-s0/curve.csv", copy_of("models/reproduction/d3-s0/curve.csv")),
        ("data/evaluation/d3-s0/scores.json", copy_of("data/evaluation/d4-s0/scores.json")),
        ("data/evaluation/references.json", without("pixel noise")),
        ("models/reproduction/d3-s0/training.json", without("training_seconds")),
        ("models/vae/d5-s0/weights.safetensors", copy_of("models/vae/d10-s0/weights.safetensors")),
        ("data/evaluation/d5-s0/pictures.npz", copy_of("data/evaluation/d10-s0/pictures.npz")),
        ("plots/benchmark/samples-d2.png", Path.touch),
    ],
)
def test_result_that_is_not_what_it_should_be_is_named(
    results: Path, path: str, spoil: Callable[[Path], object]
) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    spoil(Path(path))
    with pytest.raises(UnusableFileError, match=f"^{path}: "):
        main(Path("report.html"))
    assert not Path("report.html").exists()


def test_place_that_cannot_be_written_is_refused_before_any_work(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree("metrics")
    Path("pages").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != Path("pages"))  # root may write anywhere
    with pytest.raises(StageError, match=r"^pages: must be a folder that can be written"):
        main(Path("pages/report.html"))


def test_network_that_the_page_cannot_run_is_refused(results: Path) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("network: conv   #", "network: mlp   #"))
    message = r"^params\.yaml: vae\.network must be conv for the report page, got 'mlp'$"
    with pytest.raises(StageError, match=message):
        main(Path("report.html"))
    assert not Path("report.html").exists()
