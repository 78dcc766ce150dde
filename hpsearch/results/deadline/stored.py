"""A study's deadline in its event log, and what was done for it.

The newest event of its kind is the deadline, so every worker on every host finds it, and a later
launch may replace it. A deadline is wall time: hosts must agree on the time of day to some seconds.
(Leases compare no clocks.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from hpsearch.results.ablation.spec import timed_search
from hpsearch.results.confirmation.spec import confirmed_search
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import events
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import EVENT_COLUMNS, Event, EventKind, event_of
from hpsearch.search.ledger.studies import StoredStudy, record_study_event

#: Why a worker gives a trial back when the time of the search is over; in the event log.
SEARCH_IS_OVER = "the time of the search is over: its winner is confirmed before the deadline"

#: The same in a confirmation, and in an ablation, for what follows.
CONFIRMING_IS_OVER = "the time of the confirmation is over: the deadline is close"
ANSWERING_IS_OVER = "the time of the answer is over: the deadline is close"


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """When a study must have its result.

    Exactly one of ``at`` and ``worker_seconds`` is set.
    """

    #: When it was set, and when it passes; seconds since 1970 (UTC).
    begun: float
    at: float | None = None
    #: Seconds of training, of all workers together, that the study may use from then on.
    worker_seconds: float | None = None
    #: Seconds of training that the study had used before.
    used_before: float = 0.0
    #: The optional stages after the search that it includes.
    stages: frozenset[str] = frozenset()
    #: Its event; 0 before it is stored.
    event_id: int = 0

    def has_passed(self, now: float) -> bool:
        """Whether it is a moment before ``now`` (seconds since 1970)."""
        return self.at is not None and now >= self.at


@dataclass(frozen=True, kw_only=True)
class Closing:
    """The end of a search for its deadline."""

    #: ISO 8601, UTC.
    at: str
    #: Seconds since 1970.
    moment: float
    #: Stage -> seconds that were reserved.
    reserved: dict[str, float]


def set_deadline(database: Database, study_id: int, deadline: Deadline | None) -> None:
    """Store a deadline in place of an earlier one.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        deadline: The deadline; ``None`` removes it.
    """
    detail = {}
    if deadline is not None:
        detail = {
            "begun": deadline.begun,
            "at": deadline.at,
            "worker_seconds": deadline.worker_seconds,
            "used_before": deadline.used_before,
            "stages": sorted(deadline.stages),
        }
    record_study_event(database, study_id, EventKind.DEADLINE_SET, detail)


def search_of(study: StoredStudy) -> str | None:
    """Return the search whose deadline a planned study keeps; ``None`` if there is none.

    Confirmations keep it, and the ablations that a launch creates under it.
    """
    return confirmed_search(study) or timed_search(study)


def deadline_of(database: Database, study: StoredStudy) -> Deadline | None:
    """Return the deadline of a search, or of the search of a planned study that keeps it."""
    of = search_of(study)
    if of is not None:
        search = studies.find_or_none(database, of)
        return None if search is None else deadline_of(database, search)
    newest = _events(database, study.study_id, [EventKind.DEADLINE_SET], newest=True)
    if not newest or "begun" not in newest[0].detail:
        return None
    detail = newest[0].detail
    return Deadline(
        begun=detail["begun"],
        at=detail["at"],
        worker_seconds=detail["worker_seconds"],
        used_before=detail["used_before"],
        stages=frozenset(detail["stages"]),
        event_id=newest[0].event_id,
    )


def close_search(database: Database, study_id: int, closing: Closing) -> None:
    """Record that no trial of the search is trained any more under its deadline.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        closing: When, and what was reserved.
    """
    detail = {"moment": closing.moment, "reserved": closing.reserved}
    record_study_event(database, study_id, EventKind.SEARCH_CLOSED, detail)


def closing_of(database: Database, study_id: int, deadline: Deadline) -> Closing | None:
    """Return the end of the search under a deadline.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        deadline: Its deadline.

    Returns:
        The end; ``None`` if the search continues.
    """
    newest = _events(
        database, study_id, [EventKind.SEARCH_CLOSED], newest=True, after=deadline.event_id
    )
    if not newest or "moment" not in newest[0].detail:
        return None
    return Closing(
        at=newest[0].at,
        moment=newest[0].detail["moment"],
        reserved=dict(newest[0].detail.get("reserved", {})),
    )


def paused_for_it(database: Database, study_id: int, deadline: Deadline) -> list[Event]:
    """Return the events by which running trials were paused for a deadline, oldest first.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        deadline: Its deadline.
    """
    kinds = [EventKind.RELEASED]
    releases = _events(database, study_id, kinds, after=deadline.event_id)
    return [event for event in releases if event.detail.get("reason") == SEARCH_IS_OVER]


def record_stage(database: Database, study_id: int, stage: str, seconds: float) -> None:
    """Record how long a stage after a search took, as the estimate of the next one.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        stage: The stage's name.
        seconds: Its seconds.
    """
    detail = {"stage": stage, "seconds": seconds}
    record_study_event(database, study_id, EventKind.STAGE_ENDED, detail)


def stage_seconds(database: Database, study_id: int, stage: str) -> float | None:
    """Return how long a stage took last.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        stage: The stage's name.

    Returns:
        Its seconds; ``None`` if it never ran.
    """
    for event in reversed(_events(database, study_id, [EventKind.STAGE_ENDED])):
        if event.detail.get("stage") == stage:
            return float(event.detail["seconds"])
    return None


def ended_stages(database: Database, study_id: int, deadline: Deadline) -> frozenset[str]:
    """Return the names of the stages that have ended under a deadline.

    Args:
        database: The study's database.
        study_id: Optuna's id of the search.
        deadline: Its deadline.
    """
    ends = _events(database, study_id, [EventKind.STAGE_ENDED], after=deadline.event_id)
    return frozenset(str(event.detail.get("stage")) for event in ends)


def _events(
    database: Database,
    study_id: int,
    kinds: Sequence[EventKind],
    *,
    newest: bool = False,
    after: int = 0,
) -> list[Event]:
    """Return a study's events of some kinds, oldest first, or only the newest of them."""
    query = sa.select(*EVENT_COLUMNS).where(
        events.c.study_id == study_id,
        events.c.kind.in_([kind.value for kind in kinds]),
        events.c.event_id > after,
    )
    order = events.c.event_id
    query = query.order_by(order.desc()).limit(1) if newest else query.order_by(order)
    return database.read(
        lambda connection: [event_of(row) for row in connection.execute(query).mappings()]
    )
