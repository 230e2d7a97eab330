"""Copies of the project that tests run in: real dvc and stage processes, on tiny data."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import PANELS, load_params

ROOT = Path(__file__).resolve().parents[1]
DIMENSIONS = (2, 3, 4, 5, 10, 30)  # of the recorded benchmark
KEYS = [ModelKey(latent_dim, 0) for latent_dim in DIMENSIONS]
BESIDE = load_params(ROOT / "params.yaml").variant_keys()  # the sweep
SWEPT = (2, 5, 30)  # by the copies: what three models show, six do not show better
TRAININGS = {f"train_vae@{each}-0" for each in SWEPT}
REPRODUCTIONS = {f"reproduce_report@{each}-0" for each in SWEPT}
EVALUATIONS = {f"evaluate@{each}-0" for each in SWEPT}
CLASSIFIERS = {f"train_classifier@{panel}-{seed}" for panel in PANELS for seed in range(2)}
VARIANTS = {"train_variant@mlp"}  # one, the quickest
LAST = {"aggregate@all", "render@all"}
STAGES = {"download", "evaluate_references"} | LAST
STAGES |= CLASSIFIERS | VARIANTS | TRAININGS | REPRODUCTIONS | EVALUATIONS
TRAINED = ("curve.csv", "training.json")  # beside the weights
TINY: dict[str, dict[str, object]] = {
    "data": {"dataset": "digits"},
    "classifier": {"seeds": [0, 1], "epochs": 2, "batch_size": 32},  # enough for a fit panel
    "vae.fast": {"epochs": 1},
    "variants": {"models": {"mlp": {"network": "mlp", "objective": "elbo"}}},
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
MNIST_MIRROR, MIRROR = (os.environ.get(f"VAEBENCH_{name}", "") for name in ("MNIST_MIRROR", "MIRROR"))

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


def recorded(path: str) -> Path:
    """Return where the remote has a recorded result, such as models/vae/d5-s0/curve.csv."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())
    known = {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}
    if path in known:
        return _stored(known[path])
    folder, _, name = path.rpartition("/")
    listed = json.loads(_stored(known[folder]).read_text())
    return _stored(next(each["md5"] for each in listed if each["relpath"] == name))


def _stored(md5: str) -> Path:
    return ROOT / ".dvc-remote/files/md5" / md5[:2] / md5[2:]


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


def set_sweep(root: Path, dimensions: Sequence[int]) -> None:
    """Change the one place that says which models there are."""
    path = root / "dvc.yaml"
    swept = f"&latent_dims {json.dumps([*dimensions, '${latent_dim}'])}"
    text, count = re.subn(r"&latent_dims \[[^]]*\]", swept, path.read_text())
    assert count == 1
    path.write_text(text)


def executed(stages: Iterable[str]) -> set[str]:
    """Return stages of DVC by the names that they have in MLflow."""
    return {stage.removesuffix("@all") for stage in stages}


def make_template(root: Path) -> Path:
    """Copy this working tree as a repository of its own, without results and set to tiny data."""
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file() and (name == COMMITTED or not name.startswith(RESULTS)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    set_parameters(root, TINY)
    set_sweep(root, SWEPT)
    git(root, "init", "--quiet")
    commit(root)
    return root
