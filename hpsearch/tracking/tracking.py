"""A worker's trackers together: what a trial's life tells them.

Nothing here waits for a tracker, except ``close``, which has a limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial

from hpsearch.metrics import METRIC_COLUMNS, EpochResult
from hpsearch.registry import Component
from hpsearch.tracking.channel import Channel, Point
from hpsearch.tracking.tracker import TRACKERS, RunState, TrackedTrial


def require_usable(trackers: Iterable[Component]) -> None:
    """Raise ``UserError`` where a tracker can't work here, as where its package is missing."""
    for component in trackers:
        TRACKERS.build(component)


class Tracking:
    """Tells every tracker of ``trackers`` about one trial after the other."""

    def __init__(self, trackers: Sequence[Component] = ()) -> None:
        self._trackers = tuple(trackers)
        self._trial: TrackedTrial | None = None

    def __bool__(self) -> bool:
        """Whether there is any tracker to tell."""
        return bool(self._trackers)

    @property
    def names(self) -> list[str]:
        """The trackers' names."""
        return [each.name for each in self._trackers]

    def begin(self, trial: TrackedTrial, curve: Sequence[EpochResult]) -> None:
        """An attempt on ``trial`` begins; ``curve`` is what the ledger has of it."""
        self._trial = trial
        points = [_point(each) for each in curve]
        for channel in self._channels.values():
            channel.begin(trial, points)

    def epoch(self, result: EpochResult) -> None:
        """The ledger has accepted an epoch."""
        if self._trial is None:
            return
        for channel in self._channels.values():
            channel.log(self._trial.run_id, _point(result))

    def end(self, state: RunState, value: float | None = None) -> None:
        """The attempt is over, and the ledger knows how; without effect where none was begun."""
        trial, self._trial = self._trial, None
        if trial is None:
            return
        for channel in self._channels.values():
            channel.end(trial.run_id, state, value)

    def catch_up(
        self,
        tracker: str,
        trial: TrackedTrial,
        curve: Sequence[EpochResult],
        state: RunState,
        value: float | None,
    ) -> None:
        """Close a run that somebody else has left open in one of the trackers."""
        channel = self._channels[tracker]
        channel.begin(trial, [_point(each) for each in curve])
        channel.end(trial.run_id, state, value)

    def close(self, seconds: float) -> None:
        """Give the trackers ``seconds`` to finish what waits for them, and let go of them."""
        if "_channels" not in vars(self):
            return
        deadline = time.monotonic() + seconds
        for channel in self._channels.values():
            channel.close(deadline)
        del self._channels

    @cached_property
    def _channels(self) -> Mapping[str, Channel]:
        # Not made before there is something to track: a thread each
        return {
            each.name: Channel(each.name, partial(TRACKERS.build, each)) for each in self._trackers
        }


def _point(result: EpochResult) -> Point:
    """Return what is tracked of an epoch: every figure but its number."""
    metrics = {name: float(getattr(result, name)) for name in METRIC_COLUMNS if name != "epoch"}
    return result.epoch, metrics
