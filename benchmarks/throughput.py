"""Speed: `train_vae` beside a textbook loop and Pythae's trainer, and how its cost grows; scoring.

Each measurement is a process of its own (benchmarks/engine.py); the engines take turns within one run, so
that a machine's moods meet all of them, and ratios are those of medians.
"""

import csv
import json
import os
import platform
import site
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError, run
from typing import Annotated, Any

import typer

from vaebench.findings.markdown import markdown_table
from vaebench.pipeline import paths
from vaebench.pipeline.files import write_csv, write_text
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import StageError, require, run_stage, say

FOLDER = Path("benchmarks")
SMALL_BATCH = 32
BATCH_SIZE = 256  # the report's
PROCESSES = "vaebench, two processes"  # each with half of the cores

# Million floating-point operations an image: of training, 14.9 million multiply-adds forward and twice that
# backward; of scoring, 7.5 million to decode and 14.8 million to read.
TRAINING_MFLOP = 89.4
SCORING_MFLOP = 44.6

DIMENSIONS = (2, 8, 32, 128, 512)
BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
TRAINING_SETS = (3_750, 7_500, 15_000, 30_000, 60_000)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each engine.")] = 3,
    images: Annotated[int, typer.Option(min=256, help="Images a turn.")] = 12_800,
) -> None:
    """Write this machine's rows of benchmarks/throughput.csv, growth.csv and startup.csv, and print them."""
    fast = load_params().vae.fast
    require(paths.DATASET)
    epochs = {recipe: _epochs_to_report(recipe) for recipe in ("report", "fast")}
    turns = {
        ("textbook", BATCH_SIZE): ["textbook"],
        ("pythae", BATCH_SIZE): ["pythae"],
        ("vaebench-float32", BATCH_SIZE): ["vaebench-float32"],
        ("vaebench", BATCH_SIZE): ["vaebench"],
        (PROCESSES, BATCH_SIZE): ["vaebench", "vaebench"],
        ("vaebench-fast", fast.batch_size): ["vaebench-fast"],
        ("textbook", SMALL_BATCH): ["textbook"],
        ("vaebench", SMALL_BATCH): ["vaebench"],
        ("scoring", BATCH_SIZE): ["scoring"],
    }
    found: dict[tuple[str, int], list[dict[str, Any]]] = {turn: [] for turn in turns}
    matmul: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        pythons = {"pythae": _install_pythae(Path(folder))}
        for number in range(1, rounds + 1):
            matmul.append(_matmul_rate())
            for (name, batch_size), engines in turns.items():
                options = ("--images", str(images), "--batch-size", str(batch_size))
                each = _measure(engines, pythons.get(name, sys.executable), *options)
                found[name, batch_size].append(each)
                say(f"round {number}/{rounds}: {name}, batches of {batch_size}: {_rate(each):,.0f} images/s")
    _write(FOLDER / "throughput.csv", _throughput(found, statistics.median(matmul), epochs))
    write_text(FOLDER / "throughput.md", _to_markdown(_read(FOLDER / "throughput.csv")))
    _write(FOLDER / "growth.csv", _growth())
    _write(FOLDER / "startup.csv", _startup())


def _install_pythae(folder: Path) -> str:
    """Return a Python of its own that has Pythae, and sees this one's packages."""
    packages = folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    install = ["uv", "pip", "install", "--quiet", "--python", str(folder), "--no-deps"]
    try:
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)  # noqa: S603
        (packages / "vaebench.pth").write_text(f"{site.getsitepackages()[0]}\n")
        run([*install, "pythae==0.1.2", "imageio"], check=True)  # noqa: S603
    except (CalledProcessError, OSError) as error:
        raise StageError(f"Pythae cannot be installed ({error}); `make setup` installs uv") from error
    return str(folder / "bin/python")


def _measure(engines: list[str], python: str, *options: str) -> dict[str, Any]:
    """Run engines side by side, each in a process of its own with its share of the cores."""
    commands = [[python, str(FOLDER / "engine.py"), engine, *options] for engine in engines]
    environment = {**_environment(), "PYTHONPATH": "src"}
    if len(commands) > 1:
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // len(commands)))
    with ThreadPoolExecutor(len(commands)) as pool:
        runs = list(
            pool.map(partial(run, capture_output=True, text=True, check=False, env=environment), commands)
        )
    found: list[dict[str, Any]] = []
    for command, done in zip(commands, runs, strict=True):
        if done.returncode:
            raise StageError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    together = {name: sum(each[name] for each in found) for name in ("images", "peak_memory_mib", "threads")}
    return {**found[0], **together, "seconds": max(each["seconds"] for each in found)}


def _rate(found: dict[str, Any]) -> float:
    return float(found["images"] / found["seconds"])


