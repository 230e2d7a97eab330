"""Stage scripts as a user meets them: help at once, one line for what can be put right, exit code 2."""

import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from vaebench.pipeline import paths
from vaebench.pipeline.key import ModelKey, sweep
from vaebench.pipeline.stage import StageError, require, require_writable, say

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "stages").glob("*.py"))
HEAVY = ("torch", "torchvision", "sklearn", "pandas", "matplotlib", "mlflow", "numpy", "safetensors")

# A stage of a user's: one option, and a way to go wrong.
SCRIPT = """
import resource
from pathlib import Path
from vaebench.pipeline.files import write_json
from vaebench.pipeline.params import LatentDimOption
from vaebench.pipeline.stage import StageError, run_stage, say

def main(latent_dim: LatentDimOption, mode: str = "good") -> None:
    if mode == "stage error":
        raise StageError("models/vae/d5.safetensors: not found;\\n  run `dvc repro`\\n")
    if mode == "bug":
        raise ValueError("a bug")
    if mode.startswith("tell "):
        say(mode)
        raise StageError(mode)
    if mode.startswith("break "):
        try:
            raise OSError(mode)
        except OSError as error:
            raise ValueError(repr(mode)) from error
    if mode == "interrupt":
        raise KeyboardInterrupt
    if mode.startswith("write "):
        write_json(Path(mode.removeprefix("write ")), {})
    if mode == "no room":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, -1))
        write_json(Path("models/vae/d5.json"), {})
    if mode == "no room elsewhere":
        raise OSError(28, "No space left on device")
    if mode == "unnamed":
        raise OSError(107, "Transport endpoint is not connected")
    say(f"trained {latent_dim}")

run_stage(main)
"""


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the one line that a stage ended with."""
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), done.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "stage.py"
    path.write_text(SCRIPT)
    return path


# run_stage.


def test_good_run(script: Path) -> None:
    done = run(script.parent, "stage.py", "--latent-dim", "512")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "trained 512\n")


def test_stage_error_is_one_line(script: Path) -> None:
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", "stage error")
    assert refusal(done) == "models/vae/d5.safetensors: not found; run `dvc repro`"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--latent-dim", "0"], "--latent-dim"),
        (["--latent-dim", "-1"], "--latent-dim"),
        (["--latent-dim", "513"], "--latent-dim"),
        (["--latent-dim", "abc"], "--latent-dim"),
        (["--latent-dim", "2.5"], "--latent-dim"),
        (["--latent-dim", ""], "--latent-dim"),
        (["--latent-dim"], "--latent-dim"),
        ([], "--latent-dim"),
        (["--latent-dim", "5", "--epochs", "3"], "--epochs"),
        (["--latent-dim", "5", "more"], "more"),
    ],
)
def test_usage_error_is_one_line_that_names_the_option(
    script: Path, arguments: list[str], named: str
) -> None:
    assert named in refusal(run(script.parent, "stage.py", *arguments))


@pytest.mark.parametrize(
    ("written", "named"),
    [("a file/scores.json", "a file"), ("a file/d5/scores.json", "a file/d5")],
)
def test_output_folder_that_is_a_file_is_named(script: Path, written: str, named: str) -> None:
    (script.parent / "a file").write_text("mine")
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", f"write {written}")
    assert re.fullmatch(rf"{named}: (File exists|Not a directory)", refusal(done))
    assert (script.parent / "a file").read_text() == "mine"


def test_output_that_is_a_folder(script: Path) -> None:
    (script.parent / "scores.json").mkdir()
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", "write scores.json")
    assert refusal(done).endswith(": Is a directory")
    assert sorted(path.name for path in script.parent.iterdir()) == ["scores.json", "stage.py"]


def test_output_that_is_a_folder_is_named(script: Path) -> None:
    (script.parent / "scores.json").mkdir()
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", "write scores.json")
    assert refusal(done) == "scores.json: Is a directory"


@pytest.mark.parametrize(
    ("mode", "error"), [("bug", "ValueError: a bug"), ("unnamed", "OSError: [Errno 107]")]
)
def test_other_errors_keep_their_traceback(script: Path, mode: str, error: str) -> None:
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", mode)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith(error)


@pytest.mark.parametrize(("mode", "lines"), [("tell", 2), ("break", 20)])
def test_password_is_in_no_message_and_in_no_traceback(
    script: Path, monkeypatch: pytest.MonkeyPatch, mode: str, lines: int
) -> None:
    address = "http://somebody:s3@cretpw@host:5000/a"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    text = f"{mode} {address} of somebody: nonnumeric port: 's3@cretpw@host'"
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", text)
    assert done.returncode == (2 if mode == "tell" else 1)
    shown = f"{mode} http://host:5000/a of ***: nonnumeric port: '***@host'"
    assert done.stderr.count(shown) == 2
    assert len(done.stderr.splitlines()) >= lines
    for part in ("s3", "cretpw", "somebody"):
        assert part not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("no room", "models/vae/d5.json: File too large; allow larger files (`ulimit -f`) and run it again"),
        ("no room elsewhere", "No space left on device; make room and run it again"),
    ],
)
def test_full_disk_is_one_line(script: Path, mode: str, message: str) -> None:
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", mode)
    assert refusal(done) == message
    assert not [path for path in script.parent.rglob("*") if path.is_file() and path != script]


def test_interrupt_is_no_traceback(script: Path) -> None:
    done = run(script.parent, "stage.py", "--latent-dim", "5", "--mode", "interrupt")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == ""


def test_say_writes_a_line_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("epoch 1/2: loss 3.5 – σ² = ½")
    assert capsys.readouterr() == ("", "epoch 1/2: loss 3.5 – σ² = ½\n")


def test_line_is_one_write_though_python_does_not_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []

    class Raw(io.BytesIO):
        def write(self, content: Any) -> int:
            writes.append(bytes(content))
            return len(content)

    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(Raw(), write_through=True))  # PYTHONUNBUFFERED
    say("error: ended by SIGTERM")
    assert writes == [b"error: ended by SIGTERM\n"]


def test_require(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("models/vae/d5-s0/weights.safetensors")
    for _ in ("nothing", "a folder"):
        with pytest.raises(StageError) as caught:
            require(path)
        assert str(caught.value) == f"{path}: not found; `dvc repro train_vae@5-0` writes it"
        path.mkdir(exist_ok=True, parents=True)
    path.rmdir()
    path.touch()
    assert require(path) == path


# The scripts in stages/, with the command lines of dvc.yaml. 7 is the model under study, and in no sweep.

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STUDIED = "7"
COMMITTED = ["metrics/report.csv"]  # an input that no stage writes
SWEPT = [2, 3, 4, 5, 10, 30, int(STUDIED)]
KEY = ModelKey(int(STUDIED), 0)
MODELS = sweep(SWEPT, [0])
CLASSIFIERS = [paths.classifier_weights("plain", seed) for seed in range(3)]
TABLES = [paths.BENCHMARK_CSV, paths.TRAININGS_CSV]
INPUTS: dict[str, list[Path]] = {
    "download": [],
    "train_classifier": [paths.DATASET],
    "train_vae": [paths.DATASET],
    "reproduce_report": [paths.DATASET],
    "evaluate": [paths.DATASET, *CLASSIFIERS, paths.vae_weights(KEY)],
    "evaluate_references": [paths.DATASET, *CLASSIFIERS],
    "aggregate": [
        *(place(key) for place in (paths.training, paths.evaluation, paths.curve) for key in MODELS),
        *(place(key) for place in (paths.reproduction, paths.reproduction_curve) for key in MODELS),
        paths.REFERENCES,
    ],
    "render": [
        *(place(key) for place in (paths.curve, paths.evaluation, paths.pictures) for key in MODELS),
        *(paths.reproduction_curve(key) for key in MODELS),
        *TABLES,
        paths.REFERENCES,
    ],
}


def arguments(stage: str) -> list[str]:
    """What the command line of dvc.yaml has after the script, for the model under study."""
    about = PIPELINE[stage]
    command = about.get("do", about)["cmd"].replace("${latent_dim}", STUDIED)
    for name, value in {"latent_dim": STUDIED, "seed": "0", "panel": "plain"}.items():
        command = command.replace(f"${{item.{name}}}", value)
    dimensions = [f"--latent-dim {latent_dim}" for latent_dim in SWEPT]
    words = shlex.split(command.replace("${item}", " ".join([*dimensions, "--seed 0"])))
    return words[words.index(f"stages/{stage}.py") + 1 :]


def inputs(stage: str) -> list[str]:
    """What other stages write and this one reads."""
    return [path.as_posix() for path in INPUTS[stage]]


def writer(path: str) -> str | None:
    return paths.writer(Path(path))


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone without its code."""
    root = tmp_path / "repository"
    for name in ("params.yaml", *COMMITTED):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(root)
    return root


