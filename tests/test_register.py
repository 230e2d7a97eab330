"""The best model is registered as the champion, and comes back with MLflow alone."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import torch

from vaebench.findings.fitness import judged
from vaebench.findings.table import COLUMNS, NUMBERS
from vaebench.models.vae import build_vae, save_vae
from vaebench.pipeline import paths
from vaebench.pipeline.files import UnusableFileError
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.origin import git
from vaebench.pipeline.stage import StageError
from vaebench.tracking import register
from vaebench.tracking.store import usable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ROOT = Path(__file__).parents[1]

# Without `site`, a package is found where it is installed, and not where an editable install points to.
ALONE = f"""
import importlib.util, sys
sys.path.append({sysconfig.get_path("purelib")!r})
assert importlib.util.find_spec("vaebench") is None
sys.modules.update(dict.fromkeys(("dvc", "ruamel.yaml", "typer")))  # what else this package needs is missing
"""
WITH_MLFLOW = """
import mlflow, numpy
model = mlflow.pyfunc.load_model("models:/vaebench@champion")
latent_dim = model.metadata.signature.inputs.inputs[0].shape[1]
images = model.predict(numpy.random.default_rng(0).standard_normal((64, latent_dim), dtype="float32"))
"""
WITH_VAEBENCH = """
import torch
from vaebench.models.vae import load_vae
images = load_vae("models/vae/d10-s0/weights.safetensors").decode(torch.randn(64, 10))
"""


WEIGHTS = "models/vae/d10-s0/weights.safetensors"


def row(latent_dim: int, fid: float, inception_score: float, model: str = "VAE") -> dict[str, object]:
    interval = {"fid_low": fid - 0.1, "fid_high": fid + 0.1}
    scores = {"fid": fid, "inception_score": inception_score}
    return {"model": model, "latent_dim": latent_dim, **scores, **interval}


def write_weights(root: Path, latent_dim: int, seed: int) -> None:
    path = root / paths.vae_weights(ModelKey(latent_dim, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_vae(path, build_vae(latent_dim, seed))


@pytest.fixture
def trained(repo: Path) -> Path:
    """Models of 10 dimensions, with the best FID, 30, hardly worse, and 2, with the best inception score."""
    rows = [row(2, 9.0, 8.0), row(10, 3.0, 7.0), row(30, 3.15, 6.0), row(10, 1.0, 9.0, model="PCA")]
    others: list[dict[str, object]] = [{"model": "test images", "fid": 0.1}, {"model": "pixel noise"}]
    (repo / "metrics").mkdir()
    table = pd.DataFrame([*rows, *others], columns=list(COLUMNS))
    table.to_csv(repo / "metrics/benchmark.csv", index=False)
    trainings = pd.DataFrame({"latent_dim": [2, 10, 10, 30], "seed": [0, 0, 1, 0]})
    trainings.reindex(columns=["latent_dim", "seed", *NUMBERS], fill_value=1.0).to_csv(
        repo / "metrics/trainings.csv", index=False
    )
    for latent_dim in (2, 10, 30):
        write_weights(repo, latent_dim, seed=latent_dim)
    return repo


def move(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rename the repository."""
    moved = root.rename(root.with_name(name))
    monkeypatch.chdir(moved)
    return moved


