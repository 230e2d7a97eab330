"""The engines that `make bench` times, as it runs them: each in a process of its own, on a few digits."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from vaebench.data import save_dataset
from vaebench.download import make_digits
from vaebench.pipeline.stage import StageError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that has a data set."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "data").mkdir()
    save_dataset(folder / "data/dataset.safetensors", "digits", make_digits())
    return folder


@pytest.mark.parametrize("engine", ["textbook", "vaebench", "vaebench-float32", "vaebench-fast"])
def test_engine_says_what_it_measured(folder: Path, engine: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/engine.py"), engine]
    options = ["--images", "1600", "--warm-up", "64", "--batch-size", "64", "--latent-dim", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["batch_size"], found["latent_dim"]) == (1600, 64, 2)  # more than there are
    assert found["seconds"] > 0
    assert 100 < found["peak_memory_mib"] < 16_000


def test_textbook_learns(folder: Path) -> None:
    import torch
    from torch.utils.data import DataLoader

    from textbook import Digits, TextbookVAE, train_epoch
    from vaebench.data import load_dataset

    digits = Digits(load_dataset(folder / "data/dataset.safetensors").train.images[:512])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = TextbookVAE(2)
        loader = DataLoader(digits, batch_size=64, shuffle=True)
        optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
        losses = [train_epoch(vae, optimizer, loader, torch.device("cpu")) for _ in range(3)]
    assert losses[-1] < 0.7 * losses[0]


# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_times_of_a_record_that_cannot_be_read_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "mlflow.db").write_text("no database")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match=r"mlflow\.db cannot be used \(.*not a database"):
        runpy.run_path(str(ROOT / "benchmarks/stages.py"))["main"]()
