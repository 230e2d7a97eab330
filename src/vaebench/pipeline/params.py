"""The parameters of the benchmark: `params.yaml`, checked once.

It is read as YAML 1.2, as DVC writes it: 1e-05 is a number there, and text in YAML 1.1.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

import typer
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.extensions import names, parameters
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.stage import StageError

PARAMS_FILE = Path("params.yaml")
_UNKNOWN = ("extra_forbidden", "invalid_key")  # pydantic's words for a key that no field has


def _different(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("doubled")
    return seeds


# Of an objective's parameters, by their types.
MOST: dict[type, float] = {int: 10_000, float: 1e6}
_NUMBERS: dict[type, str] = {int: "an integer from 1 to 10000", float: "a number above 0, up to 1000000"}


def _one_of(allowed: Collection[str]) -> Any:
    """Return the type of a text that is one of these."""
    *others, last = allowed

    def check(name: str) -> str:
        if name not in allowed:
            raise ValueError("unknown")
        return name

    return Annotated[str, AfterValidator(check), Field(description=f"{', '.join(others)} or {last}")]


def _described(form: Any) -> str:
    """Return what the description of an annotated type says."""
    [field] = [each for each in form.__metadata__ if isinstance(each, FieldInfo)]
    return str(field.description)


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
Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
Samples = Annotated[int, Field(ge=64, le=100_000, description="an integer from 64 to 100000")]
Count = Annotated[int, Field(ge=1, le=10_000, description="an integer from 1 to 10000")]
Resamples = Annotated[int, Field(ge=10, le=100_000, description="an integer from 10 to 100000")]
if TYPE_CHECKING:
    DatasetName: TypeAlias = str
    Network: TypeAlias = str
    ObjectiveName: TypeAlias = str
else:
    DatasetName, Network, ObjectiveName = map(_one_of, (DATASETS, names("networks"), names("objectives")))
VariantName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,39}$")]
Panel = Literal["plain", "exposed"]
PANELS: tuple[Panel, ...] = get_args(Panel)
RecipeName = Literal["fast", "report"]
OptimizerName = Annotated[Literal["adam", "muon", "sgd"], Field(description="adam, muon or sgd")]
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
    outlier_share: Share  # images that show no digit, for each that shows one


class VaeRecipe(_Section):
    """One way of training a variational autoencoder."""

    epochs: Epochs
    batch_size: BatchSize
    optimizer: OptimizerName
    learning_rate: LearningRate  # Adam's and SGD's; muon's is the peak of its one-cycle schedule


class VaeParams(_Section):
    """How each variational autoencoder is trained: its network, by one of two recipes."""

    network: Network
    recipe: RecipeName = Field(description="fast or report")
    fast: VaeRecipe
    report: VaeRecipe

    @property
    def chosen(self) -> VaeRecipe:
        """The recipe that `recipe` names."""
        return self.fast if self.recipe == "fast" else self.report


class Variant(_Section):
    """A model beside the sweep: its network and objective, and what its recipe changes of the sweep's.

    The parameters of its objective are keys of it besides.
    """

    model_config = ConfigDict(extra="allow")

    network: Network
    objective: ObjectiveName
    epochs: Epochs | None = Field(None, description=_described(Epochs))
    batch_size: BatchSize | None = Field(None, description=_described(BatchSize))
    optimizer: OptimizerName | None = Field(None, description=_described(OptimizerName))
    learning_rate: LearningRate | None = Field(None, description=_described(LearningRate))

    @property
    def changes(self) -> dict[str, Any]:
        """What it changes of the sweep's recipe."""
        own = self.model_dump(include=set(VaeRecipe.model_fields))
        return {name: value for name, value in own.items() if value is not None}

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of its objective."""
        return {**(self.model_extra or {})}

    def problem(self, name: str) -> str | None:
        """Say what is wrong with the parameters of its objective, if something is."""
        wanted = parameters(self.objective)
        for key, value in self.parameters.items():
            if key not in wanted:
                allowed = ", ".join([*type(self).model_fields, *wanted])
                return f"unknown key {name}.{' '.join(key.split())}; allowed here: {allowed}"
            kind = wanted[key]
            number = isinstance(value, int | kind) and not isinstance(value, bool)
            if not (number and 0 < value <= MOST[kind]):
                return f"{name}.{key} must be {_NUMBERS[kind]}, got {value!r}"
        for key in wanted.keys() - self.parameters.keys():
            return f"{name}.{key} is missing; the objective {self.objective} needs it"
        return None


class VariantsParams(_Section):
    """Models beside the sweep, all with as many latent dimensions."""

    latent_dim: LatentDim
    models: dict[VariantName, Variant] = Field(description="a mapping of names to models")


@dataclass(frozen=True)
class Model:
    """What one model is, and how it is trained."""

    network: str
    objective: str
    parameters: dict[str, float]  # of the objective
    recipe_name: str
    recipe: VaeRecipe
    rate: str  # the key that sets its learning rate

    def about(self) -> dict[str, Any]:
        """Return all of it by name, for the record."""
        own = {"network": self.network, "objective": self.objective, **self.parameters}
        return {**own, "recipe": self.recipe_name, **self.recipe.model_dump()}


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
    variants: VariantsParams
    evaluate: EvaluateParams

    def variant_keys(self) -> list[ModelKey]:
        """Return the models beside the sweep, in their order."""
        return [ModelKey(self.variants.latent_dim, self.seeds[0], name) for name in self.variants.models]

    def model(self, variant: str = "") -> "Model":
        """Return what a model of the sweep is, or the variant of that name.

        Raises:
            StageError: there is none.
        """
        base, rate = self.vae.chosen, f"vae.{self.vae.recipe}.learning_rate"
        if not variant:
            return Model(self.vae.network, "elbo", {}, self.vae.recipe, base, rate)
        found = self.variants.models.get(variant)
        if found is None:
            known = ", ".join(self.variants.models)
            raise StageError(f"{PARAMS_FILE}: variants.models has no {variant!r}; it has {known}")
        recipe = base.model_copy(update=found.changes)
        if found.learning_rate:
            rate = f"variants.models.{variant}.learning_rate"
        return Model(found.network, found.objective, found.parameters, self.vae.recipe, recipe, rate)


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
PanelOption = Annotated[Panel, typer.Option(help="Which panel it is a member of.")]
VariantOption = Annotated[str, typer.Option(help="The model's name in params.yaml; of the sweep, none.")]
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
    except DuplicateKeyError as error:
        name = (error.problem or "").removeprefix("found duplicate key ").partition(" with value ")[0]
        raise StageError(f"{path}: the key {name} stands twice; each needs a name of its own") from error
    except (YAMLError, ValueError) as error:
        raise StageError(f"{path}: is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise StageError(f"{path}: must hold the keys {_keys(Params)}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise StageError(f"{path}: {_explain(error)}") from error
    for name, variant in params.variants.models.items():
        if problem := variant.problem(f"variants.models.{name}"):
            raise StageError(f"{path}: {problem}")
    return params


def _explain(error: ValidationError) -> str:
    """Say of one problem which key it is and what is allowed; an unknown key, maybe a slip, comes first."""
    problem = min(error.errors(), key=lambda each: each["type"] not in _UNKNOWN)
    # A number is a key that is none, or a place in a list.
    parts = [part for part in problem["loc"] if isinstance(part, str) or problem["type"] in _UNKNOWN]
    if problem["loc"][-1] == "[key]":  # which follows a name that is none
        key = ".".join(map(str, problem["loc"][:-2]))
        return f"{key}: a name has small letters, digits and _, a letter first, got {problem['loc'][-2]!r}"
    *parents, last = map(str, parts)
    key = ".".join([*parents, last])
    section: Any = Params
    for parent in parents:
        section = _inside(section, parent)
    if get_origin(section) is dict:
        form = _keys(_inside(section, last))
        return f"{key} must be a section with the keys {form}, got {problem['input']!r}"
    if problem["type"] in _UNKNOWN:
        return f"unknown key {key}; allowed here: {_keys(section)}"
    field = section.model_fields[last]
    allowed = field.description or f"a section with the keys {_keys(field.annotation)}"
    if problem["type"] == "missing":
        return f"{key} is missing; it must be {allowed}"
    return f"{key} must be {allowed}, got {problem['input']!r}"


def _inside(section: Any, key: str) -> Any:
    """Return the type of a section's key; of a mapping, the type of its values."""
    return get_args(section)[1] if get_origin(section) is dict else section.model_fields[key].annotation


def _keys(section: type[BaseModel]) -> str:
    return ", ".join(section.model_fields)
