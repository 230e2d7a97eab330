"""The page's charts: Vega-Lite takes them, and they hold the numbers that they should."""

import json
from typing import Any

import pandas as pd
import pytest
import vl_convert

from vaebench.findings.criteria import CRITERIA, Criterion
from vaebench.page.charts import LOSSES, Spec, beside_report, criterion, loss_curves, rate_distortion

DIMENSIONS = (2, 5, 30)
SCORE = next(each for each in CRITERIA if each.column == "fid")


def row(latent_dim: float, **others: float) -> dict[str, Any]:
    losses = {"kl_loss": 5.0, "reconstruction_loss": 20.0, "combined_loss": 25.0}
    named = {
        f"{prefix}{name}": value
        for prefix in ("", "reproduced_", "report_")
        for name, value in losses.items()
    }
    return {"latent_dim": latent_dim, **named, "fid": 3.0, "fid_low": 2.5, "fid_high": 3.5, **others}


@pytest.fixture
def rows() -> dict[int, dict[str, Any]]:
    return {each: row(each) for each in DIMENSIONS}


def curve(epochs: int) -> pd.DataFrame:
    losses = [f"{prefix}{loss}" for prefix in ("", "test_") for loss in LOSSES]
    return pd.DataFrame(
        {"epoch": range(1, epochs + 1), **{loss: [30.0 - each for each in range(epochs)] for loss in losses}}
    )


def compiled(spec: Spec) -> dict[str, Any]:
    """The chart as Vega has it; Vega-Lite raises if it does not understand it."""
    found: dict[str, Any] = vl_convert.vegalite_to_vega(json.dumps(spec, allow_nan=False))
    return found


def values(spec: Spec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["data"]["values"]
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_curves_have_two_lines_a_dimension(loss: str) -> None:
    spec = loss_curves({each: [curve(4)] for each in DIMENSIONS}, loss)
    assert compiled(spec)["marks"]
    lines = {(value["dimension"], value["images"]) for value in values(spec)}
    assert lines == {(each, images) for each in DIMENSIONS for images in ("training", "test")}
    assert {value["epoch"] for value in values(spec)} == {2, 3, 4}  # the first would flatten the rest
    assert [value["loss"] for value in values(spec)[:3]] == [29, 28, 27]


def test_each_training_has_its_lines() -> None:
    spec = loss_curves({2: [curve(3), curve(3)]}, "kl_loss")
    assert compiled(spec)["marks"]
    lines = {(value["training"], value["images"]) for value in values(spec)}
    assert lines == {(number, images) for number in (1, 2) for images in ("training", "test")}
    assert spec["encoding"]["detail"] == {"field": "training"}  # else one line would jump between them


def test_curve_of_one_epoch_is_shown() -> None:
    spec = loss_curves({2: [curve(1)]}, "kl_loss")
    assert [value["epoch"] for value in values(spec)] == [1, 1]


def test_report_is_left_out_where_it_has_no_numbers(rows: dict[int, dict[str, Any]]) -> None:
    rows[5] |= {"report_combined_loss": float("nan"), "report_kl_loss": float("nan")}
    for spec in (beside_report(rows), rate_distortion(rows)):
        assert compiled(spec)["marks"]
        sources = [value["source"] for value in values(spec) if value["dimension"] == 5]
        assert sources == ["this benchmark", "the report's recipe, trained here"]
        assert len(values(spec)) == 3 * len(DIMENSIONS) - 1


def test_criterion_shows_intervals_pca_and_test_images(rows: dict[int, dict[str, Any]]) -> None:
    spec = criterion(rows, {2: row(2, fid=40.0)}, row(float("nan"), fid=0.1), SCORE)
    assert compiled(spec)["marks"]
    models = [value["model"] for value in values(spec)]
    assert models == ["VAE"] * len(DIMENSIONS) + ["PCA"]
    assert values(spec)[0] == {"dimension": 2, "value": 3.0, "low": 2.5, "high": 3.5, "model": "VAE"}
    assert [layer["data"]["values"][0]["value"] for layer in spec["layer"] if "data" in layer] == [0.1]


@pytest.mark.parametrize("score", CRITERIA, ids=lambda score: str(score.column))
def test_criterion_without_references_is_shown(score: Criterion) -> None:
    missing = float("nan")
    rows = {2: {score.column: 0.5}, 3: {score.column: missing}}
    spec = criterion(rows, {2: {score.column: missing}}, {score.column: missing}, score)
    assert compiled(spec)["marks"]
    assert [value["dimension"] for value in values(spec)] == [2]
    assert not [layer for layer in spec["layer"] if "data" in layer]
