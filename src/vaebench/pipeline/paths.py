"""Where each stage writes and the next ones read, from the repository root; `dvc.yaml` says the same."""

from pathlib import Path

DATASET = Path("data/dataset.safetensors")

REFERENCES = Path("metrics/references.json")  # scores of real images and of noise
REPORT = Path("metrics/report.csv")  # the reference report's table, typed in from the report
BENCHMARK_CSV = Path("metrics/benchmark.csv")
BENCHMARK_MD = Path("metrics/benchmark.md")
FINDINGS = Path("metrics/findings.md")
MODEL_METRICS = Path("metrics/model.json")

BENCHMARK_PLOTS = Path("plots/benchmark")
MODEL_PLOTS = Path("plots/model")

# Which stage writes what; `*` is the item of its matrix, or any file of a folder.
WRITERS = {
    "data/dataset.safetensors": "download",
    "models/classifier/*.safetensors": "train_classifier@*",
    "metrics/classifier/*.json": "train_classifier@*",
    "models/vae/d*.safetensors": "train_vae@*",
    "metrics/training/d*.csv": "train_vae@*",
    "metrics/training/d*.json": "train_vae@*",
    "metrics/reproduction/d*.csv": "reproduce_report@*",
    "metrics/reproduction/d*.json": "reproduce_report@*",
    "data/pictures/d*.npz": "evaluate@*",
    "metrics/evaluation/d*.json": "evaluate@*",
    "metrics/references.json": "evaluate_references",
    "metrics/benchmark.csv": "aggregate",
    "metrics/benchmark.md": "aggregate",
    "metrics/findings.md": "aggregate",
    "metrics/model.json": "aggregate",
    "plots/benchmark/*": "render",
    "plots/model/*": "render",
}
RESULT_FOLDERS = sorted({Path(pattern).parent for pattern in WRITERS})


def writer(path: Path) -> str | None:
    """Return the stage that writes `path`, as `dvc repro` takes it, such as `train_vae@5`."""
    for pattern, stage in WRITERS.items():
        before, _, after = pattern.partition("*")
        name = path.as_posix()
        if name == pattern or ("*" in pattern and name.startswith(before) and name.endswith(after)):
            return stage.replace("*", name.removeprefix(before).removesuffix(after))
    return None


def classifier_weights(member: int) -> Path:
    """One trained classifier of the panel."""
    return Path(f"models/classifier/{member}.safetensors")


def classifier_metrics(member: int) -> Path:
    """How well it reads the test digits."""
    return Path(f"metrics/classifier/{member}.json")


def vae_weights(latent_dim: int) -> Path:
    """The trained model."""
    return Path(f"models/vae/d{latent_dim}.safetensors")


def curve(latent_dim: int) -> Path:
    """The losses of every training epoch."""
    return Path(f"metrics/training/d{latent_dim}.csv")


def training(latent_dim: int) -> Path:
    """The key statistics of the training."""
    return Path(f"metrics/training/d{latent_dim}.json")


def reproduction_curve(latent_dim: int) -> Path:
    """The losses of every training epoch by the report's recipe."""
    return Path(f"metrics/reproduction/d{latent_dim}.csv")


def reproduction(latent_dim: int) -> Path:
    """What training by the report's recipe left."""
    return Path(f"metrics/reproduction/d{latent_dim}.json")


def evaluation(latent_dim: int) -> Path:
    """The scores of the trained model."""
    return Path(f"metrics/evaluation/d{latent_dim}.json")


def pictures(latent_dim: int) -> Path:
    """The arrays that pictures are drawn from."""
    return Path(f"data/pictures/d{latent_dim}.npz")