def run_register(*options: str) -> str:
    """Register as a process of its own, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "vaebench.tracking.register", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def predicted(root: Path, options: str = "") -> "NDArray[np.float32]":
    """What the lines with MLflow alone make, in a process that cannot import this package."""
    import numpy as np

    load = WITH_MLFLOW.replace('champion"', f'champion"{options}')
    code = f"{ALONE}{load}numpy.save({str(root / 'images.npy')!r}, images)"
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", code]
    subprocess.run(command, check=True)
    images: NDArray[np.float32] = np.load(root / "images.npy")
    return images


@pytest.mark.slow
def test_champion_comes_back_with_mlflow_alone(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    trained = move(trained, "feature%2Fx ?#'q", monkeypatch)
    about = (
        "The VAE with 10 latent dimensions, the best of 2, 10, 30 by FID: 3.00 (2.90–3.10). "
        "Not beaten by it: 30.\n"
    )
    assert run_register() == f"{about}It is registered, as version 1: models:/vaebench@champion\n"
    (trained.parent / "loaded").mkdir()  # MLflow itself unquotes the path of a model that it need not copy
    images = torch.from_numpy(predicted(trained, f", dst_path={str(trained.parent / 'loaded')!r}"))
    assert (images.shape, images.dtype) == (torch.Size([64, 1, 28, 28]), torch.float32)

    latents = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 10), dtype="float32"))
    with monkeypatch.context() as patches:
        patches.setattr(torch, "randn", lambda *shape: latents if shape == latents.shape else None)
        found: dict[str, torch.Tensor] = {}
        exec(WITH_VAEBENCH, found)
    assert torch.equal(images, found["images"])

    moved = move(trained, "moved", monkeypatch)
    assert run_register() == (
        f"{moved}/mlflow.db: this repository was at {trained}; "
        "the artifacts of its runs are looked for here now\n"
        f"{about}It is registered already, as version 1: models:/vaebench@champion\n"
    )
    assert torch.equal(torch.from_numpy(predicted(moved)), images)
    assert not trained.exists()


@pytest.mark.slow
def test_champion_changes_with_the_criterion_and_with_the_weights(trained: Path) -> None:
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    client = MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")

    def champion() -> tuple[int, dict[str, str]]:
        found = client.get_model_version_by_alias("vaebench", "champion")
        return int(found.version), found.tags

    weights = trained / "models/vae/d10-s0/weights.safetensors"
    run_register()
    first = {
        "criterion": "fid",
        "value": "3.00 (2.90–3.10)",
        "not_beaten": "30",
        "latent_dim": "10",
        "seed": "0",
        "weights_md5": hashlib.md5(weights.read_bytes()).hexdigest(),
        "git_commit": git("rev-parse", "HEAD").strip(),
    }
    assert champion() == (1, first)
    run_register("--by", "inception_score")
    number, tags = champion()
    assert (number, tags["latent_dim"], tags["value"], tags["not_beaten"]) == (2, "2", "8.00", "none")
    assert run_register().endswith("It is registered already, as version 1: models:/vaebench@champion\n")
    assert champion() == (1, first)
    write_weights(trained, 10, seed=6)
    run_register()
    number, tags = champion()
    assert (number, tags["latent_dim"]) == (3, "10")
    assert tags["weights_md5"] != first["weights_md5"]
    assert len(client.search_model_versions("name = 'vaebench'")) == 3

    [experiment] = [each for each in client.search_experiments() if each.name == "vaebench"]
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.run_name for run in runs] == ["register"] * 3
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.source.git.commit"] == first["git_commit"]


@pytest.mark.slow
def test_variables_that_are_set_for_other_work_are_left_to_it(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    client = MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")
    other = client.create_experiment("other")
    run = client.create_run(other, run_name="mine")
    before = client.get_run(run.info.run_id).to_dictionary()
    variables = {
        "MLFLOW_RUN_ID": run.info.run_id,
        "MLFLOW_EXPERIMENT_ID": other,
        "MLFLOW_EXPERIMENT_NAME": "other",
        "MLFLOW_RUN_CONTEXT": '{"theirs": "yes"}',
        "MLFLOW_REGISTRY_URI": f"sqlite:///{trained / 'registry.db'}",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "MLFLOW_ACTIVE_MODEL_ID": "m-theirs",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run_register()
    assert client.get_run(run.info.run_id).to_dictionary() == before
    assert [each.info.run_id for each in client.search_runs([other])] == [run.info.run_id]
    assert list(client.search_logged_models([other])) == []
    [experiment] = [each for each in client.search_experiments() if each.name == "vaebench"]
    [own] = client.search_runs([experiment.experiment_id])
    assert (own.info.run_name, own.info.status) == ("register", "FINISHED")
    assert set(own.data.metrics) == {"fid"}
    [model] = client.search_logged_models([experiment.experiment_id])
    assert model.source_run_id == own.info.run_id
    assert "theirs" not in own.data.tags | model.tags
    assert not (trained / "registry.db").exists()


def test_error_advises_nothing_about_a_variable_that_was_not_set(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    def fail() -> None:
        with usable("sqlite:///mlflow.db"):
            os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"  # as `mlflow.set_tracking_uri` does
            raise ConnectionError("no answer")

    with pytest.raises(StageError) as caught:
        fail()
    assert "MLFLOW_TRACKING_URI" not in str(caught.value)


def test_unknown_criterion_is_one_line(trained: Path) -> None:
    with pytest.raises(StageError, match=r"^--by must be one of test_combined_loss, .*, got 'beauty'$"):
        register.main(by="beauty")


def test_unfit_panel_has_no_champion(trained: Path) -> None:
    file = trained / "metrics/benchmark.csv"
    table = pd.read_csv(file)
    table.loc[table["model"] == "test images", "reconstruction_accuracy"] = 0.617
    judged(table).to_csv(file, index=False)
    with pytest.raises(StageError, match=r"csv: has no fid\. The classifiers are unfit: they read 61\.7% of"):
        register.main()


def test_missing_weights_are_named(trained: Path) -> None:
    (trained / WEIGHTS).unlink()
    message = f"{WEIGHTS}: not found; `dvc pull` fetches it, or `dvc repro train_vae@10-0` writes it"
    with pytest.raises(StageError) as caught:
        register.main()
    assert str(caught.value) == message
    shutil.rmtree("metrics")
    with pytest.raises(StageError, match=r"^metrics/benchmark.csv: not found; `dvc pull` fetches it, or "):
        register.main()


def test_weights_that_are_no_such_model_are_named(trained: Path) -> None:
    write_weights(trained, 10, seed=0)
    shutil.copy(
        trained / "models/vae/d30-s0/weights.safetensors", trained / "models/vae/d10-s0/weights.safetensors"
    )
    before = (trained / "mlflow.db").read_bytes()
    with pytest.raises(
        UnusableFileError,
        match=r"^models/vae/d10-s0/weights\.safetensors: must hold a vae of latent_dim 10, .*, says ",
    ):
        register.main()
    assert (trained / "mlflow.db").read_bytes() == before
