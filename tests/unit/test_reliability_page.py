"""docs/reliability.md: each promise names tests that exist; every rule of the doctor is told."""

from __future__ import annotations

import re
from pathlib import Path

import hpsearch
from hpsearch.results.consistency.rules import RULES

ROOT = Path(hpsearch.__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_promise_names_what_shows_it():
    table = PAGE.partition("## Storms")[0]
    promises = re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)
    assert promises == [str(number) for number in range(1, 16)]
    named = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_rule_is_told():
    told = {name for line in re.findall(r"^- \*(.+?)\*:", PAGE, flags=re.MULTILINE)
            for name in line.split(", ")}  # fmt: skip
    assert told == {rule.name for rule in RULES}
