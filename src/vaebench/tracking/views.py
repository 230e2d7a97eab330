"""The views that MLflow's page of runs offers under Views: the columns that matter, and curves side by side.

MLflow keeps a view as a tag of the experiment. The form of the tag is that of MLflow 3.17.
"""

import json
import time
from collections.abc import Mapping

TAG = "mlflow.sharedViewState."
LOSSES = ("combined_loss", "reconstruction_loss", "kl_loss")
SECTION = "losses"
BENCHMARK, CURVES = "benchmark", "curves"  # as links name them: viewStateShareKey=curves


def view_tags() -> dict[str, str]:
    """Return the tags that make the views."""
    benchmark = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": _columns(
            metrics="combined_loss test_combined_loss inception_score fid legible_share training_seconds",
            params="latent_dim data.dataset vae.recipe recipe",
            tags="dvc.exp device",
        ),
    }
    curves = {
        "searchFilter": "tags.`dvc.stage` LIKE 'train_vae@%'",
        # Any order but that of the start: in that one, a training is folded into its execution.
        "orderByKey": "metrics.`test_combined_loss`",
        "orderByAsc": True,
        "selectedColumns": _columns(
            metrics="combined_loss test_combined_loss kl_loss reconstruction_loss training_seconds",
            params="latent_dim recipe epochs seed",
        ),
        # Else there is a place for whatever the list had before, which is not what trainings have.
        "compareRunCharts": [_chart(f"{split}{loss}") for split in ("", "test_") for loss in LOSSES],
        "compareRunSections": [{"uuid": SECTION, "name": "Losses by epoch", "display": True}],
    }
    return {
        f"{TAG}{BENCHMARK}": _saved("Benchmark", benchmark),
        f"{TAG}{CURVES}": _saved("Training curves", curves),
    }


def _chart(metric: str) -> dict[str, object]:
    return {
        "type": "LINE",
        "uuid": metric,
        "metricSectionId": SECTION,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric,
        "runsCountToCompare": 20,
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisKey": "step",
        "range": {},
    }


def _columns(**names: str) -> list[str]:
    return [f"{kind}.`{name}`" for kind, those in names.items() for name in those.split()]


def _saved(name: str, state: Mapping[str, object]) -> str:
    return json.dumps({"name": name, "createdAt": int(time.time() * 1000), "state": json.dumps(state)})
