"""How much work a study's trainings have done, and whether memory ran out: for ``autoscale``."""

from __future__ import annotations

import time

from hpsearch.results import trial_attributes
from hpsearch.search import queries
from hpsearch.search.events import EventKind, event_log, newest_event_id
from hpsearch.search.storage import Database
from hpsearch.workers.trial.memory import OUT_OF_MEMORY

#: Seconds between two reads of the database.
LOOK_SECONDS = 5.0


class ThroughputReader:
    """Reads a study's work repeatedly, at most every ``LOOK_SECONDS``."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        self._looked_at = float("-inf")
        self._done = 0.0
        #: Multiply-adds of one epoch, by trial id.
        self._costs: dict[int, float] = {}
        self._seen = newest_event_id(database, study_id)

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
            each.epochs_done * self._cost(each.trial_id)
            for each in tickets
            if each.trial_id is not None and each.epochs_done
        )
        events = event_log(self._database, self._study_id, after=self._seen)
        if events:
            self._seen = events[-1].event_id
        return self._done, any(
            event.kind == EventKind.WAITING_FOR_MEMORY
            or str(event.detail.get("error", "")).startswith(OUT_OF_MEMORY)
            for event in events
        )

    def _cost(self, trial_id: int) -> float:
        if trial_id not in self._costs:
            noted = trial_attributes.read(self._database, trial_id)
            images = float(noted["train_images"]) * float(noted.get("trainings", 1))
            self._costs[trial_id] = float(noted["multiply_adds"]) * images
        return self._costs[trial_id]
