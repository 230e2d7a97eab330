"""What tests of several modules share. Torch is imported where it is used: tests without it start at once."""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsers import FLAGS
from projects import (
    BESIDE,
    FOREIGN,
    KEYS,
    MIRROR,
    MNIST_MIRROR,
    NO_SETTINGS,
    ROOT,
    STAGES,
    TRAINED,
    clone,
    make_template,
    recorded,
    run,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from torch import Tensor
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

    from vaebench.data.dataset import Dataset
    from vaebench.device import Workers
    from vaebench.models.vae import VAE


def pytest_configure() -> None:
    """Let nothing that is set outside reach a test, nor the processes that it starts."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ |= NO_SETTINGS
    os.environ["OMP_NUM_THREADS"] = "1"  # of operators outside the workers: more would wait for each other


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what starts a pipeline or a browser as slow."""
    if {"template", "browser", "server", "links"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.slow)


def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadFileScheduling":
    """Give a file's tests to one process, which makes their fixtures once, and so those of the project."""
    from xdist.scheduler import LoadFileScheduling

    def scope(nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "project" if file.endswith(("test_browser.py", "test_pipeline.py")) else file

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = scope
    return scheduling


@pytest.fixture(scope="session")
def workers() -> "Workers":
    import torch

    from vaebench.device import Workers

    return Workers(torch.device("cpu"), threads=2)


@pytest.fixture(scope="session")
def crews() -> "list[Workers]":
    """One, two and three workers: what they compute must be the same, bit for bit."""
    import torch

    from vaebench.device import Workers

    return [Workers(torch.device("cpu"), threads) for threads in (1, 2, 3)]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> "Dataset":
    """The data set that needs no download: 1,497 training and 300 test digits."""
    from vaebench.data.dataset import load_dataset, save_dataset
    from vaebench.data.download import make_digits

    path = tmp_path_factory.mktemp("digits") / "dataset.safetensors"
    save_dataset(path, "digits", make_digits())
    return load_dataset(path)


@pytest.fixture(scope="session")
def tiny_vae() -> "Callable[[int, int], VAE]":
    """Build, from a latent dimension and a seed, a VAE of three linear layers, a hundred times as fast."""
    from torch import nn

    from vaebench.data.tensors import build_model
    from vaebench.models.posterior import Heads
    from vaebench.models.vae import VAE

    class TinyVAE(VAE):
        def __init__(self, latent_dim: int) -> None:
            nn.Module.__init__(self)
            self.latent_dim, self.network, self.objective = latent_dim, "tiny", "elbo"
            self.encoder = nn.Sequential(nn.Flatten(), Heads(784, latent_dim))
            self.decoder = nn.Sequential(nn.Linear(latent_dim, 784), nn.Unflatten(1, (1, 28, 28)))

    return lambda latent_dim, seed: build_model(lambda: TinyVAE(latent_dim), seed)


@pytest.fixture(scope="session")
def as_textbook() -> "Callable[[dict[str, Tensor]], dict[str, Tensor]]":
    """Rename and reorder what belongs to a VAE's parameters to what belongs to those of a TextbookVAE."""

    def convert(own: "dict[str, Tensor]") -> "dict[str, Tensor]":
        found = {}
        for name, tensor in own.items():
            # A textbook's encoder ends before the heads; its decoder starts with the linear layer.
            part, place, *rest = name.split(".")
            if part == "encoder" and place == "0":
                found[f"encoder.{'.'.join(rest)}"] = tensor
            elif part == "encoder" and rest[1] == "weight":  # a head; its columns: rows, columns, channels
                found[".".join(rest)] = tensor.unflatten(1, (7, 7, 64)).permute(0, 3, 1, 2).flatten(1)
            elif part == "encoder":
                found[".".join(rest)] = tensor
            elif place == "0":
                found[f"decoder.0.{rest[0]}"] = tensor.unflatten(0, (7, 7, 64)).movedim(2, 0).flatten(0, 2)
            else:  # after what makes an image of its output
                found[f"decoder.{int(rest[0]) + 2}.{rest[1]}"] = tensor
        return found

    return convert


@pytest.fixture
def global_rng_untouched() -> Iterator[None]:
    """Fail the test if anything draws from, or seeds, a global random number generator."""
    import numpy as np
    import torch

    def states() -> tuple[bytes, object, object]:
        legacy = np.random.get_state(legacy=False)  # noqa: NPY002  it is the one to watch
        return torch.get_rng_state().numpy().tobytes(), repr(legacy), random.getstate()

    before = states()
    yield
    assert states() == before


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is found: none of {', '.join(names)} is on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This working tree as a repository of its own, without results and set to tiny data."""
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `make repro` has run everything."""
    root = clone(template, tmp_path_factory.mktemp("reproduced") / "project")
    done = run(root, "python", "-m", "vaebench.pipeline.repro", "--jobs", "2", PYTHONPATH="src")
    assert done.returncode == 0
    assert set(re.findall(rf"^stage \d+ of {len(STAGES)}: ([\w@-]+)", done.stdout, re.MULTILINE)) == STAGES
    return root


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded results, a data set, and models and pictures that nobody has trained."""
    from pages import pictures
    from vaebench.data.dataset import save_dataset
    from vaebench.data.download import make_digits
    from vaebench.evaluation.pictures import save_pictures
    from vaebench.models.classifier import build_classifier, save_classifier
    from vaebench.models.vae import build_vae, save_vae
    from vaebench.pipeline import paths
    from vaebench.pipeline.params import PANELS

    root = tmp_path_factory.mktemp("made")
    shutil.copytree(Path(__file__).parents[1] / "metrics", root / "metrics")
    files = ["data/evaluation/references.json"]
    for key in KEYS:
        files += [f"models/{kind}/{key}/{name}" for kind in ("vae", "reproduction") for name in TRAINED]
        files.append(f"data/evaluation/{key}/scores.json")
    panels = [f"models/classifier/{panel}-s{seed}" for panel in PANELS for seed in range(3)]
    files += [f"{member}/metrics.json" for member in panels]
    files += [f"models/vae/{key}/{name}" for key in BESIDE for name in TRAINED]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(recorded(file), root / file)
    save_dataset(root / "data/dataset.safetensors", "digits", make_digits())
    for seed, member in enumerate(panels):
        save_classifier(root / member / "weights.safetensors", build_classifier(seed))
    for key in KEYS:
        save_vae(root / f"models/vae/{key}/weights.safetensors", build_vae(key.latent_dim, key.seed))
        save_pictures(root / f"data/evaluation/{key}/pictures.npz", pictures(key.latent_dim))
    for key in BESIDE:
        save_vae(root / paths.vae_weights(key), build_vae(key.latent_dim, key.seed, "mlp"))
    return root


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them, which takes MLflow seconds to make."""
    from mlflow import MlflowClient  # while a test runs, so that it sends no telemetry

    database = tmp_path_factory.mktemp("schema") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}")
    return database


@pytest.fixture(scope="session")
def real_mirror() -> str:
    """Where the published MNIST files are at hand: the user's mirror, or a folder beside the repository."""
    return MNIST_MIRROR or f"{_holding('mnist')}/mnist"


@pytest.fixture(scope="session")
def real_mirrors() -> str:
    """Where those of Fashion-MNIST are, in a folder of their own."""
    return _holding("fashion-mnist")


def _holding(folder: str) -> str:
    """The mirror of every set: a URL of the user's, or a folder that holds this one."""
    if "://" in MIRROR:
        return MIRROR.rstrip("/")
    mirror = ROOT / MIRROR if MIRROR else ROOT.parent / "shared"
    if not (mirror / folder).is_dir():
        pytest.skip(f"no published files are at hand: VAEBENCH_MIRROR names no mirror that holds {folder}/")
    return str(mirror)


@pytest.fixture
def empty_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, which is the current folder; it has no store yet."""
    root = tmp_path / "a repository"
    (root / ".dvc").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", root)
    author = ("-c", "user.name=n", "-c", "user.email=e")
    for arguments in (["init"], ["add", "params.yaml"], [*author, "commit", "-m", "m"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def repo(empty_repo: Path, schema: Path) -> Path:
    """The same with an empty store."""
    shutil.copy(schema, empty_repo / "mlflow.db")
    return empty_repo
