"""Copies of the project that tests run in: real dvc and stage processes, on tiny data."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DIMENSIONS = (2, 3, 4, 5, 10, 30)
TRAININGS = {f"train_vae@{latent_dim}" for latent_dim in DIMENSIONS}
REPRODUCTIONS = {f"reproduce_report@{latent_dim}" for latent_dim in DIMENSIONS}
EVALUATIONS = {f"evaluate@{latent_dim}" for latent_dim in DIMENSIONS}
CLASSIFIERS = {f"train_classifier@{member}" for member in range(3)}
STAGES = {"download", "evaluate_references", "render", "aggregate"}
STAGES |= CLASSIFIERS | TRAININGS | REPRODUCTIONS | EVALUATIONS
TINY: dict[str, dict[str, object]] = {
    "data": {"dataset": "digits"},
    "classifier": {"epochs": 2, "batch_size": 32},  # enough for a fit panel
    "vae.fast": {"epochs": 1},
    "vae.report": {"epochs": 1},
    "evaluate": {"samples": 64, "bootstrap": 10, "paths": 5, "likelihood_images": 20, "likelihood_draws": 5},
}
# What a run leaves in the working tree. The report's table is there before.
RESULTS = ("dvc.lock", ".dvc-remote/", "metrics/", "plots/")
COMMITTED = "metrics/report.csv"

# What is set outside for other work. Git sets GIT_DIR for its hooks: a test would commit to the real branch.
FOREIGN = ("DVC_", "GIT_", "MLFLOW_", "VAEBENCH_")
NO_SETTINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,  # nobody's own name, hooks or line ends
    "VAEBENCH_CACHE": os.devnull,  # nor what is kept of downloads
}
MNIST_MIRROR = os.environ.get("VAEBENCH_MNIST_MIRROR", "")

# A shell that nothing was set in, with the `python` and the `dvc` of this virtual environment.
# By what the make that started the tests has set, another make would say which folder it enters.
UNSET = (*FOREIGN, "MAKE", "MFLAGS", "OMP_", "PYTHON")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(UNSET)} | {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    **NO_SETTINGS,
}


def run(root: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a copy of the project; what it says to both streams is in `stdout`."""
    local = {"DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site")}  # by default /var/tmp/dvc, and it stays there
    done = subprocess.run(
        command,
        cwd=root,
        env=ENVIRONMENT | local | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    print(f"{root.name}$ {shlex.join(command)}  # exit code {done.returncode}\n{done.stdout}")
    return done


def succeed(root: Path, *command: str) -> str:
    done = run(root, *command)
    assert done.returncode == 0, done.stdout
    return done.stdout


def git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(
        command, cwd=root, env=ENVIRONMENT, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout.rstrip("\n")


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--message", "m")


def clone(source: Path, target: Path) -> Path:
    git(source, "clone", "--quiet", str(source), str(target))
    return target


def ran(output: str) -> list[str]:
    """The stages that dvc says it runs."""
    return re.findall(r"^Running stage '(.+)':$", output, re.MULTILINE)


def set_parameters(root: Path, changes: dict[str, dict[str, object]]) -> None:
    path = root / "params.yaml"
    params: dict[str, Any] = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        found = params
        for key in section.split("."):
            found = found[key]
        found |= values
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def make_template(root: Path) -> Path:
    """Copy this working tree as a repository of its own, without results and set to tiny data."""
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file() and (name == COMMITTED or not name.startswith(RESULTS)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    set_parameters(root, TINY)
    git(root, "init", "--quiet")
    commit(root)
    return root