def run_here(
    stage: str,
    command: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Run a stage in this process and in vain: return its one line. It leaves no file and changes none."""
    before = contents()
    monkeypatch.setattr(sys, "argv", [f"stages/{stage}.py", *command])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1), err
    assert contents() == before
    assert err.startswith("error: ")
    return err.removeprefix("error: ").rstrip("\n")


def contents() -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


STAGES = [path.stem for path in SCRIPTS]

LOAD = """
import runpy, sys
path, *heavy = sys.argv[1].split(",")
sys.argv = [path, *sys.argv[2:]]
try:
    runpy.run_path(path, run_name="__main__")
except SystemExit as end:
    loaded = [name for name in heavy if name in sys.modules]
    sys.exit(f"loaded {loaded}" if loaded else end.code)
"""


def run_watched(folder: Path, stage: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a stage; it ends with exit code 1 if it has loaded anything heavy."""
    path = str(ROOT / "stages" / f"{stage}.py")
    return run(folder, "-c", LOAD, ",".join([path, *HEAVY]), *command)


@pytest.mark.parametrize("stage", STAGES)
def test_help_loads_nothing_heavy_and_writes_nothing(tmp_path: Path, stage: str) -> None:
    done = run_watched(tmp_path, stage, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {stage}.py")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", STAGES)
def test_bad_parameter_is_answered_before_anything_heavy_is_loaded(repo: Path, stage: str) -> None:
    params = repo / "params.yaml"
    params.write_text(re.sub(r"^latent_dim: \d+", "latent_dim: 513", params.read_text(), flags=re.M))
    message = refusal(run_watched(repo, stage, *arguments(stage)))
    assert message == "params.yaml: latent_dim must be an integer from 1 to 512, got 513"


@pytest.mark.parametrize("stage", [stage for stage in STAGES if inputs(stage)])
def test_missing_input_is_answered_before_anything_heavy_is_loaded(repo: Path, stage: str) -> None:
    message = refusal(run_watched(repo, stage, *arguments(stage)))
    path, hint = message.split(": ", 1)
    assert path in inputs(stage)
    assert hint == f"not found; `dvc repro {writer(path)}` writes it"


@pytest.mark.parametrize(
    ("stage", "missing"), [(stage, missing) for stage in STAGES for missing in inputs(stage)]
)
def test_each_missing_input_is_named_with_the_stage_that_writes_it(
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    missing: str,
) -> None:
    for present in set(inputs(stage)) - {missing}:
        (repo / present).parent.mkdir(parents=True, exist_ok=True)
        (repo / present).write_text("{}")
    message = run_here(stage, arguments(stage), monkeypatch, capsys)
    assert message == f"{missing}: not found; `dvc repro {writer(missing)}` writes it"


@pytest.mark.parametrize("stage", STAGES)
def test_missing_parameter_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    message = run_here(stage, arguments(stage), monkeypatch, capsys)
    assert message == "params.yaml: cannot be read (No such file or directory); run from the repository root"


@pytest.mark.parametrize("bad", ["0", "513", "-1", "abc", "2.5", ""])
@pytest.mark.parametrize("stage", [stage for stage in STAGES if STUDIED in arguments(stage)])
def test_bad_dimension_is_one_line(
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    bad: str,
) -> None:
    command = [bad if word == STUDIED else word for word in arguments(stage)]
    message = run_here(stage, command, monkeypatch, capsys)
    option = command[command.index(bad) - 1]
    assert message == f"Invalid value for '{option}': must be an integer from 1 to 512, got {bad!r}"


@pytest.mark.parametrize("stage", ["render", "aggregate"])
def test_bad_dimension_of_the_benchmark_is_one_line(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    message = run_here(stage, [*arguments(stage), "--latent-dim", "513"], monkeypatch, capsys)
    assert message == "Invalid value for '--latent-dim': must be an integer from 1 to 512, got '513'"


@pytest.mark.parametrize("bad", ["-1", "2147483648", "abc", "2.5", ""])
@pytest.mark.parametrize("stage", [stage for stage in STAGES if "--seed" in arguments(stage)])
def test_bad_seed_is_one_line(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str, bad: str
) -> None:
    command = arguments(stage)
    command[command.index("--seed") + 1] = bad
    message = run_here(stage, command, monkeypatch, capsys)
    allowed = "an integer from 0 to 2147483647"
    assert message == f"Invalid value for '--seed': must be {allowed}, got {bad!r}"


@pytest.mark.parametrize("stage", [stage for stage in STAGES if STUDIED in arguments(stage)])
def test_missing_dimension_is_one_line(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    message = run_here(stage, [], monkeypatch, capsys)
    assert re.fullmatch(r"Missing (option|argument|parameter):? '?(--latent-dim|--model)'?\.?", message)


@pytest.mark.parametrize("folder", ["data", "metrics", "plots/model", "models"])
@pytest.mark.parametrize("stage", STAGES)
def test_folder_that_cannot_be_written_is_refused_before_any_work(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str, folder: str
) -> None:
    (repo / folder).mkdir(exist_ok=True, parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: path != Path(folder))  # root may write anywhere
    message = run_here(stage, arguments(stage), monkeypatch, capsys)
    assert re.fullmatch(
        rf"{folder}: must be a folder that can be written; results go to {folder}\S*", message
    )


# Inputs that are there, and are not what their place promises.

GARBAGE = b"not what it should be\x00\xff\n"


def say_how_to_get_it(path: str, stage: str | None) -> str:
    """The end of the line about a broken input."""
    anew = f"`dvc repro {stage}` makes it anew"
    if path == "data/dataset.safetensors":
        return f"; {anew}"
    if path.startswith("metrics/"):
        back = f"`git checkout -- {path}` brings back the committed one"
        return f"; {back}, {anew}" if stage else f"; {back}"
    return f"; `dvc pull --force {paths.output(Path(path))}` brings back the recorded one, {anew}"


@pytest.mark.parametrize("stage", [stage for stage in STAGES if inputs(stage)])
def test_broken_input_is_one_line_and_nothing_is_recorded(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    for path in inputs(stage):
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_bytes(GARBAGE)
    message = run_here(stage, arguments(stage), monkeypatch, capsys)
    path = message.partition(":")[0]
    assert path in inputs(stage)
    assert message.endswith(say_how_to_get_it(path, writer(path)))
    assert not (repo / "mlflow.db").exists()


DIMENSIONS = ["2", "3", "4", "5", "10", "30"]


@pytest.fixture
def results(repo: Path, made: Path) -> Path:
    """A fresh clone with all that."""
    shutil.copytree(made, repo, dirs_exist_ok=True)
    return repo


ONE = ["--latent-dim", "5", "--seed", "0"]
ALL = [*(word for each in DIMENSIONS for word in ("--latent-dim", each)), "--seed", "0", "--model", "5"]
WEIGHTS = "models/vae/{}-s0/weights.safetensors"
CURVE, TRAINING = "models/vae/{}-s0/curve.csv", "models/vae/{}-s0/training.json"
REPRODUCED_CURVE, REPRODUCED = (
    "models/reproduction/{}-s0/curve.csv",
    "models/reproduction/{}-s0/training.json",
)
SCORES, PICTURES = "data/evaluation/{}-s0/scores.json", "data/evaluation/{}-s0/pictures.npz"
REFERENCES = "data/evaluation/references.json"
CLASSIFIER = "models/classifier/plain-s{}/weights.safetensors"
DATASET = "data/dataset.safetensors"


@pytest.mark.parametrize(
    ("stage", "command", "broken", "other"),
    [
        ("train_vae", ONE, DATASET, WEIGHTS.format("d5")),
        ("train_classifier", ["--panel", "plain", "--seed", "0"], DATASET, CLASSIFIER.format(0)),
        ("reproduce_report", ONE, DATASET, PICTURES.format("d5")),
        ("evaluate", ONE, WEIGHTS.format("d5"), WEIGHTS.format("d10")),
        ("evaluate", ONE, CLASSIFIER.format(2), WEIGHTS.format("d5")),
        ("evaluate_references", [], CLASSIFIER.format(1), "metrics/findings.md"),
        ("aggregate", ALL, TRAINING.format("d10"), TRAINING.format("d30")),
        ("aggregate", ALL, SCORES.format("d4"), SCORES.format("d3")),
        ("aggregate", ALL, REPRODUCED.format("d4"), REPRODUCED.format("d3")),
        ("aggregate", ALL, REFERENCES, "metrics/model.json"),
        ("aggregate", ALL, CURVE.format("d2"), REPRODUCED_CURVE.format("d2")),
        ("aggregate", ALL, REPRODUCED_CURVE.format("d2"), "metrics/report.csv"),
        ("aggregate", ALL, "metrics/report.csv", REPRODUCED_CURVE.format("d2")),
        ("render", ALL, "metrics/benchmark.csv", "metrics/report.csv"),
        ("render", ALL, "metrics/trainings.csv", "metrics/report.csv"),
        ("render", ALL, REFERENCES, SCORES.format("d2")),
        ("render", ALL, CURVE.format("d2"), "metrics/report.csv"),
        ("render", ALL, REPRODUCED_CURVE.format("d2"), "metrics/benchmark.csv"),
        ("render", ALL, SCORES.format("d2"), SCORES.format("d3")),
        ("render", ALL, PICTURES.format("d5"), PICTURES.format("d10")),
    ],
)
def test_input_that_is_empty_or_another_file_is_named(
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    command: list[str],
    broken: str,
    other: str,
) -> None:
    for content in (b"", (results / other).read_bytes()):
        (results / broken).write_bytes(content)
        message = run_here(stage, command, monkeypatch, capsys)
        assert message.startswith(f"{broken}: ")
        assert message.endswith(say_how_to_get_it(broken, writer(broken)))
    assert not (results / "mlflow.db").exists()


def test_folders_that_can_be_made_or_written_pass(tmp_path: Path) -> None:
    require_writable([tmp_path, tmp_path / "a" / "b"])
    assert list(tmp_path.iterdir()) == []


def test_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(StageError, match=rf"^{tmp_path}/models: must be a folder .*/models/vae$"):
        require_writable([tmp_path / "data", tmp_path / "models/vae"])


def test_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    with pytest.raises(StageError, match=rf"^{tmp_path}: must be a folder that can be written"):
        require_writable([tmp_path / "plots/model"])
