"""How many workers share one GPU: one more while more gets done, one less where it doesn't.

A small network leaves most of a GPU idle, so several trials side by side get more done; at some
number they only wait for each other, or for memory. Where that is depends on the networks, the GPU
and who else uses it, so it is found out while the search runs, and nothing is lost by it: a worker
that has to leave pauses its trial, which another takes up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Seconds over which work is measured, after seconds in which a new worker gets under way.
WINDOW, WARM_UP = 60.0, 15.0

#: One worker more must get this much more done to stay; and so much less tells that others came.
GAIN = 1.1

#: Windows after which a settled number is tried upwards again: other people leave, too.
PATIENCE = 10


@dataclass
class Autoscaler:
    """Finds the number of workers for one device.

    ``update`` is called as often as one likes with a clock (seconds) and the work done so far (any
    unit that grows with it; multiply-adds are fair between small and large networks).
    """

    #: Never more than this.
    most: int
    #: What is wanted now.
    workers: int = 1
    _since: float | None = None
    _work_then: float = 0.0
    _measured_from: float | None = None
    #: Work per second, measured with so many workers.
    _rates: dict[int, float] = field(default_factory=dict)
    _growing: bool = True
    _settled_windows: int = 0
    _slow_windows: int = 0

    def update(self, now: float, work: float) -> int:
        """Return how many workers to run from now on."""
        if self._since is None:
            self._since = now
        if now - self._since < WARM_UP:
            return self.workers
        if self._measured_from is None:
            self._measured_from, self._work_then = now, work
        elif now - self._measured_from >= WINDOW:
            self._judge((work - self._work_then) / (now - self._measured_from))
            self._measured_from, self._work_then = now, work
        return self.workers

    def out_of_memory(self) -> int:
        """Hear that this number didn't fit; returns how many workers to run from now on."""
        self.most = max(1, self.workers - 1)
        self._growing = False
        self._change(self.most)
        return self.workers

    def _judge(self, rate: float) -> None:
        if rate == 0:
            return  # no epoch ended within the window: nothing can be told yet
        before = self._rates.get(self.workers - 1)
        settled = self._rates.get(self.workers)
        self._rates[self.workers] = rate
        if self._growing:
            if before is not None and rate < GAIN * before:
                self._growing = False
                self._change(self.workers - 1)
            elif self.workers < self.most:
                self._change(self.workers + 1)
            else:
                self._growing = False
            return
        self._settled_windows += 1
        slow = settled is not None and rate * GAIN < settled
        # One slow window may be a slow network; two in a row are somebody else's load.
        self._slow_windows = self._slow_windows + 1 if slow else 0
        if slow and self._slow_windows == 1:
            self._rates[self.workers] = settled or rate
        elif slow and self.workers > 1:
            self._change(self.workers - 1)
        elif self._settled_windows >= PATIENCE and self.workers < self.most:
            self._growing = True
            self._change(self.workers + 1)

    def _change(self, workers: int) -> None:
        self.workers = workers
        self._since = self._measured_from = None
        self._settled_windows = self._slow_windows = 0
