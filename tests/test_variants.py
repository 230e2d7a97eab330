"""Models beside the sweep in the parameter file: what is refused, in which words, and what each is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from test_params import refusal
from vaebench.pipeline.extensions import names, parameters
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import Model, Params, VaeRecipe, Variant, load_params
from vaebench.pipeline.stage import StageError

ROOT = Path(__file__).resolve().parents[1]

ELBO = {"network": "conv", "objective": "elbo"}
BETA = {"network": "conv", "objective": "beta_vae"}
IWAE = {"network": "conv", "objective": "iwae"}
KEYS = "network, objective, epochs, batch_size, optimizer, learning_rate"
NAME = "variants.models.other"

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a copy of the committed file in which these are the models beside the sweep."""

    def written(models: Any) -> Path:
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        content["variants"]["models"] = models
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return written


# What passes.


def test_committed_variants() -> None:
    params = load_params(ROOT / "params.yaml")
    written = yaml.safe_load((ROOT / "params.yaml").read_text())["variants"]
    assert [*params.variants.models] == [*written["models"]]
    latent_dim, seed = written["latent_dim"], params.seeds[0]
    assert params.variant_keys() == [ModelKey(latent_dim, seed, name) for name in written["models"]]
    for name, variant in written["models"].items():
        about = params.model(name).about()
        assert {key: about[key] for key in variant} == variant


@pytest.mark.parametrize("name", ["b", "beta", "beta_4", "z9", "a" * 40])
def test_good_name(write: Write, name: str) -> None:
    assert [*load_params(write({name: ELBO})).variants.models] == [name]


@pytest.mark.parametrize("objective", names("objectives"))
@pytest.mark.parametrize("network", names("networks"))
def test_every_network_goes_with_every_objective(write: Write, network: str, objective: str) -> None:
    given = dict.fromkeys(parameters(objective), 3)
    model = load_params(write({"other": {"network": network, "objective": objective, **given}})).model(
        "other"
    )
    assert (model.network, model.objective, model.parameters) == (network, objective, given)


@pytest.mark.parametrize(
    ("variant", "key", "value"),
    [(BETA, "beta", 4), (BETA, "beta", 2.5e-7), (BETA, "beta", 1e6), (IWAE, "draws", 1), (IWAE, "draws", 50)],
)
def test_parameter_arrives_as_it_is_written(write: Write, variant: Any, key: str, value: float) -> None:
    found = load_params(write({"other": {**variant, key: value}})).model("other").parameters
    assert found == {key: value}
    assert type(found[key]) is type(value)


def test_no_variant_at_all(write: Write) -> None:
    params = load_params(write({}))
    assert params.variants.models == {}
    assert params.variant_keys() == []


def test_order_is_the_files(write: Write) -> None:
    params = load_params(write({"z": ELBO, "a": ELBO, "m": ELBO}))
    assert [str(key) for key in params.variant_keys()] == ["z", "a", "m"]


# Keys that none has, or that one lacks.


@pytest.mark.parametrize(
    "key", ["rounds", "recipe", "latent_dim", "seed", "parameters", "model_extra", "beta"]
)
def test_unknown_key(write: Write, key: str) -> None:
    message = refusal(write({"other": {**ELBO, key: 3}}))
    assert message == f"unknown key {NAME}.{key}; allowed here: {KEYS}"


@pytest.mark.parametrize("key", ["betta", "draws"])
def test_unknown_key_beside_a_parameter(write: Write, key: str) -> None:
    message = refusal(write({"other": {**BETA, "beta": 4, key: 3}}))
    assert message == f"unknown key {NAME}.{key}; allowed here: {KEYS}, beta"


def test_slip_in_a_parameter_is_named_itself(write: Write) -> None:
    message = refusal(write({"other": {**BETA, "betta": 4}}))
    assert message == f"unknown key {NAME}.betta; allowed here: {KEYS}, beta"


@pytest.mark.parametrize(("variant", "key"), [(BETA, "beta"), (IWAE, "draws")])
def test_objective_without_its_parameter(write: Write, variant: Any, key: str) -> None:
    message = refusal(write({"other": variant}))
    assert message == f"{NAME}.{key} is missing; the objective {variant['objective']} needs it"


