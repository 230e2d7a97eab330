"""Where a number comes from: a real repository, and runs that match or do not."""

import subprocess
from pathlib import Path

import pytest

from vaebench.page.origin import Run, head, trace, web_address

RUN = Run("abc", "http://127.0.0.1:5000/#/experiments/1/runs/abc", "evaluate@5", {"fid": 1.5, "kid": 2.0})
FILE = Path("metrics/d5.json")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    FILE.write_text("{}")
    git("init", "-q")
    git("add", ".")
    git(
        "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "m", "--date", "2026-01-02T03:04:05Z"
    )
    return tmp_path


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/someone/vaebench.git", "https://github.com/someone/vaebench"),
        ("https://github.com/someone/vaebench", "https://github.com/someone/vaebench"),
        ("git@github.com:someone/vaebench.git", "https://github.com/someone/vaebench"),
        ("ssh://git@git.example.org/group/sub/vaebench.git", "https://git.example.org/group/sub/vaebench"),
        ("/home/someone/vaebench", ""),
        ("", ""),
    ],
)
def test_web_address(remote: str, address: str) -> None:
    assert web_address(remote) == address


def test_committed_file_has_its_commit_and_its_run(repo: Path) -> None:
    other = Run("old", "", "evaluate@5", {"fid": 1.4, "kid": 2.0})
    found = trace("evaluate@5", FILE, {"fid": 1.5}, [other, RUN])
    assert (found.commit, found.run_id, found.run_url) == (head(), "abc", RUN.url)
    assert found.date[:4].isdigit()
    assert found.commit_url == ""
    git("remote", "add", "origin", "https://github.com/someone/vaebench.git")
    found = trace("evaluate@5", FILE, {"fid": 1.5}, [RUN])
    assert found.commit_url == f"https://github.com/someone/vaebench/commit/{head()}"


@pytest.mark.parametrize(
    ("stage", "numbers"),
    [("evaluate@2", {"fid": 1.5}), ("evaluate@5", {"fid": 1.6}), ("evaluate@5", {"is": 1})],
)
def test_run_with_other_numbers_is_not_its_origin(repo: Path, stage: str, numbers: dict[str, float]) -> None:
    assert trace(stage, FILE, numbers, [RUN]).run_id == ""


def test_file_that_was_changed_has_no_commit(repo: Path) -> None:
    FILE.write_text("{ }")
    found = trace("evaluate@5", FILE, {}, [])
    assert (found.commit, found.date, found.run_url) == ("", "", "")


def test_commit_is_that_of_the_file(repo: Path) -> None:
    first = head()
    Path("other").write_text("x")
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "m")
    assert trace("evaluate@5", FILE, {}, []).commit == first != head()


def test_folder_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert head() == trace("evaluate@5", FILE, {}, []).commit == ""
