"""The whole pipeline on scikit-learn's digits, in a copy of the repository: `make demo`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from vaebench.pipeline import paths
from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.origin import repository_root
from vaebench.pipeline.params import PARAMS_FILE, load_params
from vaebench.pipeline.repro import JobsOption, reproduce
from vaebench.pipeline.stage import StageError, run_stage, say

FOLDER = Path("demo")
PIPELINE_FILE = Path("dvc.yaml")
NAME = "demo"  # of the experiment, in MLflow

SWEEP = (2, 5, 30)  # what three models show, six show no better
# The committed numbers are made for 60,000 digits, not 1,500.
CHANGES: Mapping[str, object] = {
    "data.dataset": "digits",
    "classifier.epochs": 2,
    "classifier.batch_size": 32,
    "vae.fast.epochs": 3,
    "vae.fast.batch_size": 32,
    "vae.report.epochs": 3,
    "vae.report.batch_size": 32,
    "variants.models": {},
    "evaluate.samples": 1000,
    "evaluate.paths": 50,
    "evaluate.likelihood_draws": 20,
}


def main(jobs: JobsOption) -> None:
    """Run the pipeline in demo/, and say what came out."""
    root = repository_root()
    folder = root / FOLDER
    copy_project(root, folder)
    set_params(folder / PARAMS_FILE, CHANGES)
    set_sweep(folder / PIPELINE_FILE, SWEEP)
    # As in an experiment that DVC runs in a copy: its runs belong to this repository, under its name.
    record = {
        "DVC_ROOT": str(root),
        "DVC_EXP_NAME": NAME,
        "DVC_EXP_BASELINE_REV": _git(root, "rev-parse", "HEAD").strip(),
    }
    reproduce(folder, jobs, record)
    environment = {**os.environ, **record, "PYTHONPATH": "src"}
    page = subprocess.run([sys.executable, "-m", "vaebench.page"], cwd=folder, env=environment, check=False)
    if page.returncode:
        raise StageError(f"{FOLDER}/report.html could not be written, as said above")

    from vaebench.findings.results import read_benchmark
    from vaebench.findings.table import to_text

    data = DATASETS[load_params(folder / PARAMS_FILE).data.dataset]
    say(f"\n{to_text(read_benchmark(folder / paths.BENCHMARK_CSV), data)}")
    say(f"Open {FOLDER}/report.html in a browser. The pictures: {FOLDER}/plots. The runs: make ui")


def copy_project(root: Path, folder: Path) -> None:
    """Make `folder` a clone of the repository `root`, with what is not committed yet."""
    shutil.rmtree(folder, ignore_errors=True)
    _git(root, "clone", "--quiet", str(root), str(folder))
    changed = _git(root, "diff-index", "-z", "--name-only", "HEAD")
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    for name in filter(None, (changed + new).split("\0")):
        target = folder / name
        target.unlink(missing_ok=True)
        if (root / name).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target, follow_symlinks=False)


def set_params(path: Path, changes: Mapping[str, object]) -> None:
    """Change values in a parameter file, each by its key as `dvc exp run -S` takes it."""
    yaml = YAML()
    content: Any = yaml.load(path)
    for key, value in changes.items():
        *sections, last = key.split(".")
        found = content
        for section in sections:
            found = found[section]
        found[last] = value
    yaml.dump(content, path)


def set_sweep(path: Path, dimensions: Sequence[int]) -> None:
    """Change which models a pipeline file trains beside the one under study."""
    yaml = YAML()
    yaml.width = 4096  # lines stay as they are
    content: Any = yaml.load(path)
    swept = content["stages"]["train_vae"]["matrix"]["latent_dim"]
    swept[:-1] = dimensions  # the last is the model under study
    yaml.dump(content, path)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)  # noqa: S603
    if done.returncode:
        raise StageError(f"`{' '.join(command)}` failed, as said above")
    return done.stdout


if __name__ == "__main__":
    run_stage(main)
