"""What goes wrong in a tracker stays in its own thread, is told once, and is counted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.tracking.channel import Channel
from hpsearch.tracking.open_runs import RunLock, orphaned_runs
from hpsearch.tracking.tracker import TrackedTrial


class Notes:
    """A tracker that keeps what it is told."""

    def __init__(self, *, has: int = 0) -> None:
        self.has = has
        self.told: list[Any] = []

    def begin(self, trial: TrackedTrial) -> int:
        self.told.append(("begin", trial.number))
        return self.has

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        self.told.append((epoch, figures["val_accuracy"]))

    def end(self, state: str, value: float | None) -> None:
        self.told.append((state, value))

    def close(self) -> None:
        self.told.append("close")


def point(epoch: int) -> tuple[int, dict[str, float]]:
    return epoch, {"val_accuracy": epoch / 10}


@pytest.fixture
def trial(tmp_path: Path) -> Callable[..., TrackedTrial]:
    def make(number: int = 7) -> TrackedTrial:
        return TrackedTrial(
            study="s",
            study_key="k",
            number=number,
            params={},
            facts={},
            metric="val_accuracy",
            confirms=False,
            folder=tmp_path,
        )

    return make


def play(tracker: Any, trial: TrackedTrial, *, waiting: int = 100, seconds: float = 20) -> Channel:
    """One trial of three epochs from its begin to the tracker's close."""
    channel = Channel("mine", lambda: tracker, waiting=waiting)
    channel.begin(trial, [])
    for epoch in (1, 2, 3):
        channel.log(trial.run_id, point(epoch))
    channel.end(trial.run_id, "complete", 0.3)
    channel.close(time.monotonic() + seconds)
    return channel


def test_a_trials_life_in_order(trial) -> None:
    notes = Notes()
    channel = play(notes, trial())
    assert notes.told == [("begin", 7), (1, 0.1), (2, 0.2), (3, 0.3), ("complete", 0.3), "close"]
    assert channel.lost == 0


def test_what_the_ledger_has_fills_the_gap_and_an_epoch_done_again_is_no_second_point(trial):
    notes = Notes(has=2)
    channel = Channel("mine", lambda: notes)
    channel.begin(trial(), [point(1), point(2), point(3), point(4)])
    for epoch in (3, 4, 5):
        channel.log(trial().run_id, point(epoch))
    channel.close(time.monotonic() + 240)
    assert notes.told == [("begin", 7), (3, 0.3), (4, 0.4), (5, 0.5), "close"]


def test_one_failing_call_costs_its_point_and_is_told_once(trial, caplog) -> None:
    class Failing(Notes):
        def log(self, epoch: int, figures: Mapping[str, float]) -> None:
            if epoch < 3:
                raise ConnectionError("http://me:hushhush@host/ says\x1b[31m no\nmore")
            super().log(epoch, figures)

    failing = Failing()
    with caplog.at_level(logging.WARNING):
        channel = play(failing, trial())
    assert failing.told == [("begin", 7), (3, 0.3), ("complete", 0.3), "close"]
    assert channel.lost == 2
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith("tracker mine: it failed (ConnectionError: http://***@host/ says")
    assert "hushhush" not in caplog.text
    assert "\x1b" not in caplog.text
    assert messages[1] == "tracker mine: 2 points were not tracked"


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3)])
def test_a_run_that_cant_be_opened_costs_its_trial_alone(trial, error: BaseException) -> None:
    class Closed(Notes):
        def begin(self, trial: TrackedTrial) -> int:
            if trial.number == 7:
                raise error
            return super().begin(trial)

    closed = Closed()
    channel = Channel("mine", lambda: closed)
    for number in (7, 8):
        channel.begin(trial(number), [])
        channel.log(trial(number).run_id, point(1))
        channel.end(trial(number).run_id, "pruned", 0.1)
    channel.close(time.monotonic() + 240)
    assert closed.told == [("begin", 8), (1, 0.1), ("pruned", 0.1), "close"]
    assert channel.lost == 1


