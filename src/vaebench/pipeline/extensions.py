"""What networks and objectives there are: the files of their packages, read without running them."""

import ast
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["networks", "objectives"]

_PACKAGE = Path(__file__).parents[1]


@cache
def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of all networks, or of all objectives, in alphabetical order."""
    found = (path.stem for path in (_PACKAGE / kind).glob("*.py"))
    return tuple(sorted(name for name in found if not name.startswith("_")))


@cache
def parameters(objective: str) -> dict[str, type[int] | type[float]]:
    """Return the parameters of an objective: the keyword-only arguments of its function, and their types."""
    path = _PACKAGE / "objectives" / f"{objective}.py"
    code = ast.parse(path.read_text(encoding="utf-8")).body
    [function] = [each for each in code if isinstance(each, ast.FunctionDef) and each.name == objective]
    return {
        each.arg: int if each.annotation and ast.unparse(each.annotation) == "int" else float
        for each in function.args.kwonlyargs
    }
