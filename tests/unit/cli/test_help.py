"""What --help looks like on a terminal of 80 columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from support.commands import Ran

from hpsearch.cli.app import COMMANDS

EVERY = [[], ["data"], ["data", "list"], ["data", "prepare"]]
EVERY += [[name] for commands in COMMANDS.values() for name in commands]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    yield


@pytest.mark.parametrize("command", EVERY, ids=lambda words: "-".join(words) or "hpsearch")
def test_help_fits_and_shows_flags_without_a_type(
    hpsearch: Callable[..., Ran], command: list[str]
) -> None:
    told = hpsearch(*command, "--help").out
    assert told
    assert max(map(len, told.splitlines())) <= 80
    assert "bool" not in told, "a flag takes no value"
    assert "\b" not in told
    assert "\\b" not in told
    for line in re.findall(r"hpsearch [a-z]+ --.*", told):
        assert line.count("hpsearch ") == 1, "one example a line"
