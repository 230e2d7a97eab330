"""Training speed beside a textbook loop, in one run: the same network, batch, loss and optimiser.

Textbook means what a tutorial shows: a torchvision-style data set, a DataLoader with ToTensor, eager PyTorch.
The engines take turns, and the ratio is that of the medians.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Annotated

import typer

from vaebench.pipeline import paths
from vaebench.pipeline.files import write_csv
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import require, run_stage

if TYPE_CHECKING:
    import torch

FOLDER = Path("benchmarks")
LATENT_DIM = 10


def main(
    images: Annotated[int, typer.Option(min=256, help="Training images a round.")] = 12_800,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of each engine, after one warm-up.")] = 5,
) -> None:
    """Time `train_vae` and a textbook loop in turns, then the start of a stage; write both as CSV."""
    recipe = load_params().vae
    dataset_file = require(paths.DATASET, "download")

    import torch

    from vaebench.data import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.training import train_vae
    from vaebench.vae import build_vae

    digits = load_dataset(dataset_file).train.images
    digits = digits.repeat(-(-images // len(digits)), 1, 1, 1)[:images]
    workers = Workers(select_device())

    def ours() -> None:
        vae = build_vae(LATENT_DIM, seed=0).to(workers.device)
        recipe_once = recipe.model_dump() | {"epochs": 1}
        for _ in train_vae(vae, digits, digits[:1], **recipe_once, seed=0, workers=workers):
            pass

    engines: dict[str, Callable[[], None]] = {
        "textbook": lambda: _textbook(digits, recipe.batch_size, recipe.learning_rate, workers.device),
        "vaebench": ours,
    }
    rates: dict[str, list[float]] = {engine: [] for engine in engines}
    for number in range(rounds + 1):
        for engine, train in engines.items():
            started = time.perf_counter()
            train()
            rate = images / (time.perf_counter() - started)
            print(
                f"{'warm-up' if number == 0 else f'round {number}'}: {engine} {rate:,.0f} images/s",
                flush=True,
            )
            if number:
                rates[engine].append(rate)

    medians = {engine: statistics.median(values) for engine, values in rates.items()}
    rows = [
        {
            "machine": _machine(workers.device),
            "engine": engine,
            "images_per_second": round(medians[engine], 1),
            "ratio_to_textbook": round(medians[engine] / medians["textbook"], 3),
            "slowest": round(min(values), 1),
            "fastest": round(max(values), 1),
            "rounds": rounds,
            "images": images,
            "batch_size": recipe.batch_size,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        for engine, values in rates.items()
    ]
    _show(FOLDER / "throughput.csv", rows)
    _show(FOLDER / "startup.csv", _startup())


def _textbook(digits: "torch.Tensor", batch_size: int, learning_rate: float, device: "torch.device") -> None:
    """Train for one epoch as a tutorial does."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import ToTensor

    from vaebench.losses import loss_terms
    from vaebench.vae import VAE

    pixels = (digits.squeeze(1) * 255).round().to(torch.uint8)

    class Digits(Dataset[torch.Tensor]):
        """As torchvision.datasets.MNIST serves them: an array, to a picture, to a tensor."""

        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> torch.Tensor:
            tensor: torch.Tensor = ToTensor()(Image.fromarray(pixels[index].numpy()))
            return tensor

    torch.manual_seed(0)
    vae = VAE(LATENT_DIM).to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=learning_rate)
    for batch in DataLoader(Digits(), batch_size=batch_size, shuffle=True):
        images = batch.to(device)
        optimizer.zero_grad()
        noise = torch.randn(len(images), LATENT_DIM, device=device)
        loss = loss_terms(vae, images, noise).sum(1).mean()
        loss.backward()
        optimizer.step()


def _startup() -> list[dict[str, object]]:
    """Time what a stage does before and after its work: three runs each, the median."""
    imports = "import torch, vaebench.training, vaebench.vae, vaebench.pipeline.tracking"
    record = "from vaebench.pipeline.tracking import track\nwith track('startup', params={}): pass"
    commands = {
        "--help": [sys.executable, "stages/train_vae.py", "--help"],
        "imports": [sys.executable, "-c", imports],
        "imports and record": [sys.executable, "-c", f"{imports}\n{record}"],
    }
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        for name, command in commands.items():
            seconds = []
            for _ in range(4):  # the first makes the store and warms the disk's cache
                started = time.perf_counter()
                run(command, check=True, capture_output=True, env={**_environment(), **store})  # noqa: S603
                seconds.append(time.perf_counter() - started)
            rows.append({"start of a stage": name, "seconds": round(statistics.median(seconds[1:]), 2)})
    return rows


def _environment() -> dict[str, str]:
    """Return this environment without what DVC would tell a stage."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}


def _machine(device: "torch.device") -> str:
    """Return what computes, in words."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
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
