"""dvc.yaml declares what the stages use: held against their imports, their parameters and their files."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from projects import SWEPT, clone, set_sweep, succeed
from vaebench.pipeline.params import PANELS
from vaebench.pipeline.paths import RESULT_FOLDERS, WRITERS

ROOT = Path(__file__).parents[1]
NAMED = ("src/vaebench/networks/", "src/vaebench/objectives/")  # a file each
TEXT = (ROOT / "dvc.yaml").read_text()
WHOLE: dict[str, Any] = yaml.safe_load(TEXT)["stages"]
PIPELINE: dict[str, Any] = {stage: about.get("do", about) for stage, about in WHOLE.items()}
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def modules_imported_by(path: Path) -> set[str]:
    """The vaebench modules that a file names in import statements, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("vaebench") and source(name)}


def source(module: str) -> Path | None:
    place = ROOT / "src" / Path(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def script_of(stage: str) -> str:
    """The script that a stage runs: its own, or that of the stage that it varies."""
    return {"train_variant": "train_vae"}.get(stage, stage)


def chosen(stage: str) -> set[str]:
    """The files of networks and objectives that a stage finds by their names."""
    return {path for path in declared(stage, "deps") if path.startswith(NAMED)}


@cache
def code_used_by(stage: str) -> frozenset[str]:
    """Every source file that can change what a stage writes, from the repository root."""
    script = ROOT / "stages" / f"{script_of(stage)}.py"
    found, waiting = {script}, [script]
    while waiting:
        for module in modules_imported_by(waiting.pop()):
            path = source(module)
            # These carry values and watch, but for one: see the docstring of vaebench.pipeline.
            carries = path and {"pipeline", "tracking"} & set(path.parts) and path.name != "datasets.py"
            if path and path not in found and not carries:
                found.add(path)
                waiting.append(path)
    imported = {path.relative_to(ROOT).as_posix() for path in found if has_code(path)}
    return frozenset({path for path in imported if not path.startswith(NAMED)})


def has_code(path: Path) -> bool:
    """Whether a file holds more than its docstring."""
    return len(ast.parse(path.read_text()).body) > 1


def declared(stage: str, kind: str) -> list[str]:
    """The stage's declared paths, each without its options."""
    entries = PIPELINE[stage].get(kind, [])
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("stage", PIPELINE)
def test_stage_has_its_script(stage: str) -> None:
    assert f"python stages/{script_of(stage)}.py" in PIPELINE[stage]["cmd"]
    assert (ROOT / "stages" / f"{script_of(stage)}.py").is_file()


@pytest.mark.parametrize("stage", PIPELINE)
def test_any_shell_runs_the_command(stage: str) -> None:
    """DVC leaves it to the user's, which may be csh: plain words, and the first is a program."""
    words = re.sub(r"\$\{[\w.\[\]]+\}", "5", PIPELINE[stage]["cmd"]).split(" ")
    assert words[0] == "env"
    assert all(re.fullmatch(r"[\w./=-]+", word) for word in words)


def test_every_script_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {*map(script_of, PIPELINE)}


@pytest.mark.parametrize("stage", PIPELINE)
def test_declared_code_is_the_code_used(stage: str) -> None:
    """A package that is declared is used in part at least."""
    used = code_used_by(stage)
    code = [path for path in declared(stage, "deps") if path.startswith(("src/", "stages/"))]
    code = [path for path in code if path not in chosen(stage)]
    covered = {
        path: {file for file in used if path in (file, *map(str, Path(file).parents))} for path in code
    }
    assert set().union(*covered.values()) == used
    assert all(covered.values())


def test_stage_that_builds_models_declares_their_network_and_objective() -> None:
    """They are found by their names, which no import tells."""
    building = {stage for stage in PIPELINE if "src/vaebench/models" in declared(stage, "deps")}
    building -= {"train_classifier", "evaluate_references"}
    assert {stage for stage in PIPELINE if chosen(stage)} == building
    elbo = "src/vaebench/objectives/elbo.py"
    swept = {"src/vaebench/networks/${vae.network}.py", elbo}
    assert {stage: chosen(stage) for stage in building} == {
        "train_vae": swept,
        "evaluate": swept,
        "reproduce_report": {"src/vaebench/networks/conv.py", elbo},
        "train_variant": {
            "src/vaebench/networks/${item.network}.py",
            "src/vaebench/objectives/${item.objective}.py",
        },
    }


def parameters_read(stage: str) -> set[str]:
    """The keys that a script takes of `params`: a section, or of the recipes the one that it uses."""
    chains = set()
    for node in ast.walk(ast.parse((ROOT / "stages" / f"{script_of(stage)}.py").read_text())):
        chain = re.match(r"(?:params|load_params\(\))\.(\w+(?:\.\w+)?)", ast.unparse(node))
        if chain and isinstance(node, ast.Attribute):
            chains.add(chain[1])
    whole = {chain for chain in chains if chain.startswith("vae") or chain == "classifier.seeds"}
    keys = {chain if chain in whole else chain.split(".")[0] for chain in chains}
    if "model" in keys:  # what one model is: of a variant, what its line says
        own = "variants.models.${key}" if stage == "train_variant" else "vae.network"
        keys = keys - {"model"} | {"vae.recipe", "vae.${vae.recipe}", own}
    return keys - {"vae"} - ({"classifier"} if "classifier.seeds" in keys else set())


@pytest.mark.parametrize("stage", PIPELINE)
def test_declared_params_are_the_params_read(stage: str) -> None:
    read = parameters_read(stage)
    assert set(PIPELINE[stage].get("params", [])) == read
    assert {key.split(".")[0] for key in read} <= set(PARAMS)


def test_every_parameter_is_used() -> None:
    used = {name.split(".")[0] for stage in PIPELINE.values() for name in stage.get("params", [])}
    assert used | {name for name in PARAMS if f"${{{name}}}" in TEXT} == set(PARAMS)


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_input_is_written_by_a_stage_or_committed(stage: str) -> None:
    """A misspelt dependency would be an error only when the pipeline runs."""
    outputs = {path for other in PIPELINE for path in declared(other, "outs")}
    outputs |= {str(folder) for path in outputs for folder in Path(path).parents}
    inputs = {path for path in declared(stage, "deps") if not path.startswith(("src/", "stages/"))}
    assert inputs <= outputs | {"metrics/report.csv"}


def test_who_writes_what_is_said_alike() -> None:
    """By `vaebench.pipeline.paths`, too: folders are checked before any work, stages named in errors."""
    outs = {
        re.sub(r"\$\{item\.\w+\}", "*", path).replace("${key}", "<name>"): "@".join(
            [stage, *matrix_of(stage)]
        )
        for stage in PIPELINE
        for path in declared(stage, "outs")
    }
    panels = {f"models/classifier/{panel}-s*": f"train_classifier@{panel}-*" for panel in PANELS}
    del outs["models/classifier/*-s*"]
    outs |= panels
    assert outs == WRITERS
    folders = {Path(path) if stage == "render" else Path(path).parent for path, stage in outs.items()}
    assert set(RESULT_FOLDERS) == folders


def matrix_of(stage: str) -> list[str]:
    """The form of the names in a stage's matrix, if it has one."""
    if stage == "train_variant":
        return ["<name>"]
    return ["-".join("*" for _ in WHOLE[stage]["matrix"])] if "matrix" in WHOLE[stage] else []


def test_training_does_not_depend_on_drawing() -> None:
    for stage in ("download", "train_classifier", "train_vae", "evaluate", "evaluate_references"):
        assert not any("figures" in path for path in declared(stage, "deps"))


def test_a_newcomer_reads_it_in_a_minute() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_sweep_stands_once() -> None:
    """Another dimension for good is one edit: all that trains, scores, gathers or draws models knows it."""
    [line] = [line for line in TEXT.splitlines() if "30," in line]
    changed = yaml.safe_load(TEXT.replace(line, line.replace("30,", "20, 30,")))["stages"]
    swept = [2, 3, 4, 5, 10, 20, 30, "${latent_dim}"]
    for stage in ("train_vae", "reproduce_report", "evaluate"):
        assert changed[stage]["matrix"]["latent_dim"] == swept
    for stage in ("aggregate", "render"):
        assert changed[stage]["foreach"]["all"] == {"latent-dim": swept, "seed": "${seeds}"}


# Prints each stage and its command, as dvc makes them of dvc.yaml, params.yaml and .dvc/config.
RESOLVE = """
from dvc.repo import Repo
for stage in Repo().index.stages:
    print(f"{stage.addressing}: {stage.cmd}")
"""


def test_dvc_resolves_another_dimension_everywhere(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "wider")
    set_sweep(root, (*SWEPT, 20))
    lines = succeed(root, "python", "-c", RESOLVE).splitlines()
    commands = dict(line.split(": ", 1) for line in lines if ": " in line)
    for stage in ("train_vae", "reproduce_report", "evaluate"):
        assert commands[f"{stage}@20-0"].endswith(f"stages/{stage}.py --latent-dim 20 --seed 0")
    for stage in ("aggregate@all", "render@all"):
        named = re.findall(r"--latent-dim (\d+)(?= -|$)", commands[stage])
        assert named == [*map(str, SWEPT), "20", "5"]
        assert commands[stage].endswith("--seed 0 --model 5")
