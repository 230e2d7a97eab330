"""Networks and objectives are the files of their packages, which are read without running them."""

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vaebench.pipeline import extensions
from vaebench.pipeline.extensions import Kind, names, parameters

SOURCE = Path(__file__).resolve().parents[1] / "src"
KINDS: tuple[Kind, ...] = ("networks", "objectives")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of its own, with a few files that cannot be run."""
    for kind in KINDS:
        (tmp_path / kind).mkdir()
    monkeypatch.setattr(extensions, "_PACKAGE", tmp_path)
    return tmp_path


def objective(package: Path, name: str, text: str) -> dict[str, type[int] | type[float]]:
    (package / "objectives" / f"{name}.py").write_text(text, encoding="utf-8")
    return parameters.__wrapped__(name)


def test_names() -> None:
    assert names("networks") == ("conv", "deep", "mlp")
    assert names("objectives") == ("autoencoder", "bernoulli", "beta_vae", "calibrated", "elbo", "iwae")


@pytest.mark.parametrize("kind", KINDS)
def test_each_name_is_a_file_and_a_function_in_it(kind: Kind) -> None:
    files = [path for path in (SOURCE / "vaebench" / kind).glob("*.py") if path.name[0] != "_"]
    assert {path.stem for path in files} == set(names(kind))
    for name in names(kind):
        assert inspect.isfunction(getattr(import_module(f"vaebench.{kind}.{name}"), name))


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_files_without_an_underscore(package: Path, kind: Kind) -> None:
    for file in ("zeta.py", "alpha.py", "b2.py", "__init__.py", "_shared.py", "notes.md", "alpha.pyc"):
        (package / kind / file).write_text("raise SystemExit")
    (package / kind / "__pycache__").mkdir()
    assert names.__wrapped__(kind) == ("alpha", "b2", "zeta")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("autoencoder", {}),
        ("bernoulli", {}),
        ("beta_vae", {"beta": float}),
        ("calibrated", {}),
        ("elbo", {}),
        ("iwae", {"draws": int}),
    ],
)
def test_parameters(name: str, expected: dict[str, type]) -> None:
    assert parameters(name) == expected


@pytest.mark.parametrize("name", names("objectives"))
def test_parameters_are_those_of_the_function(name: str) -> None:
    function = getattr(import_module(f"vaebench.objectives.{name}"), name)
    arguments = inspect.signature(function).parameters.values()
    named = {each.name: each.annotation for each in arguments if each.kind is each.KEYWORD_ONLY}
    assert parameters(name) == named
    positional = [each.name for each in arguments if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert positional == ["vae", "images", "noise"]
    # params.yaml must give each, so that none has a default.
    assert all(each.default is each.empty for each in arguments)


def test_parameters_of_a_new_file(package: Path) -> None:
    text = """
raise SystemExit
def other(*, wrong: int): ...
def mine(vae, images, noise, *, steps: int, rate: float, plain, σ: float): ...
"""
    expected = {"steps": int, "rate": float, "plain": float, "σ": float}
    assert objective(package, "mine", text) == expected
    assert [*objective(package, "mine", text)] == [*expected]


def test_order_of_parameters_is_that_of_the_function() -> None:
    for name in names("objectives"):
        function = getattr(import_module(f"vaebench.objectives.{name}"), name)
        keys = [
            key
            for key, each in inspect.signature(function).parameters.items()
            if each.kind is each.KEYWORD_ONLY
        ]
        assert [*parameters(name)] == keys


def test_reading_imports_no_torch() -> None:
    script = """
import json, sys
import vaebench.pipeline.extensions as extensions
found = [extensions.names("networks"), extensions.names("objectives")]
found.append({name: sorted(extensions.parameters(name)) for name in found[1]})
assert "torch" not in sys.modules
assert not [name for name in sys.modules if name.startswith(("vaebench.networks", "vaebench.objectives"))]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    networks, objectives, needed = json.loads(done.stdout)
    assert (tuple(networks), tuple(objectives)) == (names("networks"), names("objectives"))
    assert needed == {name: sorted(parameters(name)) for name in names("objectives")}
