"""The confirmation and the ablation that follow a search under a deadline: which comes next."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpsearch.results.confirmation.spec import confirmed_search
from hpsearch.results.confirmation.stored import newer_trials
from hpsearch.results.deadline.stored import closing_of, deadline_of, ended_stages
from hpsearch.results.planned import parent_of, plan_of, planned_studies
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.workers.trial.deadline_watch import MOST_LOOKS_PER_SECOND

#: Seconds after the last trial of the search, or after its last planned study, that a worker waits:
#: then nobody plans anything.
PATIENCE = 120.0

#: Seconds between two looks of a worker: at least, and at most if many look.
_LOOK_SECONDS, _LONGEST_PAUSE = 1.0, 15.0


class Following:
    """Finds the planned studies of a search whose time is over, one after another.

    Args:
        database: The search's database.
        search: The name of the search.
        workers: About how many workers look.
    """

    def __init__(self, database: Database, search: str, workers: int) -> None:
        self._database = database
        # Many workers together must not ask the database all the time
        self._pause = min(max(_LOOK_SECONDS, workers / MOST_LOOKS_PER_SECOND), _LONGEST_PAUSE)
        self._search = studies.find(database, search)
        #: The names that ``next_study`` has returned; these studies have ended or are out of time.
        self._past_names: set[str] = set()

    def next_study(
        self, must_leave: Callable[[], bool], wait: Callable[[float], None]
    ) -> str | None:
        """Wait for the next planned study.

        Args:
            must_leave: Returns whether to end the wait.
            wait: Sleeps for some seconds.

        Returns:
            Its name; ``None`` if there is no deadline or it has passed, if the search was stopped,
            if nothing that follows needs workers any more, or if nothing was planned for
            ``PATIENCE`` seconds.
        """
        if parent_of(self._search) is not None:
            return None
        until = time.monotonic() + PATIENCE
        while not must_leave() and time.monotonic() < until:
            current = studies.find(self._database, self._search.name)
            deadline = deadline_of(self._database, current)
            if deadline is None or deadline.has_passed(time.time()):
                return None
            stages = {"confirm", "answer"} & {"confirm", *deadline.stages}
            is_over = stages <= ended_stages(self._database, current.study_id, deadline)
            if is_over or current.stops > self._search.stops:
                return None
            # A closed search may still name a running trial: that of a worker that was killed
            if closing_of(self._database, current.study_id, deadline) is not None:
                study = self._planned()
                if study is not None:
                    self._past_names.add(study.name)
                    return study.name
            elif queries.counts(self._database, current.study_id).running:
                until = time.monotonic() + PATIENCE
            wait(self._pause)
        return None

    def _planned(self) -> StoredStudy | None:
        """Return the newest planned study, if it is open."""
        open_ones = [
            study
            for study in planned_studies(self._database, self._search.name)
            if study.name not in self._past_names
        ]
        for study in sorted(open_ones, key=lambda study: -study.study_id):
            record = read_study(self._database, study.name)
            if plan_of(record).finished:
                continue
            if confirmed_search(study) is not None and newer_trials(
                read_study(self._database, self._search.name), record
            ):
                continue  # of an earlier deadline: the launch plans another one
            return study
        return None
