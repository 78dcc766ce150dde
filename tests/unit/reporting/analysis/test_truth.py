"""A few searches whose truth is known. ``benchmarks.effects`` is the measurement; docs/reports.md
has its figures.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.effects import Record, judge, rows
from benchmarks.made_up_searches import WORLDS

RANDOM = replace(WORLDS[0], epochs=9)
NOTHING = replace(
    RANDOM,
    pruner="asha",
    width=0, dilation=0, kernel=0, residual=0, adam=0, batch=0, rates=0, diverges=False,
)  # fmt: skip


def record_of(world, searches: int) -> Record:
    record = Record()
    for seed in range(searches):
        record.add(judge(world, seed))
    return record


def test_intervals_hold_the_truth_and_what_matters_is_found() -> None:
    record = record_of(RANDOM, 2)
    assert len(record.contains_truth) > 20
    assert sum(record.contains_truth) / len(record.contains_truth) > 0.9
    assert sum(record.power) >= 3
    assert all(record.right)
    assert len(rows({"random": record})) == 2


def test_nothing_is_claimed_where_nothing_matters() -> None:
    record = record_of(NOTHING, 1)
    assert len(record.idle_yes) > 5
    assert not any(record.idle_yes)
