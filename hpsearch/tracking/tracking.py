"""All trackers of a worker: what they get of each trial.

Only ``close`` waits for a tracker, and it has a limit.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial

from hpsearch.metrics import METRIC_COLUMNS, EpochMetrics
from hpsearch.registry import Component
from hpsearch.tracking.channel import Channel, Point
from hpsearch.tracking.tracker import TRACKERS, RunState, TrackedTrial


def require_usable(trackers: Iterable[Component]) -> None:
    """Raise ``UserError`` if a tracker can't work here, for example if its package is missing."""
    for component in trackers:
        TRACKERS.build(component)


class Tracking:
    """Sends one trial after the other to every tracker of ``trackers``."""

    def __init__(self, trackers: Sequence[Component] = ()) -> None:
        self._trackers = tuple(trackers)
        self._trial: TrackedTrial | None = None

    def __bool__(self) -> bool:
        """Whether there is any tracker."""
        return bool(self._trackers)

    @property
    def names(self) -> list[str]:
        """The trackers' names."""
        return [tracker.name for tracker in self._trackers]

    def begin(self, trial: TrackedTrial, curve: Sequence[EpochMetrics]) -> None:
        """Begin an attempt on ``trial``; ``curve`` is what the ledger has of it."""
        self._trial = trial
        points = [_point(metrics) for metrics in curve]
        for channel in self._channels.values():
            channel.begin(trial, points)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Send an epoch that the ledger has accepted."""
        if self._trial is None:
            return
        for channel in self._channels.values():
            channel.log(self._trial.run_id, _point(metrics))

    def end(self, state: RunState, value: float | None = None) -> None:
        """End the attempt, after it has ended in the ledger; without effect if none was begun."""
        trial, self._trial = self._trial, None
        if trial is None:
            return
        for channel in self._channels.values():
            channel.end(trial.run_id, state, value)

    def catch_up(
        self,
        tracker: str,
        trial: TrackedTrial,
        curve: Sequence[EpochMetrics],
        state: RunState,
        value: float | None,
    ) -> None:
        """Close a run that another worker left open in one of the trackers.

        Args:
            tracker: The tracker's name.
            trial: The trial of the run.
            curve: The trial's epochs; those that the run lacks are added.
            state: The trial's state.
            value: The trial's value; ``None`` if it has none.
        """
        channel = self._channels[tracker]
        channel.begin(trial, [_point(metrics) for metrics in curve])
        channel.end(trial.run_id, state, value)

    def close(self, seconds: float) -> None:
        """Give the trackers ``seconds`` to finish their queues, and close them."""
        if "_channels" not in vars(self):
            return
        deadline = time.monotonic() + seconds
        for channel in self._channels.values():
            channel.close(deadline)
        del self._channels

    @cached_property
    def _channels(self) -> Mapping[str, Channel]:
        # Created at the first use, since each starts a thread
        return {
            tracker.name: Channel(tracker.name, partial(TRACKERS.build, tracker))
            for tracker in self._trackers
        }


def _point(metrics: EpochMetrics) -> Point:
    """Return what is tracked of an epoch: its number and every metric."""
    values = {name: float(getattr(metrics, name)) for name in METRIC_COLUMNS if name != "epoch"}
    # `val_recall(CLASS)` as `val_recall/CLASS`: trackers refuse brackets
    others = {
        re.sub(r"[^\w ./-]", "_", name.rstrip(")").replace("(", "/")): value
        for name, value in metrics.others.items()
    }
    return metrics.epoch, values | others