def _throughput(
    found: dict[tuple[str, int], list[dict[str, Any]]], matmul: float, epochs: dict[str, tuple[float, int]]
) -> list[dict[str, object]]:
    medians = {turn: statistics.median(map(_rate, each)) for turn, each in found.items()}
    rows: list[dict[str, object]] = []
    for (engine, batch_size), turns in found.items():
        rate, rates = medians[engine, batch_size], [_rate(turn) for turn in turns]
        scoring = engine == "scoring"
        textbook = medians["textbook", SMALL_BATCH if batch_size == SMALL_BATCH else BATCH_SIZE]
        gflop_per_second = rate * (SCORING_MFLOP if scoring else TRAINING_MFLOP) / 1000
        # The recipes' epochs were counted with their own batches.
        recipe = "fast" if engine == "vaebench-fast" else "report"
        counted = not scoring and batch_size != SMALL_BATCH and engine != PROCESSES
        needed, reached = epochs[recipe]
        rows.append(
            {
                "machine": _machine(),
                "engine": engine,
                "images_per_second": round(rate, 1),
                "ratio_to_textbook": "" if scoring else round(rate / textbook, 3),
                "slowest": round(min(rates), 1),
                "fastest": round(max(rates), 1),
                "rounds": len(turns),
                "gflop_per_second": round(gflop_per_second, 1),
                "float32_matmul_gflop_per_second": round(matmul, 1),
                "share_of_matmul": round(gflop_per_second / matmul, 3),
                "peak_memory_mib": max(turn["peak_memory_mib"] for turn in turns),
                "epochs_to_reports_table": needed if counted else "",
                "seconds_to_reports_table": round(needed * TRAINING_SETS[-1] / rate) if counted else "",
                "dimensions_reached": reached if counted else "",
                **{
                    name: turns[0][name]
                    for name in ("images", "batch_size", "latent_dim", "threads", "torch")
                },
                "python": platform.python_version(),
            }
        )
    return rows


def _to_markdown(rows: list[dict[str, str]]) -> str:
    """Return the table for reading."""
    header = (
        "machine",
        "engine",
        "batch",
        "images/s",
        "× textbook",
        "of the matrix-product rate",
        "memory",
        "to the report's table",
    )
    lines = []
    for row in rows:
        rate, slowest, fastest = (
            f"{float(row[name]):,.0f}" for name in ("images_per_second", "slowest", "fastest")
        )
        time_needed = ""
        if row["seconds_to_reports_table"]:
            least = "" if row["dimensions_reached"] == "6" else "more than "
            time_needed = f"{least}{float(row['seconds_to_reports_table']) / 60:.0f} min"
        cells = (
            row["machine"],
            row["engine"],
            row["batch_size"],
            f"{rate} ({slowest}–{fastest})",
            f"{float(row['ratio_to_textbook']):.2f}" if row["ratio_to_textbook"] else "",
            f"{float(row['share_of_matmul']):.0%}",
            f"{int(row['peak_memory_mib']):,} MiB",
            time_needed,
        )
        lines.append(cells)
    return markdown_table(header, lines, left=2)


def _epochs_to_report(recipe: str) -> tuple[float, int]:
    """Return the epochs that all dimensions together take to the report's losses, and how many get there.

    The mean over seeds; a model that does not get there counts with the epochs that it was given.
    """
    path = FOLDER / "time_to_report.csv"
    rows = [row for row in _read(path) if row["recipe"] == recipe]
    if not rows:
        raise StageError(f"{path}: has no row of the recipe {recipe}; `make recipes` writes it")
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
            found = _measure(["vaebench"], sys.executable, option, str(value))
            rows.append(
                {
                    "machine": _machine(),
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
    imports = "import torch, vaebench.training.train_vae, vaebench.models.vae, vaebench.tracking.track"
    record = "from vaebench.tracking.track import track\nwith track('startup', params={}): pass"
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
            median = round(statistics.median(seconds[1:]), 2)
            rows.append({"machine": _machine(), "what": name, "seconds": median})
    return rows


def _environment() -> dict[str, str]:
    """Return this environment without what DVC would tell a stage."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}


def _machine() -> str:
    """Return what computes, in words: rows are kept by it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    parts = (model or platform.processor() or platform.machine(), f"{os.cpu_count()} cores", limit)
    return ", ".join(filter(None, parts))


def _read(path: Path) -> list[dict[str, str]]:
    """Return the rows of the file, if there is one."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write the rows after those of other machines, and print them."""
    others = [row for row in _read(path) if row["machine"] != rows[0]["machine"]]
    write_csv(path, [*others, *rows])
    print(f"\n{path}")
    for row in rows:
        print("  " + ", ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    run_stage(main)