def test_a_tracker_that_cant_be_made_is_tried_with_the_next_trial(trial, caplog) -> None:
    notes, calls = Notes(), []

    def make() -> Notes:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("not yet")
        return notes

    channel = Channel("mine", make)
    for number in (7, 8):
        channel.begin(trial(number), [])
        channel.log(trial(number).run_id, point(1))
        channel.end(trial(number).run_id, "complete", 0.1)
    channel.close(time.monotonic() + 240)
    assert notes.told == [("begin", 8), (1, 0.1), ("complete", 0.1), "close"]


def test_a_hanging_tracker_holds_nobody_up(trial, caplog) -> None:
    hang = threading.Event()

    class Hanging(Notes):
        def begin(self, trial: TrackedTrial) -> int:
            hang.wait()
            return 0

    begun = time.monotonic()
    channel = play(Hanging(), trial(), seconds=0.5)
    assert time.monotonic() - begun < 30
    assert channel.lost == 3
    assert "it doesn't answer" in caplog.text
    hang.set()


def test_a_slow_tracker_drops_what_finds_no_room_and_keeps_trials_apart(trial, caplog) -> None:
    gate = threading.Event()

    class Slow(Notes):
        def log(self, epoch: int, figures: Mapping[str, float]) -> None:
            gate.wait()
            super().log(epoch, figures)

    slow = Slow()
    channel = Channel("mine", lambda: slow, waiting=5)
    channel.begin(trial(7), [])
    for epoch in range(1, 101):
        channel.log(trial(7).run_id, point(epoch))
    channel.end(trial(7).run_id, "complete", 1.0)  # finds no room
    gate.set()
    while not channel._queue.empty():
        time.sleep(0.01)
    channel.begin(trial(8), [])
    channel.log(trial(8).run_id, point(1))
    channel.end(trial(8).run_id, "pruned", 0.1)
    channel.close(time.monotonic() + 240)

    of_8 = slow.told.index(("begin", 8))
    points = [call for call in slow.told[1:of_8] if isinstance(call[0], int)]
    assert channel.lost == 100 - len(points) > 0
    assert slow.told[of_8 - 1] == ("paused", None)  # nobody could tell it the end
    assert slow.told[of_8:] == [("begin", 8), (1, 0.1), ("pruned", 0.1), "close"]
    assert caplog.text.count("it is too slow: 5 points are waiting") == 1


class TestMarks:
    def test_an_ended_run_leaves_none(self, trial, tmp_path) -> None:
        play(Notes(), trial())
        assert orphaned_runs(tmp_path, "mine") == []
        assert list(tmp_path.rglob("open-*")) == []

    def test_an_end_that_failed_leaves_one(self, trial, tmp_path) -> None:
        class Endless(Notes):
            def end(self, state: str, value: float | None) -> None:
                raise OSError("no")

        play(Endless(), trial())
        assert orphaned_runs(tmp_path, "mine") == [7]

    def test_one_in_use_is_no_abandoned_one(self, trial, tmp_path) -> None:
        mark = RunLock(tmp_path, "mine", 7)
        assert mark.is_ours
        assert not RunLock(tmp_path, "mine", 7).is_ours
        assert orphaned_runs(tmp_path, "mine") == []
        mark.release()
        assert orphaned_runs(tmp_path, "mine") == [7]
        assert orphaned_runs(tmp_path, "other") == []


def test_what_steers_a_reader_reaches_no_tracker(trial: Callable[..., TrackedTrial]) -> None:
    begun: list[TrackedTrial] = []

    class Reader(Notes):
        def begin(self, trial: TrackedTrial) -> int:
            begun.append(trial)
            return super().begin(trial)

    channel = Channel("tracker", Reader)
    hostile = {"model.name": "a\x1b[31m\u202eb", "lr": 0.1, "hidden": ["\x07"]}
    channel.begin(replace(trial(), params=hostile, facts={"device": "cpu\u2066"}), [])
    channel.close(time.monotonic() + 30)
    gone = "\N{REPLACEMENT CHARACTER}"
    assert begun[0].params == {"model.name": f"a{gone}[31m{gone}b", "lr": 0.1, "hidden": [gone]}
    assert begun[0].facts == {"device": f"cpu{gone}"}
