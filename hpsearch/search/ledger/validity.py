"""Trials whose value can't be trusted: declaring them invalid, and taking that back.

Nothing of ours is deleted. The ticket's state becomes ``invalid``, so queries for complete trials
leave it out; its metrics and curve stay, and the event log has the reason and the state before. For
Optuna it is a FAILED row with the reason as an attribute, which samplers, dashboard and other
programs ignore. All of it is one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError, UserError
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import decode
from hpsearch.search.database.tables import TicketState, events, studies, tickets
from hpsearch.search.ledger.events import EVENT_COLUMNS, Event, EventKind, event_of, record_event
from hpsearch.search.ledger.statements import Row, lock_study, lock_ticket, storable, update_ticket
from hpsearch.study_file.goals import Goals

#: Characters that a reason may have.
LONGEST_REASON = 2000


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The declaration that a trial is invalid."""

    reason: str
    #: ISO 8601, UTC, by the clock of the host that declared it.
    at: str
    #: Its state before.
    before: TicketState
    #: Whether the budget got one more trial for it.
    again: bool


def declaration_in(log: Sequence[Event]) -> Declaration | None:
    """Return a ticket's declaration by its events (oldest first); ``None`` if it is valid."""
    for event in reversed(log):
        if event.kind == EventKind.INVALIDATED:
            return _declaration(event)
        if event.kind == EventKind.REINSTATED:
            return None
    return None


def _declaration(event: Event) -> Declaration | None:
    """Return an event's declaration; ``None`` if its detail is damaged."""
    try:
        return Declaration(
            reason=str(event.detail["reason"]),
            at=event.at,
            before=TicketState(event.detail["before"]),
            again=bool(event.detail["again"]),
        )
    except (KeyError, ValueError):
        return None


def declarations(database: Database, study_id: int) -> dict[int, Declaration]:
    """Return ticket -> declaration, of the invalid tickets."""
    query = (
        sa.select(*EVENT_COLUMNS)
        .where(
            events.c.study_id == study_id,
            events.c.kind.in_((EventKind.INVALIDATED, EventKind.REINSTATED)),
        )
        .order_by(events.c.event_id)
    )

    def work(connection: Connection) -> dict[int, list[Event]]:
        logs: dict[int, list[Event]] = {}
        for row in connection.execute(query).mappings():
            event = event_of(row)
            logs.setdefault(event.ticket or 0, []).append(event)
        return logs

    return {
        ticket: declaration
        for ticket, log in database.read(work).items()
        if (declaration := declaration_in(log)) is not None
    }


def invalidate(
    database: Database, study_id: int, ticket: int, reason: str, *, again: bool = False
) -> Declaration:
    """Declare a trial invalid.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        ticket: The trial's ticket.
        reason: Why its value can't be trusted, 1 to ``LONGEST_REASON`` characters.
        again: Whether the budget gets one more trial.

    Returns:
        The declaration, as it is stored.

    Raises:
        UserError: The trial isn't complete or pruned, ``reason`` is empty or too long, or an
            enumerated space has no point left for one more trial.
        RuntimeError: The declaration can't be read after it was written.
    """
    reason = _usable(reason)
    key = uuid4().hex

    def work(connection: Connection) -> Declaration:
        study = lock_study(connection, study_id)
        row = lock_ticket(connection, study_id, ticket)
        last = _last(connection, study_id, ticket)
        if row is None or last is None or last.detail.get("key") != key:
            row = _require(row, (TicketState.COMPLETE, TicketState.PRUNED), _NO_END)
            if again and study["exhausted"]:
                raise UserError(
                    "--again adds one more trial, but the sampler of this study enumerates its "
                    "space, and every point has been used; leave --again out"
                )
            detail = {"reason": reason, "before": row["state"], "again": again, "key": key}
            update_ticket(connection, study_id, ticket, state=TicketState.INVALID)
            optuna_rows.set_aside(connection, row["trial_id"], reason)
            _record(connection, row, EventKind.INVALIDATED, detail)
            if again:
                _grant(connection, study, 1)
            last = _last(connection, study_id, ticket)
        declaration = None if last is None else declaration_in([last])
        if declaration is None:
            raise RuntimeError(f"ticket {ticket} has no declaration, although it was written")
        return declaration

    return database.write(work)


