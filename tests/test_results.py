"""The results that stages hand on: what is committed passes, and what lacks something is named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaebench.findings.results import (
    Evaluation,
    References,
    Reproduction,
    Result,
    Training,
    read_benchmark,
    read_curve,
    read_report,
    read_result,
)
from vaebench.pipeline.files import UnusableFileError

METRICS = Path(__file__).resolve().parents[1] / "metrics"
FORMS: dict[str, type[Result]] = {
    "training": Training,
    "reproduction": Reproduction,
    "evaluation": Evaluation,
}


@pytest.mark.parametrize("latent_dim", [2, 3, 4, 5, 10, 30])
def test_committed_results_of_a_model_pass_as_they_stand(latent_dim: int) -> None:
    for folder, form in FORMS.items():
        path = METRICS / folder / f"d{latent_dim}.json"
        assert read_result(path, form, latent_dim) == json.loads(path.read_text())
    assert list(read_curve(METRICS / f"training/d{latent_dim}.csv", tested=True)["epoch"]) == [*range(1, 11)]
    assert list(read_curve(METRICS / f"reproduction/d{latent_dim}.csv", tested=False)["epoch"])[-1] == 10


def test_committed_tables_pass_as_they_stand() -> None:
    import pandas as pd

    path = METRICS / "references.json"
    assert read_result(path, References) == json.loads(path.read_text())
    for name, read in (("benchmark.csv", read_benchmark), ("report.csv", read_report)):
        pd.testing.assert_frame_equal(read(METRICS / name), pd.read_csv(METRICS / name))


def test_result_of_another_model_is_refused() -> None:
    for folder, form in FORMS.items():
        path = METRICS / folder / "d10.json"
        with pytest.raises(UnusableFileError, match=rf"^{path}: is of 10 latent dimensions, not of 5$"):
            read_result(path, form, 5)


def nested(content: dict[str, Any], key: str) -> tuple[Any, str]:
    *parents, last = key.split(".")
    for parent in parents:
        content = content[parent]
    return content, last


@pytest.mark.parametrize(
    ("name", "form", "key", "value", "problem"),
    [
        ("training/d5.json", Training, "threads", None, "threads: Input should be a valid integer"),
        ("training/d5.json", Training, "recipe", 5, "recipe: Input should be a valid string"),
        ("training/d5.json", Training, "training_seconds", "long", "training_seconds: Input should be"),
        ("reproduction/d5.json", Reproduction, "kl_loss", True, "kl_loss: Input should be a valid number"),
        ("evaluation/d5.json", Evaluation, "vae.fid", "high", "vae.fid: Input should be a valid number"),
        ("evaluation/d5.json", Evaluation, "pca.beauty", 1.0, "pca: Value error, unknown scores: beauty"),
        ("evaluation/d5.json", Evaluation, "kl_spectrum", [1.0] * 4, "Value error, kl_spectrum and active"),
        (
            "evaluation/d5.json",
            Evaluation,
            "confusion",
            [[1] * 10] * 9,
            "confusion: List should have at least",
        ),
        (
            "evaluation/d5.json",
            Evaluation,
            "overlap",
            [[0.1] * 11] * 10,
            "overlap.0: List should have at most",
        ),
        (
            "references.json",
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
    content = json.loads((METRICS / name).read_text())
    place, last = nested(content, key)
    place[last] = value
    path = tmp_path / "d5.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {re.escape(problem)}"):
        read_result(path, form)


@pytest.mark.parametrize(
    ("name", "form", "key", "problem"),
    [
        ("training/d5.json", Training, "latent_dim", "latent_dim: Field required"),
        ("reproduction/d5.json", Reproduction, "combined_loss", "combined_loss: Field required"),
        ("evaluation/d5.json", Evaluation, "vae.fid", "vae: Value error, missing scores: fid"),
        ("evaluation/d5.json", Evaluation, "seed", "seed: Field required"),
        ("references.json", References, "test images", "test images: Field required"),
    ],
)
def test_missing_key_is_named(tmp_path: Path, name: str, form: type[Result], key: str, problem: str) -> None:
    content = json.loads((METRICS / name).read_text())
    place, last = nested(content, key)
    del place[last]
    path = tmp_path / "d5.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {re.escape(problem)}$"):
        read_result(path, form)


@pytest.mark.parametrize(
    ("name", "spoil", "problem"),
    [
        ("training/d5.csv", lambda text: "", "is empty"),
        ("training/d5.csv", lambda text: text.partition("\n")[0], "has no row"),
        ("training/d5.csv", lambda text: text.replace("test_kl_loss", "other"), "has no column test_kl_loss"),
        ("training/d5.csv", lambda text: text[: text.rindex(",")], "has an empty cell"),
        (
            "training/d5.csv",
            lambda text: f"{text}11,a,2,3,4,5,6\n",
            "column reconstruction_loss must hold numbers",
        ),
        ("training/d5.csv", lambda text: f"{text}1,2,3,4,5,6,7,8\n", r"is no CSV table \(.*\)"),
        ("report.csv", lambda text: text.replace("combined_loss", "loss"), "has no column combined_loss"),
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
        "training/d5.csv": lambda path: read_curve(path, tested=True),
    }
    read = readers[name]
    path = tmp_path / "table.csv"
    shutil.copy(METRICS / name, path)
    read(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(UnusableFileError, match=rf"^{path}: {problem}$"):
        read(path)
