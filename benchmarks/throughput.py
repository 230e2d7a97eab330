"""Training speed: `train_vae` beside a textbook loop and Pythae's trainer, and how its cost grows.

Each measurement is a process of its own (benchmarks/engine.py); the engines take turns within one run, so
that a machine's moods meet all of them, and ratios are those of medians.
"""

import csv
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from subprocess import run
from typing import Annotated, Any

import typer

from vaebench.markdown import markdown_table
from vaebench.pipeline import paths
from vaebench.pipeline.files import write_csv, write_text
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import StageError, require, run_stage, say

FOLDER = Path("benchmarks")
ENGINES = ("textbook", "pythae", "vaebench-float32", "vaebench", "vaebench-fast")
MFLOP_AN_IMAGE = 89.4  # of a training image: 14.9 million multiply-adds forward, twice that backward

BATCH_SIZE = 256  # the report's

DIMENSIONS = (2, 8, 32, 128, 512)
BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
TRAINING_SETS = (3_750, 7_500, 15_000, 30_000, 60_000)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each engine.")] = 3,
    images: Annotated[int, typer.Option(min=256, help="Training images a turn.")] = 12_800,
    pythae: Annotated[str, typer.Option(help="The Python that has Pythae.")] = "",
) -> None:
    """Write benchmarks/throughput.csv, growth.csv and startup.csv, and print them."""
    fast = load_params().vae.fast
    require(paths.DATASET)
    training_images = TRAINING_SETS[-1]
    FOLDER.mkdir(exist_ok=True)
    pythons = dict.fromkeys(ENGINES, sys.executable) | {"pythae": pythae}
    engines = [engine for engine in ENGINES if pythons[engine]]

    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
    matmul: list[float] = []
    for number in range(1, rounds + 1):
        matmul.append(_matmul_rate())
        for engine in engines:
            batch = fast.batch_size if engine == "vaebench-fast" else BATCH_SIZE
            options = ("--images", str(images), "--batch-size", str(batch))
            found[engine].append(_measure(engine, pythons[engine], *options))
            say(f"round {number}/{rounds}: {engine} {_rate(found[engine][-1]):,.0f} images/s")
    rows = _throughput(found, statistics.median(matmul), training_images)
    _show(FOLDER / "throughput.csv", rows)
    write_text(FOLDER / "throughput.md", _to_markdown(rows))
    _show(FOLDER / "growth.csv", _growth())
    _show(FOLDER / "startup.csv", _startup())


def _measure(engine: str, python: str, *options: str) -> dict[str, Any]:
    """Run one engine in a process of its own."""
    command = [python, str(FOLDER / "engine.py"), engine, *options]
    environment = {**_environment(), "PYTHONPATH": "src"}
    done = run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode:
        raise StageError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _rate(found: dict[str, Any]) -> float:
    return float(found["images"] / found["seconds"])


def _throughput(
    found: dict[str, list[dict[str, Any]]], matmul: float, training_images: int
) -> list[dict[str, object]]:
    medians = {engine: statistics.median(map(_rate, turns)) for engine, turns in found.items()}
    rows: list[dict[str, object]] = []
    for engine, turns in found.items():
        rates = [_rate(turn) for turn in turns]
        gflop_per_second = medians[engine] * MFLOP_AN_IMAGE / 1000
        epochs, reached = _epochs_to_report("fast" if engine == "vaebench-fast" else "report")
        rows.append(
            {
                "machine": _machine(),
                "engine": engine,
                "images_per_second": round(medians[engine], 1),
                "ratio_to_textbook": round(medians[engine] / medians["textbook"], 3),
                "slowest": round(min(rates), 1),
                "fastest": round(max(rates), 1),
                "rounds": len(turns),
                "gflop_per_second": round(gflop_per_second, 1),
                "float32_matmul_gflop_per_second": round(matmul, 1),
                "share_of_matmul": round(gflop_per_second / matmul, 3),
                "peak_memory_mib": max(turn["peak_memory_mib"] for turn in turns),
                "epochs_to_reports_table": epochs,
                "seconds_to_reports_table": round(epochs * training_images / medians[engine]),
                "dimensions_reached": reached,
                **{
                    name: turns[0][name]
                    for name in ("images", "batch_size", "latent_dim", "threads", "torch")
                },
                "python": platform.python_version(),
            }
        )
    return rows


