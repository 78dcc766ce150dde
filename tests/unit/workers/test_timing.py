"""From measurements to a range: what is fast, what is slow, and how far configurations differ."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hpsearch.workers.launch import timing as module
from hpsearch.workers.launch.timing import TimeRange, Timing, range_of


def timing(
    epoch: float, *, average: float | None = None, setup: float = 0.0, slowdown: float = 1.0
) -> Timing:
    return Timing(
        setup=setup,
        typical_epoch=epoch,
        average_epoch=epoch if average is None else average,
        slowdown=slowdown,
    )


@dataclass(frozen=True)
class Case:
    timed: list[list[Timing | None]]
    expected: tuple[float, float] | None
    trainings: int = 10
    workers: int = 1


CASES = {
    "a quiet machine": Case([[timing(2.0)]], (60.0, 60.0)),
    # Every other batch lost the core to somebody: the typical one says nothing of that
    "a busy machine": Case([[timing(2.0, average=7.0)]], (60.0, 210.0)),
    "what comes before the first epoch": Case([[timing(2.0, setup=1.0)]], (70.0, 70.0)),
    # Only the first training of a process warms up: 8.5 s a trial, its standard error 1.5
    "the first one warms up": Case(
        [[timing(2.0, setup=4.0), timing(2.0, setup=1.0)]], (70.0, 115.0)
    ),
    # 2 and 6 s an epoch: the mean is 4, its standard error 2; at least half of it is certain
    "configurations differ": Case([[timing(2.0), timing(6.0)]], (60.0, 240.0)),
    "side by side": Case([[timing(2.0)], [timing(2.0)]], (30.0, 30.0), workers=2),
    # One process found less room than the other
    "processes differ": Case([[timing(2.0)], [timing(4.0)]], (30.0, 45.0), workers=2),
    # At the end one of four has nothing left to do: 2.5 turns become 3
    "a last turn": Case([[timing(2.0)]], (15.0, 18.0), workers=4),
    "one process died": Case([[timing(2.0)], []], (30.0, 30.0), workers=2),
    "one can't be trained": Case([[None, timing(2.0)]], (60.0, 60.0)),
    "none can be trained": Case([[None], []], None),
}


@pytest.fixture
def no_overhead(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKER_START", "TRIAL_OVERHEAD", "EPOCH_OVERHEAD", "LAUNCH_END"):
        monkeypatch.setattr(module, name, 0.0)


@pytest.mark.usefixtures("no_overhead")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_range_of_what_was_measured(case: Case) -> None:
    time_range = range_of(case.timed, trainings=case.trainings, epochs=3, workers=case.workers)
    if case.expected is None:
        assert time_range is None
        return
    assert isinstance(time_range, TimeRange)
    assert (time_range.low, time_range.high) == pytest.approx(case.expected)


def test_what_isnt_training_takes_its_time_too_and_more_beside_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WORKER_START", 2.0)
    monkeypatch.setattr(module, "TRIAL_OVERHEAD", 0.5)
    monkeypatch.setattr(module, "EPOCH_OVERHEAD", 0.1)
    monkeypatch.setattr(module, "LAUNCH_END", 1.0)
    timed = [[timing(2.0, slowdown=3.0, setup=0.25)]]
    time_range = range_of(timed, trainings=10, epochs=3, workers=1)
    assert time_range is not None
    assert (time_range.low, time_range.high) == pytest.approx(
        (3 + 10 * 7.05, 9 + 10 * (6.25 + 3 * 0.8))
    )
    # A trial that pauses twice is built three times; or not at all, if it goes on at once
    paused = range_of(timed, trainings=10, epochs=3, workers=1, pieces=3)
    assert paused is not None
    assert (paused.low, paused.high) == pytest.approx(
        (time_range.low, time_range.high + 10 * 2 * (0.25 + 1.5))
    )
