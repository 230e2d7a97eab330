"""Where each stage writes and the next ones read, from the repository root; `dvc.yaml` says the same."""

import re
from pathlib import Path

from vaebench.pipeline.key import ModelKey

DATASET = Path("data/dataset.safetensors")

REFERENCES = Path("data/evaluation/references.json")  # scores of real images and of noise
REPORT = Path("metrics/report.csv")  # the reference report's table, typed in from the report
BENCHMARK_CSV = Path("metrics/benchmark.csv")
TRAININGS_CSV = Path("metrics/trainings.csv")  # of every training its numbers
BENCHMARK_MD = Path("metrics/benchmark.md")
FINDINGS = Path("metrics/findings.md")
MODEL_METRICS = Path("metrics/model.json")

BENCHMARK_PLOTS = Path("plots/benchmark")
MODEL_PLOTS = Path("plots/model")

# Which stage writes what: an output, and the stage, whose name in its matrix is taken from the output's. An
# asterisk is a number.
WRITERS = {
    "data/dataset.safetensors": "download",
    "models/classifier/plain-s*": "train_classifier@plain-*",
    "models/classifier/exposed-s*": "train_classifier@exposed-*",
    "models/vae/d*-s*": "train_vae@*-*",
    "models/vae/<name>": "train_variant@<name>",
    "models/reproduction/d*-s*": "reproduce_report@*-*",
    "data/evaluation/d*-s*": "evaluate@*-*",
    "data/evaluation/references.json": "evaluate_references",
    "metrics/benchmark.csv": "aggregate",
    "metrics/benchmark.md": "aggregate",
    "metrics/trainings.csv": "aggregate",
    "metrics/findings.md": "aggregate",
    "metrics/model.json": "aggregate",
    "plots/benchmark": "render",
    "plots/model": "render",
}
# The folders that hold them, or are them.
RESULT_FOLDERS = sorted(
    {Path(output) if stage == "render" else Path(output).parent for output, stage in WRITERS.items()}
)


def output(path: Path) -> Path | None:
    """Return the output of a stage that `path` is, or is in; it is what DVC fetches."""
    return next((part for part in (path, *path.parents) if _writer(part)), None)


def writer(path: Path) -> str | None:
    """Return the stage that writes `path`, as `dvc repro` takes it, such as `train_vae@5-0`."""
    whole = output(path)
    return _writer(whole) if whole else None


def _writer(output: Path) -> str | None:
    for known, stage in WRITERS.items():
        form = re.escape(known).replace(r"\*", r"(\d+)").replace("<name>", "([a-z][a-z0-9_]*)")
        if found := re.fullmatch(form, output.as_posix()):
            return stage.replace("*", "{}").replace("<name>", "{}").format(*found.groups())
    return None


def classifier_weights(panel: str, seed: int) -> Path:
    """One trained classifier of a panel."""
    return Path(f"models/classifier/{panel}-s{seed}/weights.safetensors")


def classifier_metrics(panel: str, seed: int) -> Path:
    """How well it reads the test digits."""
    return Path(f"models/classifier/{panel}-s{seed}/metrics.json")


def vae_weights(key: ModelKey) -> Path:
    """The trained model."""
    return Path(f"models/vae/{key}/weights.safetensors")


def curve(key: ModelKey) -> Path:
    """The losses of every training epoch."""
    return Path(f"models/vae/{key}/curve.csv")


def training(key: ModelKey) -> Path:
    """The key statistics of the training."""
    return Path(f"models/vae/{key}/training.json")


def reproduction_curve(key: ModelKey) -> Path:
    """The losses of every training epoch by the report's recipe."""
    return Path(f"models/reproduction/{key}/curve.csv")


def reproduction(key: ModelKey) -> Path:
    """What training by the report's recipe left."""
    return Path(f"models/reproduction/{key}/training.json")


def evaluation(key: ModelKey) -> Path:
    """The scores of the trained model."""
    return Path(f"data/evaluation/{key}/scores.json")


def pictures(key: ModelKey) -> Path:
    """The arrays that pictures are drawn from."""
    return Path(f"data/evaluation/{key}/pictures.npz")