@pytest.mark.parametrize(
    ("key", "allowed"), [("network", names("networks")), ("objective", names("objectives"))]
)
def test_network_and_objective_are_needed(write: Write, key: str, allowed: tuple[str, ...]) -> None:
    *others, last = allowed
    variant = {name: value for name, value in ELBO.items() if name != key}
    assert refusal(write({"other": variant})) == f"{NAME}.{key} is missing; it must be " + (
        f"{', '.join(others)} or {last}"
    )


def test_every_variant_is_checked(write: Write) -> None:
    assert refusal(write({"first": ELBO, "other": BETA, "last": ELBO})).startswith(f"{NAME}.beta is missing")


# Values.


@pytest.mark.parametrize(
    "value", [0, -1, -0.5, True, False, "4", None, [4], {"a": 4}, float("inf"), float("nan")]
)
def test_number_that_is_not_above_zero(write: Write, value: object) -> None:
    message = refusal(write({"other": {**BETA, "beta": value}}))
    assert message == f"{NAME}.beta must be a number above 0, up to 1000000, got {value!r}"


@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, True, "4", None, [4], float("inf")])
def test_number_that_is_not_whole_or_too_small(write: Write, value: object) -> None:
    message = refusal(write({"other": {**IWAE, "draws": value}}))
    assert message == f"{NAME}.draws must be an integer from 1 to 10000, got {value!r}"


@pytest.mark.parametrize("value", ["transformer", "Conv", "__init__", "elbo", "", 3, None, ["conv"]])
def test_unknown_network(write: Write, value: object) -> None:
    message = refusal(write({"other": {**ELBO, "network": value}}))
    assert message == f"{NAME}.network must be conv, deep or mlp, got {value!r}"


@pytest.mark.parametrize("value", ["hope", "ELBO", "__init__", "conv", "", 3, None, {"elbo": 1}])
def test_unknown_objective(write: Write, value: object) -> None:
    allowed = "autoencoder, bernoulli, beta_vae, calibrated, elbo or iwae"
    message = refusal(write({"other": {**ELBO, "objective": value}}))
    assert message == f"{NAME}.objective must be {allowed}, got {value!r}"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("epochs", 0, "an integer from 1 to 10000"),
        ("epochs", 10_001, "an integer from 1 to 10000"),
        ("epochs", True, "an integer from 1 to 10000"),
        ("epochs", 2.0, "an integer from 1 to 10000"),
        ("batch_size", "64", "an integer from 1 to 65536"),
        ("batch_size", 65_537, "an integer from 1 to 65536"),
        ("optimizer", "lion", "adam, muon or sgd"),
        ("learning_rate", 0, "a number above 0, up to 1"),
        ("learning_rate", 1.5, "a number above 0, up to 1"),
        ("learning_rate", "fast", "a number above 0, up to 1"),
    ],
)
def test_what_it_changes_of_the_recipe_is_checked(
    write: Write, key: str, value: object, allowed: str
) -> None:
    message = refusal(write({"other": {**ELBO, key: value}}))
    assert message == f"{NAME}.{key} must be {allowed}, got {value!r}"


# Names.


@pytest.mark.parametrize(
    "name", ["Beta", "a/b", "d5-s0", "", "5", "5-0", "_a", "a b", "a.b", "..", "ä", "[key]", "a\n", "a" * 41]
)
def test_bad_name(write: Write, name: str) -> None:
    message = refusal(write({name: ELBO}))
    expected = "a name has small letters, digits and _, a letter first"
    assert message == f"variants.models: {expected}, got {name!r}"


def test_no_name_is_that_of_a_model_of_the_sweep(write: Write) -> None:
    for key in (ModelKey(5, 0), ModelKey(512, 2**31 - 1)):
        for name in (str(key), key.item):
            assert refusal(write({name: ELBO})).startswith("variants.models: a name has")


def test_same_name_twice(write: Write) -> None:
    path = write("MODELS")
    line = "{network: conv, objective: elbo}"
    text = path.read_text().replace("models: MODELS", f"models:\n    beta: {line}\n    beta: {line}")
    path.write_text(text)
    assert refusal(path) == 'the key "beta" stands twice; each needs a name of its own'
    path.write_text(text.replace("    beta: ", "    other: ", 1))
    assert [*load_params(path).variants.models] == ["other", "beta"]


def test_same_key_twice_in_a_variant(write: Write) -> None:
    path = write("MODELS")
    models = "models:\n    beta: {network: conv, objective: elbo, network: mlp}"
    path.write_text(path.read_text().replace("models: MODELS", models))
    assert refusal(path) == 'the key "network" stands twice; each needs a name of its own'


# What is no mapping.


