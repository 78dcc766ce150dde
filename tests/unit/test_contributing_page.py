"""CONTRIBUTING.md names what exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.quick import MOST, belonging

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
KINDS = (
    "model",
    "data source",
    "sampler",
    "pruner",
    "chart",
    "doctor rule",
    "check rule for keys",
    "check rule for images",
    "CLI command",
)

#: What looks like a path of the repository, in backticks or as the target of a link.
PATHS = {
    path
    for path in [*re.findall(r"`([\w./-]+/[\w./-]+)`", PAGE), *re.findall(r"\]\(([^)#]+)", PAGE)]
    if path != "origin/main"
}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_path_of_the_page_exists(path):
    assert (ROOT / path).exists()


def test_every_kind_has_a_place_an_example_and_a_test():
    rows = dict(re.findall(r"^\| ([\w ]+?) \| (.+) \|$", PAGE, re.MULTILINE))
    for kind in KINDS:
        place, example, test = rows[kind].split(" | ")
        assert "`hpsearch/" in place and "`" in example + test
        for name in re.findall(r"\(`(\w+)`\)", example):
            assert f'"{name}"' in (ROOT / example.split("`")[1]).read_text(encoding="utf-8")
        assert "`tests/" in test


def test_a_target_of_the_page_exists():
    targets = set(re.findall(r"\bmake ([a-z ]+)", PAGE))
    known = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in {word for words in targets for word in words.split()} - {"refuses"}:
        assert target in known


def test_quick_is_in_the_help():
    ran = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"^ +make quick +\S", ran.stdout, re.MULTILINE)


@pytest.fixture
def tree(tmp_path):
    files = {
        "hpsearch/cli/doctor.py": "",
        "hpsearch/errors.py": "",
        "hpsearch/cli/lonely.py": "",
        "tests/unit/cli/test_doctor.py": "import hpsearch.cli.doctor",
        "tests/unit/cli/test_wide.py": "from hpsearch.cli import doctor\nimport hpsearch.errors",
        "tests/unit/search/test_claims.py": "import hpsearch.errors\nimport support.browser",
        "tests/integration/test_doctor.py": "import hpsearch.cli.doctor",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["docs/data.md", "Makefile"], [], id="no code"),
        pytest.param(["hpsearch/cli/gone.py"], ["doctor", "wide"], id="a deleted module"),
        pytest.param(["hpsearch/cli/doctor.py"], ["doctor", "wide"], id="by name and by import"),
        pytest.param(["hpsearch/errors.py"], ["wide", "claims"], id="by import"),
        pytest.param(["hpsearch/cli/lonely.py"], ["doctor", "wide"], id="by package"),
        pytest.param(["tests/unit/search/test_claims.py"], ["claims"], id="a test itself"),
        pytest.param(["tests/support/browser.py"], ["claims"], id="what tests share"),
        pytest.param(["tests/unit/cli/conftest.py"], ["doctor", "wide"], id="fixtures"),
        pytest.param(["tests/integration/test_doctor.py"], [], id="another level"),
    ],
)
def test_the_tests_of_a_change(tree, changed, expected):
    chosen, left = belonging(changed, tree)
    assert [Path(each).stem.removeprefix("test_") for each in chosen] == expected
    assert left == 0


def test_what_many_import_is_left_to_make_test(tree):
    for number in range(MOST + 5):
        path = tree / f"tests/unit/search/test_{number}.py"
        path.write_text("import hpsearch.errors")
    chosen, left = belonging(["hpsearch/errors.py", "hpsearch/cli/doctor.py"], tree)
    assert len(chosen) == MOST
    assert "tests/unit/cli/test_doctor.py" in chosen
    assert left > 0
