"""Who runs this, where, and at which commit."""

import getpass
import os
import subprocess
from pathlib import Path

COMMIT_TAG = "mlflow.source.git.commit"


def origin() -> dict[str, str]:
    """Return MLflow's tags for it; there is none of the commit where there is no commit."""
    tags = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if commit := head():
        tags[COMMIT_TAG] = commit
    return tags


def repository_root() -> Path:
    """Return the repository whose record this is; DVC names it to the clones that it runs experiments in."""
    here = Path.cwd()
    named = [Path(os.environ["DVC_ROOT"]).absolute()] if os.environ.get("DVC_ROOT") else []
    folders = [*named, here, *here.parents]
    return next((folder for folder in folders if (folder / ".dvc").is_dir()), here)


def head() -> str:
    """Return the commit that is checked out, 40 hex digits; empty outside a repository."""
    return git("rev-parse", "--verify", "HEAD").strip()


def why_no_commit() -> str:
    """Return what Git says in place of the commit, on one line; and the remedy, if it knows one."""
    done = _run_git("rev-parse", "--verify", "HEAD")
    return " ".join(done.stderr.split()) if done else "it is not installed"


def git(*arguments: str) -> str:
    """Return what git prints, which is nothing without git, a repository or a commit.

    Take commands that scripts are meant to use: users set the form of others, such as log, status and diff.
    """
    done = _run_git(*arguments)
    return done.stdout if done and done.returncode == 0 else ""


def _run_git(*arguments: str) -> "subprocess.CompletedProcess[str] | None":
    command = ["git", *arguments]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)  # noqa: S603
    except OSError:
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
