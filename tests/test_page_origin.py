"""Where a number comes from: a real repository, and runs that match or do not."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from vaebench.page import origin
from vaebench.page.origin import Run, recorded_runs, trace, web_address
from vaebench.pipeline.origin import head

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
        (
            "https://oauth2:TOKEN@git.example.org/someone/vaebench.git",
            "https://git.example.org/someone/vaebench",
        ),
        ("https://me:p@ss@git.example.org/someone/vaebench", "https://git.example.org/someone/vaebench"),
        ("https://git.example.org:8443/a/b.git", "https://git.example.org:8443/a/b"),
        ("http://me@git.example.org:3000/a/b/", "http://git.example.org:3000/a/b"),
        ("HTTPS://git.example.org/a/b.git/", "https://git.example.org/a/b"),
        ("https://[::1]:8443/a/b.git", "https://[::1]:8443/a/b"),
        ("ssh://git@git.example.org:2222/a/b.git", "https://git.example.org/a/b"),
        ("ssh://git.example.org/a/b", "https://git.example.org/a/b"),
        ("git://git.example.org/a/b.git", "https://git.example.org/a/b"),
        ("gitea@git.example.org:a/b", "https://git.example.org/a/b"),
        ("git.example.org:a/b.git", "https://git.example.org/a/b"),
        ("git@git.example.org:/a/b.git", "https://git.example.org/a/b"),
        ("https://git.example.org/me/a.b", "https://git.example.org/me/a.b"),
        ('https://git.example.org/a"b/<c>', "https://git.example.org/a%22b/%3Cc%3E"),
        ("/home/someone/vaebench", ""),
        ("../vaebench", ""),
        ("file:///home/someone/vaebench.git", ""),
        ("file://host/vaebench.git", ""),
        ("C:/vaebench", ""),
        (r"C:\vaebench", ""),
        ("helper::https://host/a/b", ""),
        ("ext::program", ""),
        ("javascript:alert(1)//", "https://javascript/alert(1)"),  # a host, as git takes it
        ("https://[/a/b", ""),
        ("https://host", ""),
        ("https://me:s3/cret@host/a/b", ""),
        ("origin", ""),
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


SETTINGS = """
[log]
    showSignature = true
    follow = true
    date = relative
    decorate = full
[format]
    pretty = fuller
[color]
    ui = always
[core]
    quotePath = true
    pager = false
[pager]
    rev-list = true
[diff]
    external = false
    noprefix = true
    relative = true
    mnemonicPrefix = true
[status]
    showUntrackedFiles = no
    relativePaths = false
    short = true
    branch = true
[clone]
    defaultRemoteName = upstream
[alias]
    rev-parse = false
    rev-list = false
    hash-object = false
    ls-remote = false
"""
SIGNED = """
gpgsig -----BEGIN PGP SIGNATURE-----
 iHUEABYIAB0WIQ
 -----END PGP SIGNATURE-----
"""


def sign_commit() -> None:
    """Make the last commit one with a signature, which no key of this machine can check."""
    content = subprocess.run(["git", "cat-file", "commit", "HEAD"], check=True, capture_output=True).stdout
    first, rest = content.split(b"\n\n", 1)
    signed = first + SIGNED.rstrip().encode() + b"\n\n" + rest
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    made = subprocess.run(command, input=signed, check=True, capture_output=True).stdout
    git("update-ref", "HEAD", made.decode().strip())


def test_no_setting_of_git_changes_what_is_read(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_commit()
    git("remote", "add", "upstream", "https://git.example.org/a/b.git")
    git("config", "branch.master.remote", "upstream")
    git("branch", "-M", "master")
    Path("müller.json").write_text("{}")
    git("add", ".")
    files = (FILE, Path("missing.json"), Path("müller.json"))
    before = [trace("evaluate@5", file, {}, []) for file in files]
    settings = repo / "gitconfig"
    settings.write_text(SETTINGS)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert [trace("evaluate@5", file, {}, []) for file in files] == before
    committed, missing, untracked = before
    assert (committed.commit, len(committed.date)) == (head(), len("2026-01-02T03:04:05+00:00"))
    assert committed.commit_url == f"https://git.example.org/a/b/commit/{head()}"
    assert missing.commit == untracked.commit == ""


@pytest.mark.parametrize("staged", [False, True])
def test_changed_file_has_no_commit_whatever_is_staged(repo: Path, staged: bool) -> None:
    FILE.write_text("{ }")
    if staged:
        git("add", ".")
    assert trace("evaluate@5", FILE, {}, []).commit == ""
    git("config", "core.autocrlf", "true")
    FILE.write_bytes(b"{}")
    assert trace("evaluate@5", FILE, {}, []).commit == head()


def test_folder_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert head() == trace("evaluate@5", FILE, {}, []).commit == ""


def test_links_to_runs_hold_no_password(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(run_id="abc", experiment_id="1")
    recorded = SimpleNamespace(info=info, data=SimpleNamespace(tags={"dvc.stage": "render"}, metrics={}))
    monkeypatch.setattr(origin, "finished_stages", lambda uri: [recorded])
    for address in ("somebody:s3@cretpw@host:5000", "TOKEN@host:5000"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}/base/")
        [run] = recorded_runs()
        assert run.url == "http://host:5000/base/#/experiments/1/runs/abc"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    [run] = recorded_runs()
    assert run.url == RUN.url


# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "is not a database"),
        ("http://somebody:s3@cretpw@127.0.0.1:1", "Connection refused"),
        ("http://somebody:s3@cretpw@[", "IPv6"),
        ("http://somebody:s3/cretpw@127.0.0.1:1", ""),
        ("postgresql://somebody:s3@cretpw@127.0.0.1:1/db", "psycopg"),
        ("nonsense", ""),
        ("nonsense://somebody:s3@cretpw@host", ""),
    ],
)
def test_store_that_cannot_be_read_costs_a_warning_and_the_links(
    empty_repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    uri: str,
    reason: str,
) -> None:
    (empty_repo / "mlflow.db").write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert recorded_runs() == []
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("warning: MLflow at ")
    assert reason in err
    assert err.endswith("; the page has no links to runs\n")
    assert len(err) < 600
    for part in ("s3", "cretpw", "somebody"):
        assert part not in err
