"""The parameter file: what is refused, in which words, and that the committed file passes."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from vaebench.pipeline.params import Params, load_params
from vaebench.pipeline.stage import StageError

ROOT = Path(__file__).resolve().parents[1]

# Each key of a recipe: a value, and what is allowed.
RECIPE: dict[str, tuple[Any, str]] = {
    "epochs": (4, "an integer from 1 to 10000"),
    "batch_size": (128, "an integer from 1 to 65536"),
    "optimizer": ("muon", "adam, muon or sgd"),
    "learning_rate": (0.0005, "a number above 0, up to 1"),
}
RECIPE_KEYS = ", ".join(RECIPE)

VALID: dict[str, Any] = {
    "latent_dim": 7,
    "seeds": [3, 1],
    "precision": "mixed",
    "data": {"dataset": "digits"},
    "classifier": {
        "seeds": [4],
        "epochs": 2,
        "batch_size": 64,
        "learning_rate": 0.003,
        "outlier_share": 0.25,
    },
    "vae": {
        "network": "mlp",
        "recipe": "fast",
        "fast": {key: value for key, (value, _) in RECIPE.items()},
        "report": {key: value for key, (value, _) in RECIPE.items()} | {"optimizer": "adam", "epochs": 5},
    },
    "variants": {"latent_dim": 3, "models": {}},
    "evaluate": {
        "seed": 3,
        "samples": 100,
        "bootstrap": 50,
        "paths": 20,
        "likelihood_images": 30,
        "likelihood_draws": 10,
    },
}


def keys_of(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        yield f"{prefix}{key}", value
        if value and isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")


SECTIONS = {key: value for key, value in keys_of(VALID) if value and isinstance(value, dict)}
LEAVES = [key for key, _ in keys_of(VALID) if key not in SECTIONS]

SEED = "an integer from 0 to 2147483647"
SEEDS = "a list of different integers from 0 to 2147483647"
LATENT_DIM = "an integer from 1 to 512"
EPOCHS = "an integer from 1 to 10000"
BATCH_SIZE = "an integer from 1 to 65536"
LEARNING_RATE = "a number above 0, up to 1"
SAMPLES = "an integer from 64 to 100000"
COUNT = "an integer from 1 to 10000"
BOOTSTRAP = "an integer from 10 to 100000"
ALLOWED = {
    "latent_dim": LATENT_DIM,
    "seeds": SEEDS,
    "precision": "mixed or float32",
    "data.dataset": "mnist, fashion_mnist or digits",
    "classifier.seeds": SEEDS,
    "classifier.epochs": EPOCHS,
    "classifier.batch_size": BATCH_SIZE,
    "classifier.learning_rate": LEARNING_RATE,
    "classifier.outlier_share": "a number from 0 to 1",
    "vae.network": "conv, deep or mlp",
    "vae.recipe": "fast or report",
    **{f"vae.fast.{key}": allowed for key, (_, allowed) in RECIPE.items()},
    **{f"vae.report.{key}": allowed for key, (_, allowed) in RECIPE.items()},
    "variants.latent_dim": LATENT_DIM,
    "variants.models": "a mapping of names to models",
    "evaluate.seed": SEED,
    "evaluate.samples": SAMPLES,
    "evaluate.bootstrap": BOOTSTRAP,
    "evaluate.paths": COUNT,
    "evaluate.likelihood_images": COUNT,
    "evaluate.likelihood_draws": COUNT,
}


def section_of(content: dict[Any, Any], key: str) -> tuple[dict[Any, Any], str]:
    *parents, last = key.split(".")
    for parent in parents:
        content = content[parent]
    return content, last


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def written_with(folder: Path, key: str, value: str) -> Path:
    """Write a file that is valid but for the value of `key`, which stands as a user would type it."""
    content = copy.deepcopy(VALID)
    section, last = section_of(content, key)
    section[last] = "VALUE"
    text = yaml.safe_dump(content, sort_keys=False)
    assert text.count("VALUE") == 1
    return write(folder, text.replace("VALUE", value))


def refusal(path: Path) -> str:
    """Load in vain: return the message, which is one line and begins with the file."""
    with pytest.raises(StageError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# The committed file.


def test_committed_file_is_loaded_from_the_repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = load_params()
    assert params.model_dump(exclude_none=True) == yaml.safe_load((ROOT / "params.yaml").read_text())


def test_committed_recipe_is_the_reports() -> None:
    recipe = load_params(ROOT / "params.yaml").vae.report
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer) == (10, 256, "adam")
    assert recipe.learning_rate == 5e-4


@pytest.mark.parametrize("recipe", ["fast", "report"])
def test_recipe_is_chosen_by_its_name(tmp_path: Path, recipe: str) -> None:
    params = load_params(written_with(tmp_path, "vae.recipe", recipe))
    assert params.vae.chosen == getattr(params.vae, recipe)
    assert params.vae.fast != params.vae.report
    assert params.vae.chosen.model_dump() == VALID["vae"][recipe]


def test_dvc_reads_the_same_numbers_as_the_stages() -> None:
    # DVC reads YAML 1.2, the stages YAML 1.1, and the two differ: 1e-3 is a number in the first alone.
    params = load_params(ROOT / "params.yaml")
    assert YAML(typ="safe").load(ROOT / "params.yaml") == params.model_dump(exclude_none=True)


# What passes.


def test_every_value_arrives(tmp_path: Path) -> None:
    assert load_params(write(tmp_path, yaml.safe_dump(VALID))).model_dump() == VALID


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeds", [0]),
        ("seeds", [2**31 - 1, 0]),
        ("classifier.seeds", [0, 1, 2]),
        ("evaluate.seed", 0),
        ("evaluate.seed", 2**31 - 1),
        ("latent_dim", 1),
        ("latent_dim", 512),
        ("precision", "float32"),
        ("data.dataset", "mnist"),
        ("data.dataset", "fashion_mnist"),
        ("classifier.epochs", 1),
        ("vae.fast.epochs", 10_000),
        ("classifier.batch_size", 1),
        ("vae.fast.batch_size", 65_536),
        ("vae.fast.learning_rate", 1.0e-9),
        ("vae.fast.optimizer", "adam"),
        ("vae.report.optimizer", "muon"),
        ("vae.report.optimizer", "sgd"),
        ("vae.network", "deep"),
        ("classifier.outlier_share", 0.0),
        ("classifier.outlier_share", 1.0),
        ("variants.latent_dim", 512),
        ("vae.report.epochs", 10_000),
        ("vae.recipe", "report"),
        ("classifier.learning_rate", 1.0),
        ("evaluate.samples", 64),
        ("evaluate.samples", 100_000),
        ("evaluate.paths", 1),
        ("evaluate.likelihood_images", 10_000),
        ("evaluate.likelihood_draws", 1),
        ("evaluate.bootstrap", 10),
        ("evaluate.bootstrap", 100_000),
    ],
)
def test_ends_of_the_ranges_pass(tmp_path: Path, key: str, value: object) -> None:
    # In YAML 1.1 a number in scientific notation needs its point.
    text = "1.0e-9" if value == 1.0e-9 else str(value)
    section, last = section_of(load_params(written_with(tmp_path, key, text)).model_dump(), key)
    assert section[last] == value


def test_whole_number_is_a_learning_rate(tmp_path: Path) -> None:
    rate = load_params(written_with(tmp_path, "vae.fast.learning_rate", "1")).vae.fast.learning_rate
    assert isinstance(rate, float)
    assert rate == 1.0


@pytest.mark.parametrize("text", ["1e-05", "5e-4"])
def test_number_that_dvc_writes_is_a_number(tmp_path: Path, text: str) -> None:
    path = written_with(tmp_path, "vae.fast.learning_rate", text)
    assert YAML(typ="safe").load(path)["vae"]["fast"]["learning_rate"] == float(text)
    assert load_params(path).vae.fast.learning_rate == float(text)


def test_params_cannot_be_changed(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, yaml.safe_dump(VALID)))
    for section, key in (
        (params, "latent_dim"),
        (params.vae, "recipe"),
        (params.vae.fast, "epochs"),
        (params.data, "dataset"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, getattr(section, key))
    assert params.model_dump() == VALID


# What is refused.


@pytest.mark.parametrize(
    ("key", "text", "got"),
    [
        ("latent_dim", "0", "0"),
        ("latent_dim", "-1", "-1"),
        ("latent_dim", "2.5", "2.5"),
        ("latent_dim", "2.0", "2.0"),
        ("latent_dim", "abc", "'abc'"),
        ("latent_dim", "'5'", "'5'"),
        ("latent_dim", "513", "513"),
        ("latent_dim", "true", "True"),
        ("latent_dim", "null", "None"),
        ("latent_dim", "[5]", "[5]"),
        ("latent_dim", "{a: 5}", "{'a': 5}"),
        ("latent_dim", ".inf", "inf"),
        ("seeds", "[]", "[]"),
        ("seeds", "[0, 1, 0]", "[0, 1, 0]"),
        ("seeds", "0", "0"),
        ("seeds", "'0, 1'", "'0, 1'"),
        ("seeds", "{a: 0}", "{'a': 0}"),
        ("seeds", "null", "None"),
        ("seeds", "[0, -1]", "-1"),
        ("seeds", "[0, 2147483648]", "2147483648"),
        ("seeds", "[x, 0]", "'x'"),
        ("seeds", "['0']", "'0'"),
        ("seeds", "[0.0]", "0.0"),
        ("seeds", "[true]", "True"),
        ("seeds", "[[0]]", "[0]"),
        ("classifier.seeds", "[]", "[]"),
        ("classifier.seeds", "[1, 1]", "[1, 1]"),
        ("classifier.seeds", "[0, a]", "'a'"),
        ("evaluate.seed", "-1", "-1"),
        ("evaluate.seed", "2147483648", "2147483648"),
        ("evaluate.seed", "false", "False"),
        ("precision", "bfloat16", "'bfloat16'"),
        ("precision", "32", "32"),
        ("data.dataset", "cifar", "'cifar'"),
        ("data.dataset", "MNIST", "'MNIST'"),
        ("data.dataset", "1", "1"),
        ("classifier.epochs", "0", "0"),
        ("vae.fast.epochs", "0", "0"),
        ("vae.fast.epochs", "10001", "10001"),
        ("vae.fast.epochs", "1.5", "1.5"),
        ("classifier.outlier_share", "1.1", "1.1"),
        ("classifier.outlier_share", "-0.1", "-0.1"),
        ("vae.network", "resnet", "'resnet'"),
        ("vae.network", "3", "3"),
        ("variants.latent_dim", "0", "0"),
        ("variants.models", "[beta]", "['beta']"),
        ("variants.models", "null", "None"),
        ("vae.recipe", "slow", "'slow'"),
        ("vae.recipe", "null", "None"),
        ("vae.fast.optimizer", "rmsprop", "'rmsprop'"),
        ("vae.fast.optimizer", "Adam", "'Adam'"),
        ("vae.fast.optimizer", "[adam]", "['adam']"),
        ("vae.report.optimizer", "SGD", "'SGD'"),
        ("vae.report.epochs", "0", "0"),
        ("vae.report.learning_rate", ".nan", "nan"),
        ("vae.fast.batch_size", "0", "0"),
        ("classifier.batch_size", "65537", "65537"),
        ("vae.fast.learning_rate", "0", "0"),
        ("vae.fast.learning_rate", "0.0", "0.0"),
        ("vae.fast.learning_rate", "-1", "-1"),
        ("vae.fast.learning_rate", "1.001", "1.001"),
        ("vae.fast.learning_rate", ".nan", "nan"),
        ("vae.fast.learning_rate", ".inf", "inf"),
        ("vae.fast.learning_rate", "-.inf", "-inf"),
        ("vae.fast.learning_rate", "true", "True"),
        ("vae.fast.learning_rate", "fast", "'fast'"),
        ("classifier.learning_rate", ".nan", "nan"),
        ("evaluate.samples", "63", "63"),
        ("evaluate.samples", "100001", "100001"),
        ("evaluate.paths", "0", "0"),
        ("evaluate.likelihood_images", "10001", "10001"),
        ("evaluate.likelihood_draws", "2.5", "2.5"),
        ("evaluate.bootstrap", "9", "9"),
        ("evaluate.bootstrap", "100001", "100001"),
    ],
)
def test_bad_value_is_named_beside_what_is_allowed(tmp_path: Path, key: str, text: str, got: str) -> None:
    assert refusal(written_with(tmp_path, key, text)) == f"{key} must be {ALLOWED[key]}, got {got}"


@pytest.mark.parametrize("key", LEAVES)
def test_missing_key(tmp_path: Path, key: str) -> None:
    content = copy.deepcopy(VALID)
    section, last = section_of(content, key)
    del section[last]
    message = refusal(write(tmp_path, yaml.safe_dump(content)))
    assert message == f"{key} is missing; it must be {ALLOWED[key]}"


@pytest.mark.parametrize("key", SECTIONS)
def test_missing_section(tmp_path: Path, key: str) -> None:
    content = copy.deepcopy(VALID)
    section, last = section_of(content, key)
    del section[last]
    message = refusal(write(tmp_path, yaml.safe_dump(content)))
    assert message == f"{key} is missing; it must be a section with the keys {', '.join(SECTIONS[key])}"


@pytest.mark.parametrize("text", ["3", "null", "mnist", "[epochs, 3]", "true"])
@pytest.mark.parametrize("section", SECTIONS)
def test_section_that_is_not_a_mapping(tmp_path: Path, section: str, text: str) -> None:
    message = refusal(written_with(tmp_path, section, text))
    keys = ", ".join(SECTIONS[section])
    assert message == f"{section} must be a section with the keys {keys}, got {yaml.safe_load(text)!r}"


ALL_KEYS = "latent_dim, seeds, precision, data, classifier, vae, variants, evaluate"


def test_unknown_key(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, yaml.safe_dump({**VALID, "latentdim": 5})))
    assert message == f"unknown key latentdim; allowed here: {ALL_KEYS}"


@pytest.mark.parametrize(
    ("section", "allowed"),
    [
        ("classifier", "seeds, epochs, batch_size, learning_rate, outlier_share"),
        ("vae", "network, recipe, fast, report"),
        ("vae.fast", RECIPE_KEYS),
        ("vae.report", RECIPE_KEYS),
    ],
)
def test_unknown_key_in_a_section(tmp_path: Path, section: str, allowed: str) -> None:
    content = copy.deepcopy(VALID)
    outer, last = section_of(content, section)
    outer[last]["rounds"] = 0.9
    message = refusal(write(tmp_path, yaml.safe_dump(content)))
    assert message == f"unknown key {section}.rounds; allowed here: {allowed}"


def test_recipe_is_not_written_where_it_was(tmp_path: Path) -> None:
    # As before there were two: `-S vae.epochs=3` must not pass without an effect.
    content = {**VALID, "vae": {**VALID["vae"], "epochs": 3}}
    message = refusal(write(tmp_path, yaml.safe_dump(content)))
    assert message == "unknown key vae.epochs; allowed here: network, recipe, fast, report"


def test_slip_in_a_key_is_named_itself(tmp_path: Path) -> None:
    content = copy.deepcopy(VALID)
    del content["vae"]["fast"]["learning_rate"]
    content["vae"]["fast"]["learning_rat"] = 0.1
    message = refusal(write(tmp_path, yaml.safe_dump(content)))
    assert message == f"unknown key vae.fast.learning_rat; allowed here: {RECIPE_KEYS}"


@pytest.mark.parametrize("key", ["3", "on", "null", "2.5"])  # an integer, True, None and a float
def test_unknown_key_that_is_not_text(tmp_path: Path, key: str) -> None:
    assert "allowed here: latent_dim, seeds" in refusal(write(tmp_path, f"{yaml.safe_dump(VALID)}{key}: 1\n"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "5", "seed", "- seed: 0\n"])
def test_file_without_keys(tmp_path: Path, text: str) -> None:
    message = refusal(write(tmp_path, text))
    assert message == f"must hold the keys {ALL_KEYS}"


@pytest.mark.parametrize(
    "text",
    ["vae: {epochs: 1", "seed: 0\n\tvae: 1\n", "a: b: c", "seed: 0\n---\nseed: 1\n", "seed: \x00", "*x"],
)
def test_file_that_is_not_yaml(tmp_path: Path, text: str) -> None:
    assert refusal(write(tmp_path, text)).startswith("is not valid YAML (")


def test_impossible_date_is_not_yaml(tmp_path: Path) -> None:
    refusal(written_with(tmp_path, "latent_dim", "2024-13-45"))


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    message = refusal(written_with(tmp_path, "latent_dim", "!!python/object/apply:os.getpid []"))
    assert message.startswith("is not valid YAML (")


def test_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: \xff\xfe\n")
    assert refusal(path).startswith("is not valid YAML (")


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "cannot be read (No such file or directory); run from the repository root"
    assert refusal(tmp_path / "params.yaml") == missing
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match=r"^params\.yaml: cannot be read"):
        load_params()


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("cannot be read (Is a directory)")


def test_tests_cover_every_parameter() -> None:
    def leaves(section: type[BaseModel], prefix: str = "") -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            inner = field.annotation
            nested = isinstance(inner, type) and issubclass(inner, BaseModel)
            found += leaves(inner, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]  # type: ignore[arg-type]
        return found

    assert sorted(leaves(Params)) == sorted(LEAVES) == sorted(ALLOWED)


def test_comments_and_order_do_not_matter(tmp_path: Path) -> None:
    expected = load_params(write(tmp_path, yaml.safe_dump(VALID, sort_keys=False)))
    reordered = dict(reversed(VALID.items()))
    assert (
        load_params(write(tmp_path, "# a comment\n" + yaml.safe_dump(reordered, sort_keys=False))) == expected
    )
