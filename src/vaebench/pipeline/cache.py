"""The user's folder of files that are fetched once for all projects and experiments."""

import os
from pathlib import Path

from vaebench.pipeline.origin import repository_root

SETTING = "VAEBENCH_CACHE"


def cache_folder() -> Path:
    """Return the folder, which need not be there: `VAEBENCH_CACHE`, else `vaebench` in the user's cache.

    A relative path starts in the repository, not in the copies of it that experiments run in.
    """
    if named := os.environ.get(SETTING):
        return repository_root() / named
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(shared).is_absolute():
        shared = os.path.join(os.sep, os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118  some have no home
    return Path(shared, "vaebench")
