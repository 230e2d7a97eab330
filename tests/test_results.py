"""The results that stages hand on: what is committed passes, and what lacks something is named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from projects import KEYS, recorded
from vaebench.findings.results import (
    Evaluation,
    References,
    Reproduction,
    Result,
    Training,
    read_benchmark,
    read_curve,
    read_keys,
    read_report,
    read_result,
    read_trainings,
)
from vaebench.pipeline.files import UnusableFileError
from vaebench.pipeline.key import ModelKey

METRICS = Path(__file__).resolve().parents[1] / "metrics"
FORMS: dict[str, type[Result]] = {
    "models/vae/{}/training.json": Training,
    "models/reproduction/{}/training.json": Reproduction,
    "data/evaluation/{}/scores.json": Evaluation,
}
TRAINED, REPRODUCED, SCORED = (place.format("d5-s0") for place in FORMS)
REFERENCED = "data/evaluation/references.json"
CURVE = "models/vae/d5-s0/curve.csv"


@pytest.mark.parametrize("key", KEYS)
def test_recorded_results_of_a_model_pass_as_they_stand(key: ModelKey) -> None:
    for place, form in FORMS.items():
        path = recorded(place.format(key))
        assert read_result(path, form, key) == json.loads(path.read_text())
    curve = recorded(f"models/vae/{key}/curve.csv")
    assert list(read_curve(curve, tested=True)["epoch"]) == [*range(1, 11)]
    assert list(read_curve(recorded(f"models/reproduction/{key}/curve.csv"), tested=False)["epoch"])[-1] == 10


def test_committed_tables_pass_as_they_stand() -> None:
    import pandas as pd

    path = recorded(REFERENCED)
    assert read_result(path, References) == json.loads(path.read_text())
    readers = {"benchmark.csv": read_benchmark, "report.csv": read_report, "trainings.csv": read_trainings}
    for name, read in readers.items():
        pd.testing.assert_frame_equal(read(METRICS / name), pd.read_csv(METRICS / name))
    assert read_keys(METRICS / "trainings.csv") == KEYS


def test_result_of_another_model_is_refused() -> None:
    for place, form in FORMS.items():
        path = recorded(place.format("d10-s0"))
        for key in (ModelKey(5, 0), ModelKey(10, 1)):
            message = rf"^{path}: is of dimension 10, seed 0, not of {key.title}$"
            with pytest.raises(UnusableFileError, match=message):
                read_result(path, form, key)


def nested(content: dict[str, Any], key: str) -> tuple[Any, str]:
    *parents, last = key.split(".")
    for parent in parents:
        content = content[parent]
    return content, last


@pytest.mark.parametrize(
    ("name", "form", "key", "value", "problem"),
    [
        (TRAINED, Training, "threads", None, "threads: Input should be a valid integer"),
        (TRAINED, Training, "recipe", 5, "recipe: Input should be a valid string"),
        (TRAINED, Training, "training_seconds", "long", "training_seconds: Input should be"),
        (REPRODUCED, Reproduction, "kl_loss", True, "kl_loss: Input should be a valid number"),
        (SCORED, Evaluation, "vae.fid", "high", "vae.fid: Input should be a valid number"),
        (SCORED, Evaluation, "pca.beauty", 1.0, "pca: Value error, unknown scores: beauty"),
        (SCORED, Evaluation, "kl_spectrum", [1.0] * 4, "Value error, kl_spectrum and active"),
        (
            SCORED,
            Evaluation,
            "confusion",
            [[1] * 10] * 9,
            "confusion: List should have at least",
        ),
        (
            SCORED,
            Evaluation,
            "overlap",
            [[0.1] * 11] * 10,
            "overlap.0: List should have at most",
        ),
        (
            REFERENCED,
            References,
            "pixel noise",
            3.0,
            "pixel noise: Input should be a valid dictionary",
        ),
    ],
)
def test_wrong_value_is_named(
    tmp_path: Path, name: str, form: type[Result], key: str, value: object, problem: str
) -> None:
    content = json.loads(recorded(name).read_text())
    place, last = nested(content, key)
    place[last] = value
    path = tmp_path / "d5.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {re.escape(problem)}"):
        read_result(path, form)


@pytest.mark.parametrize(
    ("name", "form", "key", "problem"),
    [
        (TRAINED, Training, "latent_dim", "latent_dim: Field required"),
        (REPRODUCED, Reproduction, "combined_loss", "combined_loss: Field required"),
        (SCORED, Evaluation, "vae.fid", "vae: Value error, missing scores: fid"),
        (SCORED, Evaluation, "seed", "seed: Field required"),
        (SCORED, Evaluation, "evaluation_seed", "evaluation_seed: Field required"),
        (REFERENCED, References, "test images", "test images: Field required"),
    ],
)
def test_missing_key_is_named(tmp_path: Path, name: str, form: type[Result], key: str, problem: str) -> None:
    content = json.loads(recorded(name).read_text())
    place, last = nested(content, key)
    del place[last]
    path = tmp_path / "d5.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {re.escape(problem)}$"):
        read_result(path, form)


@pytest.mark.parametrize(
    ("name", "spoil", "problem"),
    [
        (CURVE, lambda text: "", "is empty"),
        (CURVE, lambda text: text.partition("\n")[0], "has no row"),
        (CURVE, lambda text: text.replace("test_kl_loss", "other"), "has no column test_kl_loss"),
        (CURVE, lambda text: text[: text.rindex(",")], "has an empty cell"),
        (
            CURVE,
            lambda text: f"{text}11,a,2,3,4,5,6\n",
            "column reconstruction_loss must hold numbers",
        ),
        (CURVE, lambda text: f"{text}1,2,3,4,5,6,7,8\n", r"is no CSV table \(.*\)"),
        ("report.csv", lambda text: text.replace("combined_loss", "loss"), "has no column combined_loss"),
        ("trainings.csv", lambda text: text.replace(",fid,", ",other,"), "has no column fid"),
        ("benchmark.csv", lambda text: text.replace("model,", "kind,"), "has no column model"),
        ("benchmark.csv", lambda text: text.replace("pixel noise", "snow"), "has no row of pixel noise"),
        (
            "benchmark.csv",
            lambda text: text.replace("VAE,5,", "VAE,,"),
            "has a model without a latent dimension",
        ),
    ],
)
def test_table_that_lacks_something_is_named(
    tmp_path: Path, name: str, spoil: Callable[[str], str], problem: str
) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "report.csv": read_report,
        "benchmark.csv": read_benchmark,
        "trainings.csv": read_keys,
        CURVE: lambda path: read_curve(path, tested=True),
    }
    read = readers[name]
    path = tmp_path / "table.csv"
    shutil.copy(recorded(name) if name == CURVE else METRICS / name, path)
    read(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {problem}$"):
        read(path)
