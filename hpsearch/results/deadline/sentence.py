"""A study's deadline in one sentence: when it is, what is reserved, what was done for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hpsearch.formatting import count_noun, format_long_duration, format_seconds
from hpsearch.results.confirmation.spec import confirmed_search, spec_of
from hpsearch.results.confirmation.stored import newest, progress_of
from hpsearch.results.deadline.forecast import forecast
from hpsearch.results.deadline.stored import closing_of, deadline_of, paused_for_it
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database


@dataclass(frozen=True, kw_only=True)
class DeadlineState:
    """A study's deadline at one moment; moments in seconds since 1970."""

    at: float
    worker_seconds: float | None
    #: Stage after the search -> estimated seconds.
    reserved: Mapping[str, float]
    search_ends: float
    #: When the search was ended for it; ``None`` if it wasn't.
    closed_at: float | None
    #: Trials that were running then, and were paused.
    paused: int
    #: How the confirmation was shortened; empty if it wasn't.
    shortened: str
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""

        def iso(moment: float | None) -> str | None:
            return (
                None
                if moment is None
                else datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
            )

        return {
            "at": iso(self.at),
            "worker_seconds": self.worker_seconds,
            "reserved_seconds": {
                name: round(seconds, 1) for name, seconds in self.reserved.items()
            },
            "search_ends": iso(self.search_ends),
            "search_closed": iso(self.closed_at),
            "paused_trials": self.paused,
            "sentence": self.sentence,
        }


def deadline_state(
    database: Database, record: StudyRecord, *, now: float | None = None, workers: int = 1
) -> DeadlineState | None:
    """Return the state of a search's deadline; ``None`` without one.

    Args:
        database: The study's database.
        record: The search.
        now: Seconds since 1970; ``None`` for this moment.
        workers: How many workers train; at least those that run now are assumed.
    """
    if confirmed_search(record.study) is not None:
        return None
    deadline = deadline_of(database, record.study)
    if deadline is None:
        return None
    now = time.time() if now is None else now
    estimate = forecast(database, record, deadline, now, workers)
    closing = closing_of(database, record.study.study_id, deadline)
    paused = len(paused_for_it(database, record.study.study_id, deadline))
    confirmation = newest(database, record.study.name)
    shortened = ""
    if closing is not None and confirmation is not None:
        spec = spec_of(confirmation.study)
        if spec.shortened is not None:
            shortened = (
                f"{spec.shortened.selection} of {spec.seeds} seeds choose and "
                f"{spec.shortened.report} of {spec.seeds} report"
            )
    limit = f"deadline {clock_time(estimate.at, now)}"
    if deadline.worker_seconds is not None:
        limit = (
            f"{format_long_duration(deadline.worker_seconds)} of workers' time, used up about "
            f"{clock_time(estimate.at, now)}"
        )
    reserved = ", ".join(
        f"{name} {format_seconds(seconds)}" for name, seconds in estimate.reserved.items()
    )
    if closing is not None:
        sentence = f"{limit}: the search ended at {clock_time(closing.moment, now)} to confirm"
        if paused:
            sentence = (
                f"{limit}: stopped {count_noun(paused, 'trial')} at "
                f"{clock_time(closing.moment, now)} to confirm"
            )
        if shortened:
            sentence += f"; the confirmation was shortened: {shortened}"
    elif now >= estimate.at:
        sentence = f"{limit} has passed"
    else:
        sentence = (
            f"{limit}: the search ends about {clock_time(estimate.search_ends, now)}; reserved for "
            f"what follows: {reserved}"
        )
    if deadline.has_passed(now) and _is_unconfirmed(record, confirmation):
        sentence += f"; no winner is confirmed: run `hpsearch confirm --study {record.study.name}`"
    return DeadlineState(
        at=estimate.at,
        worker_seconds=deadline.worker_seconds,
        reserved=estimate.reserved,
        search_ends=estimate.search_ends,
        closed_at=estimate.closed_at,
        paused=paused,
        shortened=shortened,
        sentence=sentence,
    )


def _is_unconfirmed(search: StudyRecord, confirmation: StudyRecord | None) -> bool:
    """Whether a search has something to confirm, and its newest confirmation has no winner."""
    if search.goals.is_multi_objective or not search.counts.complete:
        return False
    return confirmation is None or not progress_of(confirmation).finished


def clock_time(moment: float, now: float) -> str:
    """Return the local time of day, with seconds if it is near and the date if it isn't today.

    Args:
        moment: Seconds since 1970.
        now: Seconds since 1970.
    """
    then, today = datetime.fromtimestamp(moment), datetime.fromtimestamp(now)
    if then.date() != today.date():
        return then.strftime("%Y-%m-%d %H:%M")
    return then.strftime("%H:%M:%S" if abs(moment - now) < 3600 else "%H:%M")
