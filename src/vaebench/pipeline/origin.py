"""Who runs this, and at which commit."""

import getpass
import subprocess


def origin() -> dict[str, str]:
    """Return MLflow's tags for it; there is none of the commit where there is no commit."""
    tags = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if commit := head():
        tags["mlflow.source.git.commit"] = commit
    return tags


def head() -> str:
    """Return the commit that is checked out, 40 hex digits; empty outside a repository."""
    return git("rev-parse", "--verify", "HEAD").strip()


def git(*arguments: str) -> str:
    """Return what git prints, which is nothing without git, a repository or a commit.

    Take commands that scripts are meant to use: users set the form of others, such as log, status and diff.
    """
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