def _to_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table for reading."""
    header = (
        "engine",
        "images/s",
        "× textbook",
        "of the matrix-product rate",
        "memory",
        "to the report's table",
    )
    lines = []
    for row in rows:
        least = "" if row["dimensions_reached"] == 6 else "more than "
        cells = (
            row["engine"],
            f"{row['images_per_second']:,.0f} ({row['slowest']:,.0f}–{row['fastest']:,.0f})",
            f"{row['ratio_to_textbook']:.2f}",
            f"{row['share_of_matmul']:.0%}",
            f"{row['peak_memory_mib']:,} MiB",
            f"{least}{row['seconds_to_reports_table'] / 60:.0f} min",
        )
        lines.append(cells)
    return markdown_table(header, lines)


def _epochs_to_report(recipe: str) -> tuple[float, int]:
    """Return the epochs that all dimensions together take to the report's losses, and how many get there.

    The mean over seeds; a model that does not get there counts with the epochs that it was given.
    """
    path = FOLDER / "time_to_report.csv"
    if not path.is_file():
        raise StageError(f"{path}: not found; `make recipes` writes it")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["recipe"] == recipe]
    seeds = len({row["seed"] for row in rows})
    epochs = sum(int(row["epochs_to_report"] or row["trained_epochs"]) for row in rows) / seeds
    reached = {row["latent_dim"] for row in rows} - {
        row["latent_dim"] for row in rows if not row["epochs_to_report"]
    }
    return round(epochs, 2), len(reached)


def _growth() -> list[dict[str, object]]:
    """Measure `train_vae` along one axis at a time, from the defaults: 10 dimensions, batches of 256."""
    rows: list[dict[str, object]] = []
    for axis, values, option in (
        ("latent_dim", DIMENSIONS, "--latent-dim"),
        ("batch_size", BATCH_SIZES, "--batch-size"),
        ("training_images", TRAINING_SETS, "--images"),
    ):
        for value in values:
            found = _measure("vaebench", sys.executable, option, str(value))
            rows.append(
                {
                    "axis": axis,
                    "value": value,
                    "images_per_second": round(_rate(found), 1),
                    "seconds": round(found["seconds"], 3),
                    "peak_memory_mib": found["peak_memory_mib"],
                }
            )
            say(f"{axis} {value}: {_rate(found):,.0f} images/s")
    return rows


def _matmul_rate() -> float:
    """Return the machine's float32 matrix-product rate in GFLOP/s: 2048², the best of 10."""
    program = (
        "import time, torch\n"
        "a, b, seconds = torch.randn(2048, 2048), torch.randn(2048, 2048), []\n"
        "for _ in range(10):\n"
        "    started = time.perf_counter(); a @ b; seconds.append(time.perf_counter() - started)\n"
        "print(2 * 2048**3 / min(seconds) / 1e9)\n"
    )
    done = run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout)


def _startup() -> list[dict[str, object]]:
    """Time what a stage does before and after its work: three runs each, the median."""
    imports = "import torch, vaebench.training, vaebench.vae, vaebench.pipeline.tracking"
    record = "from vaebench.pipeline.tracking import track\nwith track('startup', params={}): pass"
    commands = {
        "a stage's --help": [sys.executable, "stages/train_vae.py", "--help"],
        "imports": [sys.executable, "-c", imports],
        "imports and record": [sys.executable, "-c", f"{imports}\n{record}"],
        "dvc repro --dry with nothing to do": ["dvc", "repro", "--dry"],
    }
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": "src"}
        for name, command in commands.items():
            seconds = []
            for _ in range(4):  # the first makes the store and warms the disk's cache
                started = time.perf_counter()
                run(command, check=False, capture_output=True, env={**_environment(), **store})  # noqa: S603
                seconds.append(time.perf_counter() - started)
            rows.append({"what": name, "seconds": round(statistics.median(seconds[1:]), 2)})
    return rows


def _environment() -> dict[str, str]:
    """Return this environment without what DVC would tell a stage."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}


def _machine() -> str:
    """Return what computes, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _show(path: Path, rows: list[dict[str, object]]) -> None:
    """Print the rows and write them."""
    write_csv(path, rows)
    print(f"\n{path}")
    for row in rows:
        print("  " + ", ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    run_stage(main)
