"""What a worker needs to know of its study's deadline: what may begin, and when to stop.

Every worker decides by itself, from the ledger and the time of day, so workers on other hosts need
no launch for it. The estimate is read again every few seconds, never inside a batch.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from hpsearch.errors import UnknownName
from hpsearch.results.deadline.forecast import Forecast, is_over, next_goal, read_forecast
from hpsearch.results.deadline.seeds import fit_seeds
from hpsearch.results.deadline.shorter import shorten_if_late
from hpsearch.results.deadline.stages import stage_of
from hpsearch.results.deadline.stored import (
    ANSWERING_IS_OVER,
    CONFIRMING_IS_OVER,
    SEARCH_IS_OVER,
)
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.pruning.promotion import LEAST_COMPLETE

#: Seconds between two estimates, and the pause after one as a multiple of its length: it reads all
#: trials, so it takes long in a long search.
LOOK_SECONDS, LOOK_PAUSE = 3.0, 20.0

#: Estimates per second of all workers together.
MOST_LOOKS_PER_SECOND = 16

#: Seconds over which the largest number of running trials counts as the number of workers.
_WORKERS_WINDOW = 60.0


class DeadlineWatch:
    """Decides for one worker what its study's deadline allows.

    Args:
        database: The study's database.
        study: A search, or a planned study; its deadline is that of its search.
        rungs: The epochs at which trials pause, ascending.
        clock: Returns seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        study: StoredStudy,
        rungs: Sequence[int],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._study = study
        #: The stage of ``results.deadline.stages`` that a planned study is; ``None`` for a search.
        self._stage = stage_of(study)
        self._rungs = tuple(rungs)
        self._last = study.epochs_per_trial
        self._clock = clock
        self._forecast: Forecast | None = None
        #: Whether the deadline had passed before this worker began, so that it doesn't count.
        self._is_past = False
        self._looked_at = -math.inf
        self._pause = 0.0
        #: When how many trials ran, the newest last.
        self._running: list[tuple[float, int]] = []
        self._lock = threading.Lock()

    @property
    def workers(self) -> int:
        """About how many workers train."""
        return max((number for _, number in self._running), default=1)

    @property
    def reason(self) -> str:
        """Why a trial stops when its time is over."""
        return {None: SEARCH_IS_OVER, "confirm": CONFIRMING_IS_OVER}.get(
            self._stage, ANSWERING_IS_OVER
        )

    def saw(self, running: int) -> None:
        """Note how many trials run."""
        now = self._clock()
        recent = [pair for pair in self._running if now - pair[0] < _WORKERS_WINDOW]
        self._running = [*recent, (now, running)]

    def refresh(self) -> None:
        """Read the estimate again if it is older than some seconds; any thread may call it."""
        now = self._clock()
        # Many workers together must not ask the database all the time
        least = max(LOOK_SECONDS, self.workers / MOST_LOOKS_PER_SECOND)
        if self._is_past or abs(now - self._looked_at) < max(least, self._pause):
            return
        if not self._lock.acquire(blocking=False):
            return
        try:
            with suppress(UnknownName):  # the search of a confirmation may be deleted
                forecast = read_forecast(self._database, self._study, now=now, workers=self.workers)
                first = self._looked_at == -math.inf
                self._is_past = first and self._stage is not None and is_over(forecast, now)
                self._forecast = None if self._is_past else forecast
            self._looked_at = self._clock()
            self._pause = LOOK_PAUSE * (self._looked_at - now)
        finally:
            self._lock.release()

    def allows(self, done: int, seconds: float) -> bool:
        """Whether there is time to train a trial until it can win.

        That is at the last rung, whose trials may be confirmed, or at the last epoch. Before some
        trials are complete a new one needs the time for all its epochs, so that some will be.

        Args:
            done: Epochs that it has trained; 0 for a new trial.
            seconds: The seconds that these took.
        """
        forecast = self._forecast
        if forecast is None:
            return True
        rungs = self._rungs if done or forecast.complete >= LEAST_COMPLETE else ()
        goal = next_goal(done, rungs, self._last)
        needed = forecast.time_of(goal - done, done, seconds)
        return self._clock() + needed <= self._ends(forecast)

    def must_pause(self, done: int) -> bool:
        """Whether a trial that has just ended an epoch must be paused: the time is over."""
        forecast = self._forecast
        return forecast is not None and done > 0 and self._clock() >= self._ends(forecast)

    def is_over(self, *, after: float = 0.0) -> bool:
        """Whether a training must stop at this batch; ``after``: that long ago, in seconds."""
        forecast = self._forecast
        if forecast is None:
            return False
        return self._clock() >= forecast.training_ends(self._stage) + after

    def shorten(self) -> None:
        """Lower the seeds of a confirmation that would be late; give an ablation those that fit."""
        self.refresh()
        if self._forecast is not None and self._stage is not None:
            work = shorten_if_late if self._stage == "confirm" else fit_seeds
            work(
                self._database,
                self._study.name,
                self._forecast,
                now=self._clock(),
                workers=self.workers,
            )

    def _ends(self, forecast: Forecast) -> float:
        return forecast.search_ends if self._stage is None else forecast.ends_of(self._stage)
