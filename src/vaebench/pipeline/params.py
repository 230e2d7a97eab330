"""The parameters of the benchmark: `params.yaml`, checked once.

It is read as YAML 1.2, as DVC writes it: 1e-05 is a number there, and text in YAML 1.1.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vaebench.pipeline.datasets import DATASETS, named
from vaebench.pipeline.stage import StageError

PARAMS_FILE = Path("params.yaml")
_UNKNOWN = ("extra_forbidden", "invalid_key")  # pydantic's words for a key that no field has


def _known(dataset: str) -> str:
    if dataset not in DATASETS:
        raise ValueError("unknown")
    return dataset


def _different(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("doubled")
    return seeds


# The description is what an error message says is allowed.
_SEED_ALLOWED = "an integer from 0 to 2147483647"
Seed = Annotated[int, Field(ge=0, lt=2**31, description=_SEED_ALLOWED)]
_LATENT_DIM_ALLOWED = "an integer from 1 to 512"
Seeds = Annotated[
    list[Seed],
    Field(min_length=1, description="a list of different integers from 0 to 2147483647"),
    AfterValidator(_different),
]
LatentDim = Annotated[int, Field(ge=1, le=512, description=_LATENT_DIM_ALLOWED)]
Epochs = Annotated[int, Field(ge=1, le=10_000, description="an integer from 1 to 10000")]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="an integer from 1 to 65536")]
LearningRate = Annotated[float, Field(gt=0, le=1, description="a number above 0, up to 1")]
Samples = Annotated[int, Field(ge=64, le=100_000, description="an integer from 64 to 100000")]
Count = Annotated[int, Field(ge=1, le=10_000, description="an integer from 1 to 10000")]
Resamples = Annotated[int, Field(ge=10, le=100_000, description="an integer from 10 to 100000")]
DatasetName = Annotated[str, Field(description=named()), AfterValidator(_known)]
RecipeName = Literal["fast", "report"]
OptimizerName = Literal["adam", "muon"]
Precision = Literal["mixed", "float32"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataParams(_Section):
    """Which images everything is trained and scored on."""

    dataset: DatasetName


class ClassifierParams(_Section):
    """How the digit classifier is trained."""

    seeds: Seeds  # one a member of the panel
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate  # peak of the one-cycle schedule


class VaeRecipe(_Section):
    """One way of training a variational autoencoder."""

    epochs: Epochs
    batch_size: BatchSize
    optimizer: OptimizerName = Field(description="adam or muon")
    learning_rate: LearningRate  # Adam's; muon's is the peak of its one-cycle schedule


class VaeParams(_Section):
    """How each variational autoencoder is trained: by one of two recipes."""

    recipe: RecipeName = Field(description="fast or report")
    fast: VaeRecipe
    report: VaeRecipe

    @property
    def chosen(self) -> VaeRecipe:
        """The recipe that `recipe` names."""
        return self.fast if self.recipe == "fast" else self.report


class EvaluateParams(_Section):
    """How many draws stand behind the scores."""

    seed: Seed  # of all draws
    samples: Samples  # images decoded from N(0, I)
    bootstrap: Resamples  # resamples behind the inception score's 95 % interval
    paths: Count  # interpolations between test digits
    likelihood_images: Count  # test images of the importance-weighted bound
    likelihood_draws: Count  # its k


class Params(_Section):
    """All of `params.yaml`. There are no defaults here: the file holds them."""

    latent_dim: LatentDim  # the model under study
    seeds: Seeds  # each model's trainings
    precision: Precision = Field(description="mixed or float32")
    data: DataParams
    classifier: ClassifierParams
    vae: VaeParams
    evaluate: EvaluateParams


def _parse_latent_dim(text: str) -> int:
    return _parsed(text, TypeAdapter(LatentDim), _LATENT_DIM_ALLOWED)


def _parse_seed(text: str) -> int:
    return _parsed(text, TypeAdapter(Seed), _SEED_ALLOWED)


def _parsed(text: str, form: TypeAdapter[int], allowed: str) -> int:
    try:
        return form.validate_python(int(text))
    except ValueError as error:
        raise typer.BadParameter(f"must be {allowed}, got {text!r}") from error


# On the command line of a stage.
LatentDimOption = Annotated[
    int, typer.Option(parser=_parse_latent_dim, help="Dimensions of the latent space.")
]
SeedOption = Annotated[int, typer.Option(parser=_parse_seed, help="What the training starts from.")]
ModelOption = Annotated[int, typer.Option(parser=_parse_latent_dim, help="The model under study.")]
LatentDimsOption = Annotated[
    list[int], typer.Option("--latent-dim", parser=_parse_latent_dim, help="Each model of the benchmark.")
]
SeedsOption = Annotated[
    list[int], typer.Option("--seed", parser=_parse_seed, help="Each of their trainings.")
]


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the parameter file.

    Raises:
        StageError: the file is missing or not YAML, or a key is unknown, missing, of the wrong type or out of
            range; the message names the key and what is allowed.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StageError(
            f"{path}: cannot be read ({error.strerror}); run from the repository root"
        ) from error
    except (YAMLError, ValueError) as error:
        raise StageError(f"{path}: is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise StageError(f"{path}: must hold the keys {_keys(Params)}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise StageError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """Say of one problem which key it is and what is allowed; an unknown key, maybe a slip, comes first."""
    problem = min(error.errors(), key=lambda each: each["type"] not in _UNKNOWN)
    # A number is a key that is none, or a place in a list.
    parts = [part for part in problem["loc"] if isinstance(part, str) or problem["type"] in _UNKNOWN]
    *parents, last = map(str, parts)
    key = ".".join([*parents, last])
    section: Any = Params
    for parent in parents:
        section = section.model_fields[parent].annotation
    if problem["type"] in _UNKNOWN:
        return f"unknown key {key}; allowed here: {_keys(section)}"
    field = section.model_fields[last]
    allowed = field.description or f"a section with the keys {_keys(field.annotation)}"
    if problem["type"] == "missing":
        return f"{key} is missing; it must be {allowed}"
    return f"{key} must be {allowed}, got {problem['input']!r}"


def _keys(section: type[BaseModel]) -> str:
    return ", ".join(section.model_fields)
