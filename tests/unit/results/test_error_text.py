"""A stored error in one line, and a long one cut so that type, beginning and end are left."""

from __future__ import annotations

import traceback

import pytest

from hpsearch.results.error_text import first_line, shorten
from hpsearch.workers.trial.trial_run import _ACCOUNT, _account


def raised(error: BaseException) -> BaseException:
    """Return ``error`` with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


def story(error: BaseException) -> str:
    return "".join(traceback.format_exception(raised(error)))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("", ""),
        ("out of memory\n\nTraceback ...", "out of memory"),
        ("Traceback ...\nRuntimeError: poison", "RuntimeError: poison"),
        (story(ValueError("one line")), "ValueError: one line"),
        (story(ValueError("first\nsecond\nthird")), "ValueError: first"),
        (story(KeyError("x")), "KeyError: 'x'"),
    ],
)
def test_the_line_that_says_most(error, line):
    assert first_line(error) == line


def test_of_a_chain_the_last_exception_counts():
    try:
        try:
            raise ValueError("cause")
        except ValueError as cause:
            raise RuntimeError("what came of it\nand more") from cause
    except RuntimeError as error:
        told = "".join(traceback.format_exception(error))
    assert first_line(told) == "RuntimeError: what came of it"


def test_a_long_line_keeps_its_beginning_and_its_end():
    line = first_line(story(ValueError("begins " + "x" * 5000 + " ends")))
    assert line.startswith("ValueError: begins x")
    assert line.endswith("x ends")
    assert "characters or more left out" in line
    assert len(line) <= 300 and "\n" not in line


@pytest.mark.parametrize(
    "message",
    [
        "begins " + "x" * 20_000 + " ends",
        "begins\n" + "a line\n" * 5000 + "ends",
    ],
    ids=["one line", "many lines"],
)
def test_a_long_account_keeps_type_beginning_and_end(message):
    told = _account(raised(ValueError(message)))
    assert len(told) <= _ACCOUNT
    assert told.startswith("ValueError: begins")
    assert "Traceback (most recent call last)" in told
    assert told.rstrip().endswith("ends")
    assert first_line(told).startswith("ValueError: begins")
    assert "\n" not in first_line(told)


def test_a_short_account_is_the_traceback():
    told = _account(raised(ValueError("short")))
    assert told.startswith("Traceback (most recent call last)")
    assert first_line(told) == "ValueError: short"


def test_what_is_short_is_left_alone():
    assert shorten("abc", 3, beginning=1) == "abc"
