"""The page's charts as Vega-Lite specifications: plain dictionaries, each with its own data.

Text and lines take the colour of the page, so that one chart serves light and dark.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vaebench.figures.style import DIMENSION_COLOURS, OURS, PCA, PUBLISHED, REPRODUCED, VAE
from vaebench.findings.criteria import Criterion, estimate
from vaebench.findings.table import Record

Spec = dict[str, Any]

LOSSES = {
    "combined_loss": "combined loss",
    "reconstruction_loss": "squared error, summed over pixels",
    "kl_loss": "KL, nats",
}
_HEIGHT, _SMALL = 260, 130  # pixels of a chart, and of one of many
_SOURCES = {  # prefix of the table's columns -> name
    "": "this benchmark",
    "reproduced_": "the report's recipe, trained here",
    "report_": "the report",
}
_KINDS = {"domain": list(_SOURCES.values()), "range": [OURS, REPRODUCED, PUBLISHED]}


def loss_curves(curves: Mapping[int, Sequence[pd.DataFrame]], loss: str) -> Spec:
    """Return one loss by epoch: a line a training of a dimension, dashed on test images.

    Args:
        curves: by latent dimension, of each training a row an epoch: `epoch`, and the losses with and
            without `test_`.
        loss: one of `LOSSES`.
    """
    values = [
        {
            "epoch": int(row["epoch"]),
            "loss": row[f"{prefix}{loss}"],
            "dimension": dimension,
            "images": images,
            "training": number,
        }
        for dimension, trainings in curves.items()
        for number, curve in enumerate(trainings, 1)
        for prefix, images in (("", "training"), ("test_", "test"))
        for row in curve.to_dict("records")
    ]
    # The first epoch is far above all others, and would flatten them.
    shown = [value for value in values if value["epoch"] > 1] or values
    return _chart(
        f"{LOSSES[loss]}, by epoch",
        shown,
        {"type": "line", "point": {"size": 18}, "strokeWidth": 1.8},
        {
            "x": {"field": "epoch", "type": "quantitative", "axis": {"tickMinStep": 1, "title": "epoch"}},
            "y": {"field": "loss", "type": "quantitative", "scale": {"zero": False}, "title": LOSSES[loss]},
            "color": _by_dimension(curves),
            "strokeDash": {"field": "images", "sort": ["training", "test"], "legend": None},
            "detail": {"field": "training"},
            "tooltip": _tooltip("dimension", "training", "images", "epoch", "loss"),
        },
    )


def beside_report(rows: Mapping[int, Record]) -> Spec:
    """Return the combined training loss by dimension: ours, by the report's recipe, and the report's.

    Args:
        rows: the VAEs' rows of the benchmark's table, by latent dimension.
    """
    values = [
        {"dimension": dimension, "loss": row[f"{prefix}combined_loss"], "source": name}
        for dimension, row in rows.items()
        for prefix, name in _SOURCES.items()
        if not pd.isna(row[f"{prefix}combined_loss"])
    ]
    return _chart(
        "combined loss beside the report's",
        values,
        {"type": "line", "point": {"size": 60, "filled": True}, "strokeWidth": 1.5},
        {
            "x": _dimension_axis(rows),
            "y": {
                "field": "loss",
                "type": "quantitative",
                "scale": {"zero": False},
                "title": "squared error + KL, training images",
            },
            "color": {
                "field": "source",
                "scale": _KINDS,
                "legend": {"title": None, "orient": "top", "columns": 1},
            },
            "tooltip": _tooltip("source", "dimension", "loss"),
        },
    )


def rate_distortion(rows: Mapping[int, Record]) -> Spec:
    """Return KL against squared error on the training images: ours, by the report's recipe, the report's."""
    values = [
        {
            "rate": row[f"{prefix}kl_loss"],
            "distortion": row[f"{prefix}reconstruction_loss"],
            "dimension": dimension,
            "source": name,
        }
        for dimension, row in rows.items()
        for prefix, name in _SOURCES.items()
        if not pd.isna(row[f"{prefix}kl_loss"])
    ]
    scale = {"zero": False, "padding": 16}  # room for names
    x = {"field": "rate", "type": "quantitative", "scale": scale, "title": "rate: KL, nats"}
    y = {
        "field": "distortion",
        "type": "quantitative",
        "scale": scale,
        "title": "distortion: squared error",
    }
    colour = {"field": "source", "scale": _KINDS, "legend": {"title": None, "orient": "top", "columns": 1}}
    line = {
        "mark": {"type": "line", "point": {"size": 60, "filled": True}, "strokeWidth": 1.2},
        "encoding": {
            "x": x,
            "y": y,
            "order": {"field": "dimension"},
            "color": colour,
            "tooltip": _tooltip("source", "dimension", "rate", "distortion"),
        },
    }
    names = {
        "name": "names",  # the script moves them apart
        "mark": {"type": "text", "fontWeight": "bold"},
        "encoding": {"x": x, "y": y, "text": {"field": "dimension"}, "color": colour},
    }
    return _frame("rate against distortion", values) | {"layer": [line, names]}


def criterion(
    rows: Mapping[int, Record], pcas: Mapping[int, Record], tests: Record, score: Criterion
) -> Spec:
    """Return one score by dimension with its 95 % intervals, beside PCA and real test images.

    Args:
        rows: the VAEs' rows of the benchmark's table, by latent dimension.
        pcas: those of PCA, likewise.
        tests: that of the real test images.
        score: which one.
    """
    values = [
        {"dimension": dimension, "value": found.value, "low": found.low, "high": found.high, "model": model}
        for model, kind in (("VAE", rows), ("PCA", pcas))
        for dimension, row in kind.items()
        if (found := estimate(row, score.column))
    ]
    form = {"format": "%"} if score.form.endswith("%") else {}
    x = _dimension_axis(rows)
    y = {"type": "quantitative", "scale": {"zero": False}, "axis": {"title": None, "tickCount": 4, **form}}
    colour = {
        "field": "model",
        "scale": {"domain": ["VAE", "PCA"], "range": [VAE, PCA]},
        "legend": None,
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6},
            "encoding": {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, "color": colour},
        },
        {
            "mark": {"type": "line", "point": {"size": 26, "filled": True}, "strokeWidth": 1.3},
            "encoding": {
                "x": x,
                "y": {"field": "value", **y},
                "color": colour,
                "tooltip": _tooltip("model", "dimension", "value", "low", "high"),
            },
        },
    ]
    real = estimate(tests, score.column)
    if real is not None:
        layers.append(
            {
                "data": {"values": [{"value": real.value, "model": "real test images"}]},
                "mark": {"type": "rule", "strokeDash": [4, 3], "color": "currentColor", "opacity": 0.7},
                "encoding": {"y": {"field": "value", **y}, "tooltip": _tooltip("model", "value")},
            }
        )
    return _frame(score.name, values, _SMALL) | {"layer": layers}


def _chart(description: str, values: Sequence[Record], mark: Spec, encoding: Spec) -> Spec:
    return _frame(description, values) | {"mark": mark, "encoding": encoding}


def _frame(description: str, values: Sequence[Record], height: int = _HEIGHT) -> Spec:
    finite = [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in values
    ]
    return {
        "description": description,
        "width": "container",
        "height": height,
        "data": {"values": finite},
    }


def _by_dimension(dimensions: Mapping[int, object]) -> Spec:
    domain = list(dimensions)
    colours = [DIMENSION_COLOURS[place % len(DIMENSION_COLOURS)] for place in range(len(domain))]
    return {
        "field": "dimension",
        "type": "nominal",
        "scale": {"domain": domain, "range": colours},
        "legend": {"title": "latent dimension", "orient": "top"},
    }


def _dimension_axis(dimensions: Mapping[int, object]) -> Spec:
    return {
        "field": "dimension",
        "type": "ordinal",
        "sort": list(dimensions),
        "axis": {"title": "latent dimension", "labelAngle": 0},
    }


def _tooltip(*fields: str) -> list[Spec]:
    numbers = {"loss", "value", "low", "high", "rate", "distortion"}
    return [{"field": field, **({"format": ",.4~f"} if field in numbers else {})} for field in fields]