def reinstate(database: Database, study_id: int, ticket: int, goals: Goals) -> TicketState:
    """Take the declaration back.

    The trial that ``--again`` granted is taken from the budget; if it has begun, it stays.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        ticket: The trial's ticket.
        goals: The study's goals, which determine the values of Optuna's row.

    Returns:
        The trial's state again.

    Raises:
        UserError: The trial isn't invalid.
        StorageError: The declaration is damaged in the event log.
    """
    key = uuid4().hex

    def work(connection: Connection) -> TicketState:
        study = lock_study(connection, study_id)
        row = lock_ticket(connection, study_id, ticket)
        last = _last(connection, study_id, ticket)
        if row is not None and last is not None and last.detail.get("key") == key:
            return TicketState(row["state"])
        row = _require(row, (TicketState.INVALID,), _IS_VALID)
        declaration = None if last is None else declaration_in([last])
        if declaration is None:
            raise StorageError(
                f"ticket {ticket} is invalid, but its entry in the event log is damaged; `hpsearch "
                "doctor` shows the row"
            )
        update_ticket(connection, study_id, ticket, state=declaration.before)
        state = TrialState[declaration.before.name]
        optuna_rows.restore(connection, row["trial_id"], state, _values(row, declaration, goals))
        _record(connection, row, EventKind.REINSTATED, {"reason": declaration.reason, "key": key})
        if declaration.again:
            _grant(connection, study, -1)
        return declaration.before

    return database.write(work)


def row_values(
    state: TicketState, goals: Goals, ticket: Mapping[str, Any], metrics: Mapping[str, float]
) -> list[float | None]:
    """Return the values of Optuna's row of an ended ticket.

    Args:
        state: The ticket's state.
        goals: The study's goals.
        ticket: A row with ``value`` and ``best_value``.
        metrics: Objective -> value, used if there are several objectives.

    Returns:
        One value per objective, ``None`` for one that is missing; no values for a failed ticket, or
        for a pruned one of several objectives.
    """
    if state not in (TicketState.COMPLETE, TicketState.PRUNED):
        return []
    if not goals.is_multi_objective:
        return [ticket["best_value"] if goals.objective.at == "best" else ticket["value"]]
    if state is TicketState.PRUNED:
        return []
    return [metrics.get(name) for name in goals.objectives]


_NO_END = (
    "only a trial with a value can be declared invalid: a complete or a pruned one; but this one "
    "is {state}. {hint}"
)
_HINTS = {
    TicketState.RUNNING: "Stop it first (`hpsearch stop`), or wait until it ends",
    TicketState.PAUSED: "Launch the study again to end it",
    TicketState.FAILED: "It has no value, so there is nothing to declare",
    TicketState.INVALID: "It was declared invalid before; `hpsearch show` shows the reason",
}
_IS_VALID = "only an invalid trial can be reinstated, but this one is {state}"


def _usable(reason: str) -> str:
    reason = storable(" ".join(reason.split()))
    if not reason:
        raise UserError("a reason must explain why the value can't be trusted, but it is empty")
    if len(reason) > LONGEST_REASON:
        raise UserError(
            f"a reason may have at most {LONGEST_REASON} characters, but this one has {len(reason)}"
        )
    return reason


def _require(row: Row | None, states: Sequence[TicketState], message: str) -> Row:
    if row is None:
        raise UserError("this trial is no longer in the database")
    state = TicketState(row["state"])
    if state not in states:
        raise UserError(message.format(state=state.value, hint=_HINTS.get(state, "")))
    return row


def _record(connection: Connection, row: Row, kind: EventKind, detail: Mapping[str, Any]) -> None:
    record_event(connection, row["study_id"], row["ticket"], row["attempt"], kind, None, detail)


def _last(connection: Connection, study_id: int, ticket: int) -> Event | None:
    query = (
        sa.select(*EVENT_COLUMNS)
        .where(
            events.c.study_id == study_id,
            events.c.ticket == ticket,
            events.c.kind.in_((EventKind.INVALIDATED, EventKind.REINSTATED)),
        )
        .order_by(events.c.event_id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else event_of(row)


def _grant(connection: Connection, study: Row, more: int) -> None:
    before = study["trials"] + study["granted"]
    change = {"before": before, "now": before + more}
    record_event(connection, study["study_id"], None, None, EventKind.BUDGET_CHANGED, None, change)
    connection.execute(
        sa.update(studies)
        .where(studies.c.study_id == study["study_id"])
        .values(granted=studies.c.granted + more)
    )


def _values(row: Row, declaration: Declaration, goals: Goals) -> list[float]:
    metrics = {} if row["figures"] is None else decode(row["figures"])
    values = row_values(declaration.before, goals, row, metrics)
    return [value for value in values if value is not None]


def invalid_trials(connection: Connection, study_id: int) -> set[int]:
    """Return Optuna's ids of the trials that are invalid now."""
    query = sa.select(tickets.c.trial_id).where(
        tickets.c.study_id == study_id, tickets.c.state == TicketState.INVALID
    )
    return set(connection.execute(query).scalars())
