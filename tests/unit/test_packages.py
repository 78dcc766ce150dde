"""The map of the code is true: packages list their modules, and nothing imports in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hpsearch

PACKAGE = Path(hpsearch.__file__).parent
PACKAGES = sorted(PACKAGE.rglob("__init__.py"))


def inside(folder: Path) -> set[str]:
    """Return the names of a package's modules and packages."""
    modules = {path.stem for path in folder.glob("[!_]*.py")}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}


def listed(docstring: str) -> list[str]:
    """Return the names before the text of each item: ``- ``one``, ``two``  what they are``."""
    heads = re.findall(r"^- ((?:``\w+``(?:, )?)+)", docstring, re.MULTILINE)
    return [name for head in heads for name in re.findall(r"``(\w+)``", head)]


@pytest.mark.parametrize(
    "path", PACKAGES, ids=lambda path: ".".join(path.relative_to(PACKAGE.parent).parts[:-1])
)
def test_a_package_lists_what_is_inside(path):
    names = listed(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    assert sorted(names) == sorted(inside(path.parent))


def test_the_layers_of_the_architecture_page_are_the_packages():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## The layers")[2].partition("\n\n- ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    shown = {name.strip("`/").removesuffix(".py") for row in rows for name in row.split(", ")}
    packages = {path.parent.name for path in PACKAGES if path.parent.parent == PACKAGE}
    assert packages <= shown <= inside(PACKAGE)


@cache
def imports(root: Path) -> dict[str, set[str]]:
    """Return module -> the modules that it imports, anywhere in its text.

    Imports inside of functions and under ``TYPE_CHECKING`` count.
    """
    paths = {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in root.rglob("*.py")
    }
    return {
        name: set(_imported(ast.parse(path.read_text(encoding="utf-8")), paths)) - {name}
        for name, path in paths.items()
    }


def _imported(tree: ast.AST, known: Mapping[str, Path]) -> Iterable[str]:
    for node in ast.walk(tree):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [(each.name,) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [(f"{node.module}.{each.name}", node.module) for each in node.names]
        for choices in names:
            yield from [name for name in choices if name in known][:1]


def siblings(graph: Mapping[str, Iterable[str]]) -> dict[str, dict[str, set[str]]]:
    """Return package -> name in it -> the names in it that something below the first imports."""
    found: dict[str, dict[str, set[str]]] = {}
    for module, targets in graph.items():
        for target in targets:
            one, other = module.split("."), target.split(".")
            shared = 0
            while shared < min(len(one), len(other)) and one[shared] == other[shared]:
                shared += 1
            if shared < min(len(one), len(other)):
                package = found.setdefault(".".join(one[:shared]), {})
                package.setdefault(one[shared], set()).add(other[shared])
    return found


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names of one circle; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others():
    assert circle(imports(PACKAGE)) == []


def test_no_package_imports_its_sibling_in_a_circle():
    circles = {package: circle(edges) for package, edges in siblings(imports(PACKAGE)).items()}
    assert {package: names for package, names in circles.items() if names} == {}


@pytest.fixture
def tree(tmp_path):
    def write(**modules: str) -> Path:
        for name, text in modules.items():
            path = tmp_path.joinpath("app", *name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "app"

    return write


@pytest.mark.parametrize(
    "back",
    [
        pytest.param("from app.low import x", id="at the top"),
        pytest.param("import app.low", id="by name"),
        pytest.param("def f():\n    from app import low", id="in a function"),
        pytest.param("if TYPE_CHECKING:\n    from app.low import X", id="for types"),
    ],
)
def test_a_circle_of_modules_is_found(tree, back):
    root = tree(low="from app.high import y", high=back)
    assert sorted(set(circle(imports(root)))) == ["app.high", "app.low"]


def test_a_circle_of_packages_is_found(tree):
    root = tree(a__one="from app.b import two", b__two="", b__three="import app.a.four", a__four="")
    graph = imports(root)
    assert circle(graph) == []
    assert sorted(set(circle(siblings(graph)["app"]))) == ["a", "b"]
