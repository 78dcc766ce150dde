"""How many workers share one GPU: one more while throughput grows, one less if it doesn't.

A small network leaves most of a GPU idle, so several trials side by side get more done; from some
number on they only wait for each other, or for memory. That number depends on the networks, the GPU
and its other users, so it is measured while the search runs. No work is lost: a worker that has to
leave pauses its trial, which another worker resumes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from hpsearch.results import trial_attributes
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.events import EventKind, event_log, newest_event_id
from hpsearch.workers.trial.memory import OUT_OF_MEMORY

#: Seconds of a measurement, and seconds before it in which a new worker starts.
WINDOW, WARM_UP = 60.0, 15.0

#: Factor by which one more worker must increase the rate to stay; a rate lower by this factor is a
#: sign of other users.
GAIN = 1.1

#: Windows after which one more worker is tried again: other users may have left.
PATIENCE = 10


@dataclass
class Autoscaler:
    """Finds the number of workers for one device.

    ``update`` may be called at any time with a clock (seconds) and the work done so far (any unit;
    multiply-adds are comparable between small and large networks).
    """

    #: The maximum.
    most: int
    #: The number to run now.
    workers: int = 1
    _since: float | None = None
    _work_then: float = 0.0
    _measured_from: float | None = None
    #: Number of workers -> measured work per second.
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
        """Lower the maximum below the current number; return how many workers to run now."""
        self.most = max(1, self.workers - 1)
        self._growing = False
        self._change(self.most)
        return self.workers

    def _judge(self, rate: float) -> None:
        if rate == 0:
            return  # no epoch ended within the window, so the rate is unknown
        before = self._rates.get(self.workers - 1)
        usual_rate = self._rates.get(self.workers)
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
        slow = usual_rate is not None and rate * GAIN < usual_rate
        # One slow window may be a slow network; two in a row mean that others use the GPU.
        self._slow_windows = self._slow_windows + 1 if slow else 0
        if slow and self._slow_windows == 1:
            self._rates[self.workers] = usual_rate or rate
        elif slow and self.workers > 1:
            self._change(self.workers - 1)
        elif self._settled_windows >= PATIENCE and self.workers < self.most:
            self._growing = True
            self._change(self.workers + 1)

    def _change(self, workers: int) -> None:
        self.workers = workers
        self._since = self._measured_from = None
        self._settled_windows = self._slow_windows = 0


#: Seconds between two reads of the database.
LOOK_SECONDS = 5.0

#: The attributes of a trial whose product is the work of one epoch.
_FACTORS = ("multiply_adds", "train_images", "trainings")


class ThroughputReader:
    """Reads a study's work repeatedly, at most every ``LOOK_SECONDS``."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        self._looked_at = float("-inf")
        self._done = 0.0
        #: The work of one epoch, by trial id.
        self._costs: dict[int, float] = {}
        self._last_event_id = newest_event_id(database, study_id)

    def read(self) -> tuple[float, bool]:
        """Return the work done so far, and whether memory ran out since the last read.

        Work is counted in multiply-adds (forward passes over training images): unlike epochs, they
        are comparable between small and large networks.
        """
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return self._done, False
        self._looked_at = now
        tickets = queries.all_tickets(self._database, self._study_id)
        self._done = sum(
            ticket.epochs_done * self._cost(ticket.trial_id)
            for ticket in tickets
            if ticket.trial_id is not None and ticket.epochs_done
        )
        events = event_log(self._database, self._study_id, after=self._last_event_id)
        if events:
            self._last_event_id = events[-1].event_id
        return self._done, any(
            event.kind == EventKind.WAITING_FOR_MEMORY
            or str(event.detail.get("error", "")).startswith(OUT_OF_MEMORY)
            for event in events
        )

    def _cost(self, trial_id: int) -> float:
        if trial_id not in self._costs:
            attributes = trial_attributes.read(self._database, trial_id)
            # A training loop of the study's own records none of these: its epochs count alike
            self._costs[trial_id] = math.prod(float(attributes.get(name, 1)) for name in _FACTORS)
        return self._costs[trial_id]
