"""The report page of the recorded results and of models that were not trained: it needs no pipeline."""

import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from projects import KEYS, ROOT, recorded
from vaebench.evaluation.pictures import Pictures
from vaebench.models.classifier import build_classifier
from vaebench.models.vae import build_vae
from vaebench.page.build import Results
from vaebench.page.explorer import Explored
from vaebench.page.origin import Origin
from vaebench.pipeline.key import ModelKey

T = TypeVar("T", bound=nn.Module)


def pictures(latent_dim: int) -> Pictures:
    random = np.random.default_rng(0)
    axes = latent_dim if latent_dim <= 3 else 2
    digits = np.arange(100, dtype=np.uint8) % 10
    images = np.zeros((64, 28, 28), dtype=np.uint8)
    originals = np.zeros((15, 28, 28), dtype=np.uint8)
    for number in range(15):
        originals[number, 4:24, 4 + number : 8 + number] = 255  # bars, each elsewhere
    # Spread out, so that a click has one nearest point.
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 10), np.linspace(-2, 2, 10)), axis=-1).reshape(100, 2)
    latent = np.concatenate([grid, random.standard_normal((100, 1))], axis=1)[:, :axes].astype(np.float32)
    return Pictures(
        originals=originals,
        reconstructions=images[:15],
        original_labels=digits[:15],
        samples=images,
        interpolations=images[:55].reshape(5, 11, 28, 28),
        interpolation_labels=digits[:10].reshape(5, 2),
        latent=latent,
        labels=digits,
        explained_variance=np.full(axes, 0.25, dtype=np.float32),
        latent_centre=np.zeros(latent_dim, dtype=np.float32),
        latent_axes=np.eye(latent_dim, axes, dtype=np.float32),
        probabilities=np.full((64, 10), 0.1, dtype=np.float32),
        marginal=np.full(10, 0.1, dtype=np.float32),
        test_marginal=np.full(10, 0.1, dtype=np.float32),
        confusion=np.eye(10, dtype=np.int64),
    )


def origin(stage: str, run_id: str = "", commit: str = "c" * 40) -> Origin:
    return Origin(stage, Path(f"metrics/{stage}.json"), commit, "2026-01-02", "", run_id, "")


def origins() -> list[Origin]:
    kinds = ("train_vae", "evaluate", "reproduce_report")
    stages = [f"{kind}@{key.item}" for kind in kinds for key in KEYS]
    return [origin(stage) for stage in ("report", "aggregate", "evaluate_references", *stages)]


def sharpened(network: T, times: float = 1.6) -> T:
    """Make a network that was not trained about as sure as a trained one."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(times)
    return network.eval()


def explored(key: ModelKey) -> Explored:
    each = key.latent_dim
    return Explored(
        sharpened(build_vae(key.latent_dim, key.seed)), pictures(each), [1.0] * each, [True] * each
    )


def committed_table() -> pd.DataFrame:
    return pd.read_csv(ROOT / "metrics/benchmark.csv")


def committed_results(findings: str) -> Results:
    """The committed tables, curves and pictures, with models and classifiers that were not trained."""
    return Results(
        table=committed_table(),
        findings=findings,
        trainings={key: json.loads(recorded(f"models/vae/{key}/training.json").read_text()) for key in KEYS},
        curves={key.latent_dim: [pd.read_csv(recorded(f"models/vae/{key}/curve.csv"))] for key in KEYS},
        models={key: explored(key) for key in KEYS},
        panel=[sharpened(build_classifier(seed), 2.5) for seed in range(3)],
        panel_accuracy=0.9967,
        plots=ROOT / "plots/benchmark",
        origins=origins(),
        commit="d" * 40,
        dataset="mnist",
    )
