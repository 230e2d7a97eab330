"""The arrays behind the pictures of one model: `evaluate` writes them, `render` draws them."""

import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from vaebench.pipeline.files import UnusableFileError


@dataclass(frozen=True)
class Pictures:
    """What the figures of one model draw. The field names are the names in the file.

    Each array has its shape beside it; a name there is the same number in every array.
    """

    # The first test digits, and what is decoded from their posterior means.
    originals: Annotated[NDArray[np.uint8], (15, 28, 28)]
    reconstructions: Annotated[NDArray[np.uint8], (15, 28, 28)]
    original_labels: Annotated[NDArray[np.uint8], (15,)]
    # Decoded from N(0, I).
    samples: Annotated[NDArray[np.uint8], (64, 28, 28)]
    # Decoded between two posterior means, and the digits at the ends.
    interpolations: Annotated[NDArray[np.uint8], ("pairs", "steps", 28, 28)]
    interpolation_labels: Annotated[NDArray[np.uint8], ("pairs", 2)]
    # Posterior means: the space itself up to 3-D, above it a PCA projection.
    latent: Annotated[NDArray[np.float32], ("N", "k")]
    labels: Annotated[NDArray[np.uint8], ("N",)]
    # The share of the variance along each axis of `latent`.
    explained_variance: Annotated[NDArray[np.float32], ("k",)]
    # p(y|x) of each of `samples`, p(y) over every sample that was scored, and over the test digits.
    probabilities: Annotated[NDArray[np.float32], (64, 10)]
    marginal: Annotated[NDArray[np.float32], (10,)]
    test_marginal: Annotated[NDArray[np.float32], (10,)]
    # A latent z is drawn at (z − centre) @ axes.
    latent_centre: Annotated[NDArray[np.float32], ("latent_dim",)]
    latent_axes: Annotated[NDArray[np.float32], ("latent_dim", "k")]
    # Row: true digit, column: what its reconstruction is read as.
    confusion: Annotated[NDArray[np.int64], (10, 10)]


def save_pictures(path: Path, pictures: Pictures) -> None:
    """Write the arrays of one model."""
    content = io.BytesIO()  # on a full disk, an archive's end fails in ways of its own
    np.savez_compressed(content, **asdict(pictures))
    path.write_bytes(content.getvalue())


def load_pictures(path: Path, latent_dim: int | None = None) -> Pictures:
    """Read the arrays of one model.

    Args:
        path: the file.
        latent_dim: how many latent dimensions the model must have; where None, any number.

    Raises:
        UnusableFileError: the file is not that of such a model.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # a broken archive raises a dozen kinds
        raise UnusableFileError(path, f"is no file of arrays ({error!r})") from error
    if problem := _problem(arrays, {} if latent_dim is None else {"latent_dim": latent_dim}):
        raise UnusableFileError(path, problem)
    return Pictures(**arrays)


def _problem(arrays: dict[str, NDArray[np.generic]], sizes: dict[str, int]) -> str | None:
    """Say what is wrong with the arrays of a file; `sizes` are the named ones that are known."""
    names = {field.name for field in fields(Pictures)}
    if names != arrays.keys():
        return f"holds other arrays than it must: {', '.join(sorted(names ^ arrays.keys()))}"
    sizes = dict(sizes)
    for name, hint in get_type_hints(Pictures, include_extras=True).items():
        kind, shape = get_args(hint)
        [dtype] = get_args(get_args(kind)[1])
        array = arrays[name]
        if len(array.shape) == len(shape):
            shape = tuple(
                sizes.setdefault(size, found) if isinstance(size, str) else size
                for size, found in zip(shape, array.shape, strict=True)
            )
        if array.dtype != dtype or array.shape != shape:
            wanted = f"{np.dtype(dtype)} {shape}"
            return f"{name} must be {wanted}, is {array.dtype} {array.shape}"
        if name.endswith("labels") and not np.all(array <= 9):  # type: ignore[operator]
            return f"{name} must be digits from 0 to 9"
        if not np.isfinite(array).all():
            return f"{name} holds NaN or infinity"
    return None
