"""Public functions say what they take and what they raise, in sections that tools can read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hpsearch

PACKAGE = Path(hpsearch.__file__).parent
#: A command's docstring is its ``--help``; migrations are history.
LEFT_OUT = ("cli/commands", "cli/options.py", "search/database/migrations")


def test_functions_of_three_parameters_or_that_raise_have_sections():
    lacking = [
        f"{path.relative_to(PACKAGE)}:{line} {name} lacks {section}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(LEFT_OUT)
        for line, name, section in _lacking(ast.parse(path.read_text()))
    ]
    assert not lacking, "\n".join(lacking)


def test_a_missing_section_is_found():
    source = '''
class Shown:
    def three(self, one, two, three):
        """Return a sum."""

    def raises(self):
        """Raise."""
        raise ValueError

    def _hidden(self, one, two, three):
        """Return a sum."""

def outer(one):
    """Return a function; what that one raises is its own."""
    def inner():
        raise ValueError
    return inner
'''
    found = [(name, section) for _, name, section in _lacking(ast.parse(source))]
    assert found == [("three", "Args:"), ("raises", "Raises:")]


def _lacking(
    node: ast.Module | ast.ClassDef, *, bound: bool = False
) -> Iterator[tuple[int, str, str]]:
    for each in node.body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from _lacking(each, bound=True)
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name[0] != "_":
            text = ast.get_docstring(each) or ""
            if _parameters(each, bound) >= 3 and "Args:" not in text:
                yield each.lineno, each.name, "Args:"
            if _raises(each) and "Raises:" not in text:
                yield each.lineno, each.name, "Raises:"


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, bound: bool) -> int:
    taken = function.args
    static = any(getattr(each, "id", "") == "staticmethod" for each in function.decorator_list)
    count = len([*taken.posonlyargs, *taken.args, *taken.kwonlyargs])
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
