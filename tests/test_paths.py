"""Which stage writes a file, and what DVC fetches with it."""

from pathlib import Path

import pytest

from vaebench.pipeline import paths
from vaebench.pipeline.key import ModelKey

KEY = ModelKey(30, 12)


@pytest.mark.parametrize(
    ("path", "output", "stage"),
    [
        (paths.DATASET, "data/dataset.safetensors", "download"),
        (paths.classifier_weights("plain", 4), "models/classifier/plain-s4", "train_classifier@plain-4"),
        (
            paths.classifier_metrics("exposed", 4),
            "models/classifier/exposed-s4",
            "train_classifier@exposed-4",
        ),
        (paths.vae_weights(KEY), "models/vae/d30-s12", "train_vae@30-12"),
        (paths.vae_weights(ModelKey(10, 0, "kl_lost")), "models/vae/kl_lost", "train_variant@kl_lost"),
        (paths.curve(KEY), "models/vae/d30-s12", "train_vae@30-12"),
        (paths.training(KEY), "models/vae/d30-s12", "train_vae@30-12"),
        (paths.reproduction(KEY), "models/reproduction/d30-s12", "reproduce_report@30-12"),
        (paths.reproduction_curve(KEY), "models/reproduction/d30-s12", "reproduce_report@30-12"),
        (paths.evaluation(KEY), "data/evaluation/d30-s12", "evaluate@30-12"),
        (paths.pictures(KEY), "data/evaluation/d30-s12", "evaluate@30-12"),
        (paths.REFERENCES, "data/evaluation/references.json", "evaluate_references"),
        (paths.TRAININGS_CSV, "metrics/trainings.csv", "aggregate"),
        (paths.BENCHMARK_PLOTS / "losses-d2.png", "plots/benchmark", "render"),
    ],
)
def test_file_of_a_stage(path: Path, output: str, stage: str) -> None:
    assert (paths.output(path), paths.writer(path)) == (Path(output), stage)


@pytest.mark.parametrize(
    "path",
    ["metrics/report.csv", "elsewhere/models/vae/d5-s0", "models/vae/D5", "models/vae/d5-s0.old/x", "."],
)
def test_file_of_none(path: str) -> None:
    assert (paths.output(Path(path)), paths.writer(Path(path))) == (None, None)
