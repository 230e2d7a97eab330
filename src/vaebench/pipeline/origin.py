"""Who runs this, and at which commit."""

import getpass
import subprocess


def origin() -> dict[str, str]:
    """Return MLflow's tags for it; there is none of the commit where there is no commit."""
    tags = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if commit := git("rev-parse", "HEAD").strip():
        tags["mlflow.source.git.commit"] = commit
    return tags


def git(*arguments: str) -> str:
    """Return what git prints, which is nothing without git, a repository or a commit."""
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
