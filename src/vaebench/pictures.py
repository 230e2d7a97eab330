"""The arrays behind the pictures of one model: `evaluate` writes them, `render` draws them."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pictures:
    """What the figures of one model draw. The field names are the names in the file."""

    originals: NDArray[np.uint8]  # (15, 28, 28), the first test digits
    reconstructions: NDArray[np.uint8]  # (15, 28, 28), the same digits decoded from their posterior means
    original_labels: NDArray[np.uint8]  # (15,)
    samples: NDArray[np.uint8]  # (64, 28, 28), decoded from N(0, I)
    interpolations: NDArray[np.uint8]  # (pairs, steps, 28, 28), decoded between two posterior means
    interpolation_labels: NDArray[np.uint8]  # (pairs, 2), the digits at the ends
    latent: NDArray[
        np.float32
    ]  # (N, k), posterior means: the space itself up to 3-D, above it a PCA projection
    labels: NDArray[np.uint8]  # (N,)
    explained_variance: NDArray[np.float32]  # (k,), the share of the variance along each axis of `latent`
    probabilities: NDArray[np.float32]  # (64, 10), p(y|x) of each of `samples`
    marginal: NDArray[np.float32]  # (10,), p(y) over every sample that was scored
    test_marginal: NDArray[np.float32]  # (10,), p(y) over the test digits
    latent_centre: NDArray[np.float32]  # (latent_dim,); a latent z is drawn at (z − centre) @ axes
    latent_axes: NDArray[np.float32]  # (latent_dim, k)
    confusion: NDArray[np.int64]  # (10, 10), row: true digit, column: what its reconstruction is read as


def save_pictures(path: Path, pictures: Pictures) -> None:
    """Write the arrays of one model."""
    with path.open("wb") as file:
        np.savez_compressed(file, **asdict(pictures))


def load_pictures(path: Path) -> Pictures:
    """Read the arrays of one model."""
    with np.load(path, allow_pickle=False) as file:
        return Pictures(**{field.name: file[field.name] for field in fields(Pictures)})