@pytest.mark.parametrize("value", [3, None, True, "beta", ["beta"], [{"beta": ELBO}]])
def test_models_that_are_no_mapping(write: Write, value: object) -> None:
    message = refusal(write(value))
    assert message == f"variants.models must be a mapping of names to models, got {value!r}"


@pytest.mark.parametrize("value", [3, None, True, "elbo", ["conv", "elbo"]])
def test_variant_that_is_no_mapping(write: Write, value: object) -> None:
    message = refusal(write({"other": value}))
    assert message == f"{NAME} must be a section with the keys {KEYS}, got {value!r}"


def test_key_of_the_section_that_it_does_not_have(write: Write) -> None:
    path = write({})
    path.write_text(path.read_text().replace("variants:\n", "variants:\n  seed: 3\n"))
    assert refusal(path) == "unknown key variants.seed; allowed here: latent_dim, models"


def test_keys_that_messages_name_are_a_variants() -> None:
    assert ", ".join(Variant.model_fields) == KEYS
    assert set(VaeRecipe.model_fields) < set(Variant.model_fields)  # all of a recipe may be changed


# What a model is.


@pytest.fixture
def params(write: Write) -> Params:
    return load_params(
        write(
            {
                "plain": {"network": "mlp", "objective": "bernoulli"},
                "beta": {**BETA, "beta": 4},
                "long": {**ELBO, "epochs": 40},
                "own": {**IWAE, "draws": 2, "learning_rate": 0.125, "optimizer": "sgd", "batch_size": 7},
            }
        )
    )


def with_recipe(params: Params, recipe: str) -> Params:
    return params.model_copy(update={"vae": params.vae.model_copy(update={"recipe": recipe})})


@pytest.mark.parametrize("recipe", ["fast", "report"])
def test_model_of_the_sweep(params: Params, recipe: str) -> None:
    model = with_recipe(params, recipe).model()
    chosen: VaeRecipe = getattr(params.vae, recipe)
    assert params.vae.fast != params.vae.report
    assert model == Model(params.vae.network, "elbo", {}, recipe, chosen, f"vae.{recipe}.learning_rate")
    assert model.about() == {
        "network": params.vae.network,
        "objective": "elbo",
        "recipe": recipe,
        **chosen.model_dump(),
    }


@pytest.mark.parametrize("recipe", ["fast", "report"])
def test_variant_by_the_recipe_of_the_sweep(params: Params, recipe: str) -> None:
    model = with_recipe(params, recipe).model("plain")
    chosen: VaeRecipe = getattr(params.vae, recipe)
    assert model == Model("mlp", "bernoulli", {}, recipe, chosen, f"vae.{recipe}.learning_rate")


def test_variant_with_a_parameter(params: Params) -> None:
    model = params.model("beta")
    assert (model.network, model.objective, model.parameters) == ("conv", "beta_vae", {"beta": 4})
    assert model.recipe == params.vae.chosen
    assert model.about()["beta"] == 4


@pytest.mark.parametrize("recipe", ["fast", "report"])
def test_variant_that_trains_longer(params: Params, recipe: str) -> None:
    model = with_recipe(params, recipe).model("long")
    chosen: VaeRecipe = getattr(params.vae, recipe)
    assert chosen.epochs != 40
    assert model.recipe.model_dump() == {**chosen.model_dump(), "epochs": 40}
    assert model.rate == f"vae.{recipe}.learning_rate"


def test_variant_with_most_of_a_recipe_of_its_own(params: Params) -> None:
    model = params.model("own")
    assert model.recipe.model_dump() == {
        "epochs": params.vae.chosen.epochs,
        "batch_size": 7,
        "optimizer": "sgd",
        "learning_rate": 0.125,
    }
    assert model.rate == "variants.models.own.learning_rate"
    assert model.parameters == {"draws": 2}
    assert model.about() == {
        "network": "conv",
        "objective": "iwae",
        "draws": 2,
        "recipe": "fast",
        **model.recipe.model_dump(),
    }


def test_variants_leave_the_sweep_as_it_is(params: Params) -> None:
    before = params.vae.chosen.model_dump()
    for name in params.variants.models:
        params.model(name)
    assert params.model().recipe.model_dump() == before


def test_unknown_variant(params: Params) -> None:
    with pytest.raises(StageError) as caught:
        params.model("gamma")
    expected = "params.yaml: variants.models has no 'gamma'; it has plain, beta, long, own"
    assert str(caught.value) == expected
