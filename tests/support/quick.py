"""Which unit tests belong to what changed since origin/main: one path on each line.

``make quick`` runs them. ``python tests/support/quick.py FILE ...`` answers for other files.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Folders of what tests import.
CODE, SUPPORT = ("hpsearch", "benchmarks"), ("tests", "support")

#: Test files, at most: more take longer than the quick loop may. Those of the changed modules
#: themselves always run.
MOST = 20


def main(arguments: list[str]) -> None:
    """Print the tests of ``arguments``, or of what changed; on stderr what is left out."""
    chosen, left = belonging(arguments or changed_files())
    print("\n".join(chosen))
    if left:
        many = f"{left} more test files import what changed"
        print(f"quick: {many}; `make test` runs them", file=sys.stderr)


def changed_files() -> list[str]:
    """Return what differs from origin/main, committed or not; every unit test without git."""
    try:
        base = _git("merge-base", "origin/main", "HEAD")
        found = [*_git("diff", "--name-only", *base), *_git("ls-files", "-o", "--exclude-standard")]
    except (OSError, subprocess.CalledProcessError):
        return [str(path.relative_to(ROOT)) for path in _unit_tests(ROOT)]
    return sorted(set(found))


def belonging(changed: Iterable[str], root: Path = ROOT) -> tuple[list[str], int]:
    """Return the unit tests of files, and how many more import one of these.

    A test file belongs to a module if it is named after it (``doctor.py``, ``test_doctor.py``), and
    imports it if it says so itself. A module that no test file names or imports is tested with its
    package: by the folder of ``tests/unit`` that has the package's name.

    Args:
        changed: Paths relative to ``root``.
        root: The repository.

    Returns:
        Paths of test files relative to ``root``, and a number of files.
    """
    tests = {path.relative_to(root).as_posix(): path for path in _unit_tests(root)}
    own: set[str] = set()
    importing: set[str] = set()
    for file in map(Path, changed):
        if file.as_posix() in tests:
            own.add(file.as_posix())
        elif file.name == "conftest.py":
            importing |= {
                test for test, path in tests.items() if root / file.parent in path.parents
            }
        elif file.suffix == ".py" and (file.parts[0] in CODE or file.parts[:2] == SUPPORT):
            module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
            module = module.removeprefix("tests.")  # which is on the path
            named = {test for test in tests if Path(test).name == f"test_{file.name}"}
            users = {test for test, path in tests.items() if module in _imports(path)}
            own |= named
            importing |= users or (set() if named else _of_package(file, tests, root))
    more = sorted(importing - own)
    room = max(0, MOST - len(own))
    return sorted(own) + more[:room], len(more[room:])


def _of_package(file: Path, tests: Mapping[str, Path], root: Path) -> set[str]:
    """Return the tests in the folder that mirrors a module's package, or the nearest one above."""
    folder = root.joinpath("tests", "unit", *file.parts[1:-1])
    while not folder.is_dir():
        folder = folder.parent
    return {test for test, path in tests.items() if path.parent == folder}


@cache
def _imports(path: Path) -> frozenset[str]:
    """Return the modules that a file imports, and each name as if it were one."""
    return frozenset(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _unit_tests(root: Path) -> list[Path]:
    return sorted((root / "tests" / "unit").rglob("test_*.py"))


def _git(*arguments: str) -> list[str]:
    ran = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()


if __name__ == "__main__":
    main(sys.argv[1:])
