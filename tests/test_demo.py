"""The copy of the repository that `make demo` runs in. The whole of it, by hand: it takes minutes."""

import subprocess
from pathlib import Path

import pytest
import yaml

from vaebench.demo import CHANGES, copy_project, set_params, set_sweep
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import StageError

ROOT = Path(__file__).resolve().parents[1]


def test_parameters_of_the_demo_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    original = (ROOT / "params.yaml").read_text()
    path.write_text(original)
    set_params(path, CHANGES)
    params = load_params(path)
    assert (params.data.dataset, params.vae.fast.batch_size) == ("digits", CHANGES["vae.fast.batch_size"])
    assert params.latent_dim == load_params(ROOT / "params.yaml").latent_dim
    changed = set(path.read_text().splitlines()) - set(original.splitlines())
    assert len(changed) <= len(CHANGES)  # the comments are still there
    with pytest.raises(KeyError):
        set_params(path, {"vae.quick.epochs": 1})


def test_demo_trains_fewer_models_wherever_models_are_named(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text((ROOT / "dvc.yaml").read_text())
    set_sweep(path, (3, 4))
    stages = yaml.safe_load(path.read_text())["stages"]
    swept = [3, 4, "${latent_dim}"]
    trained = [
        stages[stage]["matrix"]["latent_dim"] for stage in ("train_vae", "evaluate", "reproduce_report")
    ]
    gathered = [stages[stage]["foreach"]["all"]["latent-dim"] for stage in ("aggregate", "render")]
    assert trained + gathered == [swept] * 5
    original = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    set_sweep(path, original["stages"]["train_vae"]["matrix"]["latent_dim"][:-1])
    assert yaml.safe_load(path.read_text()) == original


def test_copy_has_what_is_not_committed_and_nothing_that_is_ignored(empty_repo: Path) -> None:
    for name in ("changed", "deleted", "a folder/staged ü", "committed"):
        (empty_repo / name).parent.mkdir(exist_ok=True)
        (empty_repo / name).write_text("old")
    (empty_repo / ".gitignore").write_text("/models/\n/demo/\n")
    author = ("-c", "user.name=n", "-c", "user.email=e")
    for arguments in (["add", "--all"], [*author, "commit", "--quiet", "-m", "m"]):
        subprocess.run(["git", *arguments], check=True)
    (empty_repo / "models").mkdir()
    for name in ("changed", "a folder/staged ü", "a folder/new\nline", "models/ignored"):
        (empty_repo / name).write_text("new")
    (empty_repo / "deleted").unlink()
    subprocess.run(["git", "add", "a folder/staged ü"], check=True)
    folder = empty_repo / "demo"
    (folder / "of an earlier demo").mkdir(parents=True)

    copy_project(empty_repo, folder)
    files = {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    assert files.keys() == {".gitignore", "params.yaml", "changed", "committed"} | {
        f"a folder/{name}" for name in ("staged ü", "new\nline")
    }
    assert [name for name, text in files.items() if text == "old"] == ["committed"]
    head = ["git", "rev-parse", "HEAD"]
    commits = [subprocess.check_output(head, cwd=root) for root in (empty_repo, folder)]
    assert commits[0] == commits[1]


def test_folder_that_is_no_repository_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"^`git -C .*` failed, as said above$"):
        copy_project(tmp_path, tmp_path / "demo")
