"""Durations with their unit."""

from __future__ import annotations

import pytest

from hpsearch.study_file.durations import format_duration, parse_duration

CASES = [
    ("90s", 90.0, "90s"),
    ("90m", 5400.0, "90m"),
    ("1.5h", 5400.0, "90m"),
    ("8h", 28800.0, "8h"),
    ("2d", 172800.0, "2d"),
    ("48h", 172800.0, "2d"),
    ("0.5s", 0.5, "0.5s"),
    ("1h30m", 5400.0, "90m"),
    ("1d3h50m", 100_200.0, "1670m"),
]


@pytest.mark.parametrize(("text", "seconds", "canonical"), CASES)
def test_a_duration_in_seconds_and_back(text, seconds, canonical):
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == canonical
    assert parse_duration(canonical) == seconds


@pytest.mark.parametrize(
    "text", ["", "8", "h", "-1h", "8 h", "1e3s", "8h\n", "8H", "30m1h", "1h1h", "1h.5m"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="must be a duration with its unit, as in 90s, 30m, 8h"):
        parse_duration(text)


def test_no_time_at_all_is_refused():
    with pytest.raises(ValueError, match="must be longer than 0, but got '0s'"):
        parse_duration("0s")
