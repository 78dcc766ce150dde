"""One tracker's thread and its queue, so that training never waits for the tracker.

If the tracker is slower than training, the queue fills up; then points are dropped and counted.
Only the first problem is logged, not one per epoch.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpsearch.foreign_text import clean_value
from hpsearch.tracking.open_runs import RunLock
from hpsearch.tracking.tracker import RunState, TrackedTrial, Tracker

logger = logging.getLogger(__name__)

#: The length of a tracker's queue; if it is full, new points are dropped.
WAITING_POINTS = 1000

#: Characters of a tracker's error that are logged.
_ERROR_CHARACTERS = 300

_CREDENTIALS = re.compile(r"(://)[^\s/@]*@")

#: Epoch, and metric -> value.
Point = tuple[int, Mapping[str, float]]


@dataclass(frozen=True)
class _Begin:
    trial: TrackedTrial
    #: The points that the ledger has already.
    curve: Sequence[Point]


@dataclass(frozen=True)
class _Log:
    run_id: str
    point: Point


@dataclass(frozen=True)
class _End:
    run_id: str
    state: RunState
    value: float | None


class Channel:
    """Sends trials to one tracker, which ``make`` creates in the thread that uses it."""

    def __init__(
        self, name: str, make: Callable[[], Tracker], *, waiting: int = WAITING_POINTS
    ) -> None:
        self.name = name
        self._make = make
        self._queue: queue.Queue[_Begin | _Log | _End] = queue.Queue(waiting)
        self._closing = threading.Event()
        #: The number of points that the tracker didn't get.
        self.lost = 0
        self._has_warned = False
        self._tracker: Tracker | None = None
        self._run: str | None = None
        self._mark: RunLock | None = None
        self._last = 0
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def begin(self, trial: TrackedTrial, curve: Sequence[Point]) -> None:
        """Open or continue the trial's run, and add the points of ``curve`` that it lacks."""
        # Control and invisible characters are as harmful on a tracker's page as in a terminal
        params, facts = clean_value(dict(trial.params)), clean_value(dict(trial.facts))
        self._put(_Begin(replace(trial, params=params, facts=facts), curve))

    def log(self, run_id: str, point: Point) -> None:
        """Add one epoch to the run ``run_id``."""
        self._put(_Log(run_id, point))

    def end(self, run_id: str, state: RunState, value: float | None) -> None:
        """Close a run.

        Args:
            run_id: The run; without effect if another one is open.
            state: The trial's state.
            value: The trial's value; ``None`` if it has none.
        """
        self._put(_End(run_id, state, value))

    def close(self, deadline: float) -> None:
        """Let the thread finish its queue, until ``deadline`` (``time.monotonic``)."""
        self._closing.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._warn("it doesn't answer, so the worker ends without waiting for it")
            self.lost += sum(isinstance(order, _Log) for order in list(self._queue.queue))
        if self.lost:
            logger.warning("tracker %s: %d points were not tracked", self.name, self.lost)

    def _put(self, order: _Begin | _Log | _End) -> None:
        try:
            self._queue.put_nowait(order)
        except queue.Full:
            self.lost += isinstance(order, _Log)
            self._warn(f"it is too slow: {self._queue.maxsize} points are waiting")

    def _work(self) -> None:
        while True:
            try:
                order = self._queue.get(timeout=0.2)
            except queue.Empty:
                if self._closing.is_set():
                    break
                continue
            try:
                self._handle(order)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it must not affect the trial
                self.lost += isinstance(order, _Log)
                self._warn(f"it failed ({_first_line(error)})")
        if self._tracker is not None:
            try:
                self._tracker.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001
                self._warn(f"it failed ({_first_line(error)})")

    def _handle(self, order: _Begin | _Log | _End) -> None:
        match order:
            case _Begin(trial, curve):
                if self._run is not None:
                    # Its end was dropped because the queue was full
                    self._end("paused", None)
                self._begin(trial, curve)
            case _Log(run_id, point):
                if run_id == self._run:
                    self._log(point)
                else:
                    self.lost += 1
            case _End(run_id, state, value):
                if run_id == self._run:
                    self._end(state, value)

    def _begin(self, trial: TrackedTrial, curve: Sequence[Point]) -> None:
        self._mark = RunLock(trial.folder, self.name, trial.number)
        if self._tracker is None:
            self._tracker = self._make()
        self._last = self._tracker.begin(trial)
        self._run = trial.run_id
        for point in curve:
            self._log(point)

    def _end(self, state: RunState, value: float | None) -> None:
        mark, self._mark, self._run = self._mark, None, None
        if self._tracker is None or mark is None:
            return
        has_ended = False
        try:
            self._tracker.end(state, value)
            has_ended = state != "paused"
        finally:
            mark.close() if has_ended else mark.release()

    def _log(self, point: Point) -> None:
        epoch, metrics = point
        # An epoch that a resumed trial repeats is tracked already
        if epoch > self._last and self._tracker is not None:
            self._tracker.log(epoch, metrics)
            self._last = epoch

    def _warn(self, problem: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "tracker %s: %s; training continues, and lost points are counted",
                self.name,
                problem,
            )


def _first_line(error: BaseException) -> str:
    """Return an error on one line without credentials or control characters."""
    first = str(error).strip().partition("\n")[0][:_ERROR_CHARACTERS]
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in first)
    return type(error).__name__ + ": " + _CREDENTIALS.sub(r"\1***@", text)
