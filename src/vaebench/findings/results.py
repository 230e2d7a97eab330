"""The results that one stage hands to the next as JSON and CSV, checked where they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from vaebench.pipeline.files import UnusableFileError, read_json, read_text
from vaebench.pipeline.key import ModelKey

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("reconstruction_loss", "kl_loss", "combined_loss")


def _known_scores(scores: dict[str, float]) -> dict[str, float]:
    from vaebench.findings.table import SCORES

    if strangers := sorted(scores.keys() - set(SCORES)):
        raise ValueError(f"unknown scores: {', '.join(strangers)}")
    return scores


def _all_scores(scores: dict[str, float]) -> dict[str, float]:
    from vaebench.findings.table import SCORES

    if missing := [name for name in SCORES if name not in scores]:
        raise ValueError(f"missing scores: {', '.join(missing)}")
    return _known_scores(scores)


Scores = Annotated[dict[str, float], AfterValidator(_known_scores)]
AllScores = Annotated[dict[str, float], AfterValidator(_all_scores)]
_Ten = Field(min_length=10, max_length=10)
Counts = Annotated[list[Annotated[list[int], _Ten]], _Ten]  # (10, 10)
Shares = Annotated[list[Annotated[list[float], _Ten]], _Ten]  # (10, 10)


class Result(BaseModel):
    """A file of results. It may say more than is named here."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Classifier(Result):
    """What `train_classifier` says of a training."""

    panel: str
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    outlier_share: float
    training_precision: str
    test_accuracy: float
    expected_calibration_error: float


class Training(Result):
    """What `train_vae` says of a training."""

    latent_dim: int
    seed: int
    network: str
    objective: str
    recipe: str
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    training_precision: str
    threads: int
    training_seconds: float
    images_per_second: float
    parameters: int


class Reproduction(Result):
    """What `reproduce_report` says of a training."""

    latent_dim: int
    seed: int
    kl_loss: float
    reconstruction_loss: float
    combined_loss: float
    training_seconds: float


class Drawn(Result):
    """What scores are of."""

    evaluation_seed: int
    train_images: int
    test_images: int
    samples: int
    likelihood_images: int


class Evaluation(Drawn):
    """What `evaluate` finds of a model."""

    latent_dim: int
    seed: int
    vae: AllScores
    pca: Scores
    kl_spectrum: list[float]
    active: list[bool]
    confusion: Counts
    overlap: Shares

    @model_validator(mode="after")
    def _as_long_as_the_latents(self) -> Self:
        if not len(self.kl_spectrum) == len(self.active) == self.latent_dim:
            raise ValueError(
                f"kl_spectrum and active must have {self.latent_dim} entries, as latent_dim says"
            )
        return self


class References(Drawn):
    """What `evaluate_references` finds."""

    inception_score_ceiling: float
    test_scores: Scores = Field(alias="test images")
    noise_scores: Scores = Field(alias="pixel noise")
    panel: int  # how many classifiers
    panel_test_accuracy: float
    panel_confusion: Counts


def read_result(path: Path, form: type[Result], key: ModelKey | None = None) -> dict[str, Any]:
    """Return the JSON of a result as it stands in the file.

    Args:
        path: the file.
        form: what it must hold.
        key: which model it must be of, if of one.

    Raises:
        UnusableFileError: it is no JSON, lacks something, or is of another model.
    """
    content = read_json(path)
    try:
        form.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(f"{part}: " for part in (".".join(map(str, problem["loc"])),) if part)
        raise UnusableFileError(path, f"{place}{problem['msg']}") from error
    if key and (found := ModelKey(content["latent_dim"], content["seed"], content.get("variant", ""))) != key:
        raise UnusableFileError(path, f"is of {found.title}, not of {key.title}")
    return content


def read_curve(path: Path, *, tested: bool, losses: Sequence[str] = LOSSES) -> "pd.DataFrame":
    """Return the losses of every epoch: a row an epoch, at least one.

    Args:
        path: the file.
        tested: whether it has the losses of the test images, too.
        losses: which it must have.

    Raises:
        UnusableFileError: it is no such table.
    """
    tests = [f"test_{loss}" for loss in losses] if tested else []
    return _complete(path, _read_table(path, ["epoch", *losses, *tests]))


def read_report(path: Path) -> "pd.DataFrame":
    """Return the report's table: a row a dimension.

    Raises:
        UnusableFileError: it is no such table.
    """
    return _complete(path, _read_table(path, ["latent_dim", *LOSSES]))


def read_benchmark(path: Path) -> "pd.DataFrame":
    """Return the table that `vaebench.findings.table.benchmark_table` makes.

    Raises:
        UnusableFileError: it is no such table.
    """
    from vaebench.findings.table import COLUMNS, TEXTS

    table = _read_table(path, [column for column in COLUMNS if column not in TEXTS], TEXTS)
    for model in ("VAE", "test images", "pixel noise"):
        if model not in set(table["model"]):
            raise UnusableFileError(path, f"has no row of {model}")
    if table.loc[table["model"].isin(["VAE", "PCA"]), "latent_dim"].isna().any():
        raise UnusableFileError(path, "has a model without a latent dimension")
    return table


def read_trainings(path: Path) -> "pd.DataFrame":
    """Return the table that `vaebench.findings.table.trainings_table` makes.

    Raises:
        UnusableFileError: it is no such table.
    """
    from vaebench.findings.table import NUMBERS

    return _read_table(path, ["latent_dim", "seed", *NUMBERS])


def read_keys(path: Path) -> list[ModelKey]:
    """Return whose numbers that table has, by rising dimension, the seeds in their order.

    Raises:
        UnusableFileError: it is no such table.
    """
    table = read_trainings(path)
    pairs = zip(table["latent_dim"], table["seed"], strict=True)
    return [ModelKey(int(latent_dim), int(seed)) for latent_dim, seed in pairs]


def _read_table(path: Path, numbers: Sequence[str], texts: Sequence[str] = ()) -> "pd.DataFrame":
    import pandas as pd

    read_text(path)
    try:
        table = pd.read_csv(path)
    except ValueError as error:
        raise UnusableFileError(path, f"is no CSV table ({error})") from error
    for column in (*texts, *numbers):
        if column not in table:
            raise UnusableFileError(path, f"has no column {column}")
    if table.empty:
        raise UnusableFileError(path, "has no row")
    for column in numbers:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise UnusableFileError(path, f"column {column} must hold numbers")
    return table


def _complete(path: Path, table: "pd.DataFrame") -> "pd.DataFrame":
    if table.isna().any(axis=None):
        raise UnusableFileError(path, "has an empty cell")
    return table
