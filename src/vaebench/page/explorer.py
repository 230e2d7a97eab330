"""What the page needs to run the networks: their weights, and where test images lie in the latent spaces."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vaebench.evaluation.pictures import Pictures
from vaebench.figures.style import CLASS_COLOURS
from vaebench.models.classifier import Classifier
from vaebench.models.vae import VAE
from vaebench.page.weights import LEVELS, encode_base64, pack
from vaebench.pipeline.datasets import DatasetEntry

# The classes' colours on black: those of the figures that would be too dark, lightened.
DARK_CLASS_COLOURS = tuple(
    {"#111111": "#f2f2f2", "#882255": "#d45f93", "#332288": "#8f84e8", "#117733": "#3fae5f"}.get(
        colour, colour
    )
    for colour in CLASS_COLOURS
)


@dataclass(frozen=True)
class Explored:
    """One model, and what is known of its latent space."""

    vae: VAE
    pictures: Pictures
    kl_spectrum: list[float]  # (latent_dim,), nats
    active: list[bool]  # (latent_dim,)


def explorer_data(
    models: Mapping[int, Explored], panel: Sequence[Classifier], data: DatasetEntry
) -> dict[str, Any]:
    """Return what the page's script reads, ready for JSON.

    Args:
        models: by latent dimension, all scored on the same test images.
        panel: the classifiers that read images.
        data: the data set, for its words.
    """
    first = next(iter(models.values())).pictures
    return {
        "models": {dimension: _model_data(model) for dimension, model in models.items()},
        "classifiers": [asdict(pack(classifier)) for classifier in panel],
        "labels": base64.b64encode(first.labels.tobytes()).decode(),
        "originals": base64.b64encode(first.originals.tobytes()).decode(),
        "original_labels": first.original_labels.tolist(),
        "noun": data.noun,
        "classes": data.classes,
        "numbered": data.noun == data.class_noun,  # whether a class is what an image shows: a 7
        "class_colours": {"light": CLASS_COLOURS, "dark": DARK_CLASS_COLOURS},
    }


def _model_data(model: Explored) -> dict[str, Any]:
    pictures = model.pictures
    points = _at_least_two(torch.from_numpy(pictures.latent))
    scale = max(float(points.abs().max()) / LEVELS, torch.finfo(torch.float32).tiny)
    return {
        "latent_dim": model.vae.latent_dim,
        **asdict(pack(model.vae)),
        "points": encode_base64((points / scale).round().to(torch.int16)),
        "points_scale": scale,
        "centre": pictures.latent_centre.tolist(),
        "axes": _at_least_two(torch.from_numpy(pictures.latent_axes)).tolist(),
        "explained_variance": pictures.explained_variance.tolist(),
        "kl_spectrum": model.kl_spectrum,
        "active": model.active,
    }


def _at_least_two(columns: Tensor) -> Tensor:
    """Return the columns; a second one of zeros where there is only one."""
    return functional.pad(columns, (0, max(0, 2 - columns.shape[1])))
