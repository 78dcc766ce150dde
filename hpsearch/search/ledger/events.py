"""The append-only event log: what has happened to each ticket and to the study, and when.

Events are never changed or deleted. A later version may write kinds that this one doesn't know, so
an event that is read has its kind as text; ``EventKind`` compares equal to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database.prepared import execute, insertion
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import Damaged, decode, warn
from hpsearch.search.database.tables import events


class EventKind(StrEnum):
    """What an event reports. The values are stored: they never change."""

    #: A worker took a new ticket; the detail contains its process id.
    CLAIMED = "claimed"
    #: A worker took a paused ticket; ``promoted_from`` is in the detail if it waited at a rung.
    RESUMED = "resumed"
    #: The ticket got a configuration and Optuna's row.
    STARTED = "started"
    #: A drawn configuration can't be built; the ticket draws again.
    INFEASIBLE = "infeasible"
    #: A checkpoint is safe on disk.
    CHECKPOINT = "checkpoint"
    #: A checkpoint couldn't be read; the trial continued from an older one.
    CHECKPOINT_UNUSABLE = "checkpoint_unusable"
    #: There was no room for a checkpoint; training continued.
    CHECKPOINT_SKIPPED = "checkpoint_skipped"
    #: ``doctor --repair`` removed a damaged checkpoint from the ticket.
    CHECKPOINT_FORGOTTEN = "checkpoint_forgotten"
    #: A worker that resumed an older checkpoint reported an epoch that was already recorded.
    EPOCH_REDONE = "epoch_redone"
    #: The pruning audit kept a trial that the pruner would have stopped.
    KEPT_BY_AUDIT = "spared"
    #: The trial waits at a rung.
    PAUSED = "paused"
    #: The trial waits for free GPU memory.
    WAITING_FOR_MEMORY = "no_room"
    #: A worker that had to stop gave its ticket back.
    RELEASED = "released"
    #: An attempt ended with an error; ``retry`` in the detail shows whether another one follows.
    ATTEMPT_FAILED = "attempt_failed"
    #: The owner of a ticket has been silent for longer than its lease.
    LEASE_EXPIRED = "lease_expired"
    #: The process of a ticket's owner has ended.
    WORKER_DIED = "worker_died"
    #: A worker that no longer owns a ticket tried to write.
    WRITE_REFUSED = "write_refused"
    #: The enumerated space has no point for the ticket.
    WITHDRAWN = "withdrawn"
    #: The three ways in which a trial ends.
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    #: A trial that ended at a rung may be promoted again, as the budget has grown.
    REOPENED = "reopened"
    #: A person declared a trial invalid, or took that back.
    INVALIDATED = "invalidated"
    REINSTATED = "reinstated"
    #: Of the study: its budget, prior results, files, latency, test evaluations.
    BUDGET_CHANGED = "budget_changed"
    PRIOR_RESULTS_ADDED = "learned"
    PRIOR_RESULTS_REMOVED = "forgotten"
    REPAIRED = "repaired"
    LATENCY_MEASURED = "latency_measured"
    TEST_OPENED = "test_opened"
    #: The study got a deadline, or none any more; its search ended for it; what followed took time.
    DEADLINE_SET = "deadline_set"
    SEARCH_CLOSED = "search_closed"
    STAGE_ENDED = "stage_ended"
    #: A confirmation has fewer seeds, so that it ends in time.
    PLAN_SHORTENED = "plan_shortened"
    #: An ablation has more or fewer seeds, as the time allows; its differences were looked at.
    SEEDS_CHANGED = "seeds_changed"
    LOOK_TAKEN = "look_taken"


#: Events by which a worker takes a ticket.
BEGINNINGS = (EventKind.CLAIMED, EventKind.RESUMED)

#: Events after which a ticket has no owner and may be taken again.
INTERRUPTIONS = (
    EventKind.RELEASED,
    EventKind.ATTEMPT_FAILED,
    EventKind.LEASE_EXPIRED,
    EventKind.WORKER_DIED,
    EventKind.PAUSED,
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the log."""

    event_id: int
    ticket: int | None
    attempt: int | None
    kind: str
    owner: str | None
    #: ISO 8601, UTC, by the writer's clock.
    at: str
    #: Empty if it is damaged.
    detail: Mapping[str, Any]
    damaged: bool = False


#: The columns of an event, as they are read.
EVENT_COLUMNS = tuple(events.c[name] for name in Event.__dataclass_fields__ if name != "damaged")

_INSERT = insertion(events, "study_id", "ticket", "attempt", "kind", "owner", "at", "detail")


def record_event(
    connection: Connection,
    study_id: int,
    ticket: int | None,
    attempt: int | None,
    kind: EventKind,
    owner: str | None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append an event to the log, in the caller's transaction.

    Args:
        connection: The transaction that the event belongs to.
        study_id: The study.
        ticket: The ticket of the event; ``None`` if the event is about the study.
        attempt: The ticket's attempt; ``None`` if there is none.
        kind: What has happened.
        owner: The worker that reports it; ``None`` if no worker does.
        detail: JSON values, depending on the kind; ``None`` for none.
    """
    execute(
        connection,
        _INSERT,
        study_id=study_id,
        ticket=ticket,
        attempt=attempt,
        kind=kind.value,
        owner=owner,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        detail=json.dumps(dict(detail or {})),
    )


def newest_event_id(database: Database, study_id: int) -> int:
    """Return the ``event_id`` of the study's last event, 0 before the first."""
    newest = sa.select(sa.func.coalesce(sa.func.max(events.c.event_id), 0))
    query = newest.where(events.c.study_id == study_id)
    return database.read(lambda connection: int(connection.execute(query).scalar_one()))


def event_log(
    database: Database, study_id: int, ticket: int | None = None, *, after: int = 0
) -> list[Event]:
    """Return a study's events, oldest first.

    Args:
        database: The database.
        study_id: The study.
        ticket: Only events of this ticket; ``None`` for all events.
        after: Only events with a larger ``event_id``.
    """

    def work(connection: Connection) -> list[Event]:
        query = (
            sa.select(*EVENT_COLUMNS)
            .where(events.c.study_id == study_id, events.c.event_id > after)
            .order_by(events.c.event_id)
        )
        if ticket is not None:
            query = query.where(events.c.ticket == ticket)
        return [event_of(row) for row in connection.execute(query).mappings()]

    return database.read(work)


def event_of(row: Mapping[Any, Any]) -> Event:
    """Return the event of a row of ``EVENT_COLUMNS``; a damaged one without its detail."""
    try:
        return Event(**{**row, "detail": decode(row["detail"])})
    except Damaged as damage:
        warn(f"hpsearch_events.detail of event {row['event_id']} ({row['kind']}) {damage}")
        return Event(**{**row, "detail": {}}, damaged=True)
