"""The engines that `make bench` times, as it runs them: each in a process of its own, on a few digits."""

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import throughput
from vaebench.data.dataset import Dataset, save_dataset
from vaebench.data.download import make_digits
from vaebench.pipeline.stage import StageError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that has a data set, of a hundred digits."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "data").mkdir()
    digits = {name: tensor[:100] for name, tensor in make_digits().items()}
    save_dataset(folder / "data/dataset.safetensors", "digits", digits)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["textbook", "vaebench", "vaebench-float32", "vaebench-fast", "scoring"])
def test_engine_says_what_it_measured(folder: Path, engine: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/engine.py"), engine]
    options = ["--images", "130", "--warm-up", "64", "--batch-size", "64", "--latent-dim", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["batch_size"], found["latent_dim"]) == (130, 64, 2)  # more than there are
    assert found["seconds"] > 0
    assert 100 < found["peak_memory_mib"] < 16_000


@pytest.mark.slow
def test_textbook_learns(digits: Dataset) -> None:
    import torch
    from torch.utils.data import DataLoader

    from textbook import Digits, TextbookVAE, train_epoch

    images = Digits(digits.train.images[:512])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = TextbookVAE(2)
        loader = DataLoader(images, batch_size=64, shuffle=True)
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


# The bench itself; what it would run is stood in for.


@pytest.fixture
def bench(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with all that `make bench` reads."""
    for file in ("params.yaml", "data/dataset.safetensors", "benchmarks/time_to_report.csv"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy((folder if file.startswith("data") else ROOT) / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is run in place of processes: each engine takes a second for its images."""
    commands: list[list[str]] = []
    found = {"seconds": 1.0, "latent_dim": 10, "peak_memory_mib": 500, "threads": 2, "torch": "2"}

    def stand_in(command: list[str], **options: object) -> SimpleNamespace:
        commands.append(command)
        if "benchmarks/engine.py" not in command:
            return SimpleNamespace(returncode=0, stdout="150.0")
        _, _, _, _, images, *_ = command
        batch_size = int(command[command.index("--batch-size") + 1]) if "--batch-size" in command else 256
        about = found | {"images": int(images), "batch_size": batch_size}
        return SimpleNamespace(returncode=0, stdout=json.dumps(about))

    monkeypatch.setattr(throughput, "run", stand_in)

    def install(folder: Path) -> str:
        commands.append(["install"])
        return "pythae"

    monkeypatch.setattr(throughput, "_install_pythae", install)
    return commands


@pytest.mark.parametrize("missing", ["data/dataset.safetensors", "benchmarks/time_to_report.csv"])
def test_bench_looks_for_what_it_needs_before_it_installs_anything(
    bench: Path, commands: list[list[str]], missing: str
) -> None:
    (bench / missing).unlink()
    with pytest.raises(StageError, match=missing):
        throughput.main(rounds=1, images=256)
    assert commands == []


def test_bench_keeps_the_rows_of_other_machines(
    bench: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "_machine", lambda: "one")
    throughput.main(rounds=1, images=256)
    first = {name: (bench / "benchmarks" / name).read_text() for name in ("throughput.csv", "growth.csv")}
    monkeypatch.setattr(throughput, "_machine", lambda: "another")
    for _ in range(2):  # its own rows it replaces
        throughput.main(rounds=1, images=512)
        for name, text in first.items():
            rows = (bench / "benchmarks" / name).read_text()
            assert rows.startswith(text)
            assert len(rows.splitlines()) == 2 * len(text.splitlines()) - 1
    table = (bench / "benchmarks/throughput.md").read_text()
    assert table.count("| one |") == table.count("| another |") == 9


def test_bench_sets_each_engine_beside_a_textbook_with_its_batches(
    bench: Path, commands: list[list[str]]
) -> None:
    throughput.main(rounds=2, images=512)
    with (bench / "benchmarks/throughput.csv").open(newline="") as file:
        rows = {(row["engine"], row["batch_size"]): row for row in csv.DictReader(file)}
    assert {("textbook", "32"), ("vaebench", "32"), ("scoring", "256")} < rows.keys()
    assert rows["vaebench, two processes", "256"]["ratio_to_textbook"] == "2.0"  # the sum of both
    assert rows["vaebench", "32"]["ratio_to_textbook"] == "1.0"
    assert rows["scoring", "256"]["ratio_to_textbook"] == ""
    # 512 images a second at 44.6 million operations each, beside 150 GFLOP/s.
    assert rows["scoring", "256"]["share_of_matmul"] == "0.152"
