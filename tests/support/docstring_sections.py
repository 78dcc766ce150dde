"""Which public functions of hpsearch lack a section of their docstring: one on each line.

A function with three or more parameters has ``Args:``, and one that raises has ``Raises:``.
``make lint`` runs this file; ruff checks that a section names every parameter.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "hpsearch"
#: A command's docstring is its ``--help``; migrations are history.
LEFT_OUT = ("cli/commands", "cli/options.py", "search/database/migrations")


def main() -> None:
    """Print what is missing; exit with 1 if anything is."""
    lines = missing_sections()
    if lines:
        print("\n".join(lines), file=sys.stderr)
        sys.exit(1)


def missing_sections() -> list[str]:
    """Return a line for each missing section of the package."""
    return [
        f"hpsearch/{path.relative_to(PACKAGE).as_posix()}:{line}: {name} has no section {section}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(LEFT_OUT)
        for line, name, section in missing_in(ast.parse(path.read_text()))
    ]


def missing_in(
    node: ast.Module | ast.ClassDef, *, bound: bool = False
) -> Iterator[tuple[int, str, str]]:
    """Yield line, name and missing section; ``bound``: the functions are methods."""
    for each in node.body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from missing_in(each, bound=True)
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name[0] != "_":
            text = ast.get_docstring(each) or ""
            if _parameters(each, bound) >= 3 and "Args:" not in text:
                yield each.lineno, each.name, "Args:"
            if _raises(each) and "Raises:" not in text:
                yield each.lineno, each.name, "Raises:"


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, bound: bool) -> int:
    arguments = function.args
    static = any(getattr(each, "id", "") == "staticmethod" for each in function.decorator_list)
    count = len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
    return count - (bound and not static)


def _raises(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether its own body raises; ``raise`` alone passes another's exception on."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        waiting.extend(ast.iter_child_nodes(node))
    return False


if __name__ == "__main__":
    main()
