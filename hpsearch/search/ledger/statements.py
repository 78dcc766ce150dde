"""Statements that claims and fenced writes share; each runs in its caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.metrics import METRIC_COLUMNS, EpochMetrics
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import Statement, execute, fetch, fetch_many, insertion
from hpsearch.search.database.tables import TicketState, epochs, events, studies, tickets
from hpsearch.search.ledger.decision import Decision
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.study_identity import IS_OURS, require_ours
from hpsearch.search.ledger.types import Claim

#: A row by the names of its columns.
Row: TypeAlias = Mapping[str, Any]


def is_ticket(study_id: int, ticket: int) -> sa.ColumnElement[bool]:
    """Return the condition that picks one ticket's row."""
    return sa.and_(tickets.c.study_id == study_id, tickets.c.ticket == ticket)


#: Lock and read one row; ``row_of`` names its columns.
LOCK_STUDY = Statement(
    sa.select(studies).where(studies.c.study_id == sa.bindparam("study_id")).with_for_update()
)
LOCK_TICKET = Statement(
    sa.select(tickets)
    .where(
        tickets.c.study_id == sa.bindparam("study_id"), tickets.c.ticket == sa.bindparam("ticket")
    )
    .with_for_update()
)


def row_of(table: sa.Table, rows: Sequence[Sequence[Any]]) -> Row | None:
    """Return the first of ``rows`` by its columns' names; ``None`` if there is none."""
    return dict(zip(table.columns.keys(), rows[0], strict=True)) if rows else None


def lock_study(connection: Connection, study_id: int) -> Row:
    """Lock and return the study's row: a caller that counts tickets or numbers trials needs it.

    Take it before a ticket's lock, so that no two transactions wait for each other. (SQLite
    ignores ``FOR UPDATE``; there the transaction itself excludes every other writer.)

    Raises:
        LeftOverStudy: As ``require_ours``.
        StorageError: As ``require_ours``.
        RuntimeError: The study's row is gone.
    """
    study_rows, key_rows = fetch_many(
        connection, [(LOCK_STUDY, {"study_id": study_id}), (IS_OURS, {"study_id": study_id})]
    )
    require_ours(connection, study_id, key_rows)
    row = row_of(studies, study_rows)
    if row is None:
        raise RuntimeError(f"study {study_id} is no longer in the database")
    return row


def lock_ticket(connection: Connection, study_id: int, ticket: int) -> Row | None:
    """Lock a ticket's row.

    Args:
        connection: The transaction that takes the lock.
        study_id: Optuna's id of the study.
        ticket: The ticket's number.

    Returns:
        The row; ``None`` if it is gone.
    """
    return row_of(tickets, fetch(connection, LOCK_TICKET, study_id=study_id, ticket=ticket))


@cache
def _update_of_ticket(columns: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in columns}
    return Statement(
        sa.update(tickets)
        .where(
            tickets.c.study_id == sa.bindparam("of_study"),
            tickets.c.ticket == sa.bindparam("of_ticket"),
        )
        .values(renewals=tickets.c.renewals + 1, **values)
    )


def update_ticket(connection: Connection, study_id: int, ticket: int, **columns: Any) -> None:
    """Change a ticket's columns and renew its lease.

    Args:
        connection: The transaction that writes the ticket.
        study_id: Optuna's id of the study.
        ticket: The ticket's number.
        **columns: The new values.
    """
    statement = _update_of_ticket(tuple(columns))
    execute(connection, statement, of_study=study_id, of_ticket=ticket, **columns)


def next_grid_index(connection: Connection, study: Row) -> int:
    """Take the next point of an enumerated space; the caller must hold the study's lock."""
    point = int(study["next_point"])
    connection.execute(
        sa.update(studies)
        .where(studies.c.study_id == study["study_id"])
        .values(next_point=point + 1)
    )
    return point


_INSERT_EPOCH = insertion(
    epochs, "study_id", "ticket", "attempt", "value", "decision", "others", *METRIC_COLUMNS
)

_DECIDE_EPOCH = Statement(
    sa.update(epochs)
    .where(
        epochs.c.study_id == sa.bindparam("of_study"),
        epochs.c.ticket == sa.bindparam("of_ticket"),
        epochs.c.epoch == sa.bindparam("of_epoch"),
    )
    .values(decision=sa.bindparam("decision"))
)

#: The decision that an attempt got when it reported an epoch before.
OWN_DECISION = Statement(
    sa.select(epochs.c.decision).where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.ticket == sa.bindparam("ticket"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.attempt == sa.bindparam("attempt"),
    )
)


def insert_epoch(
    connection: Connection, claim: Claim, metrics: EpochMetrics, value: float, decision: Decision
) -> None:
    """Insert an epoch's metrics and the decision that followed.

    Args:
        connection: The transaction that reports the epoch.
        claim: The ticket, as its worker claimed it.
        metrics: The epoch's metrics.
        value: The objective at this epoch.
        decision: What follows the epoch.
    """
    execute(
        connection,
        _INSERT_EPOCH,
        study_id=claim.study_id,
        ticket=claim.ticket,
        attempt=claim.attempt,
        value=value,
        decision=decision.value,
        others=json.dumps(dict(metrics.others)) if metrics.others else None,
        **{name: _or_null(getattr(metrics, name)) for name in METRIC_COLUMNS},
    )


def _or_null(value: float) -> float | None:
    """Return NULL for NaN: a metric that wasn't measured."""
    return value if value == value else None


def decide_epoch(connection: Connection, claim: Claim, epoch: int, decision: Decision) -> None:
    """Change the decision of an epoch that this transaction has inserted.

    Args:
        connection: The transaction that reports the epoch.
        claim: The ticket, as its worker claimed it.
        epoch: The number of the epoch, from 1.
        decision: What follows the epoch.
    """
    execute(
        connection,
        _DECIDE_EPOCH,
        of_study=claim.study_id,
        of_ticket=claim.ticket,
        of_epoch=epoch,
        decision=decision.value,
    )


def has_event(connection: Connection, claim: Claim, kind: EventKind, owner: str) -> bool:
    """Whether a worker has written an event of one kind about an attempt.

    Args:
        connection: The transaction that reads.
        claim: The attempt.
        kind: The event's kind.
        owner: The worker's name.
    """
    query = (
        sa.select(events.c.event_id)
        .where(
            events.c.study_id == claim.study_id,
            events.c.ticket == claim.ticket,
            events.c.attempt == claim.attempt,
            events.c.kind == kind.value,
            events.c.owner == owner,
        )
        .limit(1)
    )
    return connection.execute(query).first() is not None


def fail_attempt(
    connection: Connection,
    ticket: Row,
    event: EventKind,
    error: str,
    max_failures: int,
    infeasible_attrs: Mapping[str, Any] | None = None,
) -> bool:
    """End a running ticket's attempt with an error.

    The ticket is free at once for the next worker, or it has FAILED.

    Args:
        connection: A transaction that holds the locks of study and ticket.
        ticket: The ticket's row.
        event: Why the attempt ended.
        error: The error's text.
        max_failures: Failures without a new epoch in between after which the ticket has FAILED.
        infeasible_attrs: As in ``Ledger.fail``.

    Returns:
        Whether another attempt will follow.
    """
    error = storable(error)
    failures = ticket["failures"] + 1
    retry = bool(failures < max_failures)
    columns: dict[str, Any] = {
        "state": TicketState.PAUSED if retry else TicketState.FAILED,
        "owner": None,
        "failures": failures,
        "last_error": error,
    }
    study_id, number = ticket["study_id"], ticket["ticket"]
    detail = {"error": error, "failures": failures, "retry": retry}
    record_event(connection, study_id, number, ticket["attempt"], event, ticket["owner"], detail)
    if not retry:
        trial_id = ticket["trial_id"]
        if trial_id is None:
            # It never got a configuration, but the dashboard must show it as one of N.
            trial_id, columns["number"] = optuna_rows.insert_trial(
                connection,
                study_id,
                params={},
                distributions={},
                user_attrs={"ticket": number},
                system_attrs={},
            )
            columns["trial_id"] = trial_id
        for key, value in {"error": error, **(infeasible_attrs or {})}.items():
            optuna_rows.insert_user_attr(connection, trial_id, key, value)
        state = TrialState.FAIL
        if infeasible_attrs is not None and ticket["params"] is not None:
            # Samplers ignore failed rows; they learn from a pruned one with these marks.
            optuna_rows.mark_infeasible(connection, trial_id)
            state = TrialState.PRUNED
        optuna_rows.finish_trial(connection, trial_id, state)
        record_event(
            connection,
            study_id,
            number,
            ticket["attempt"],
            EventKind.FAILED,
            ticket["owner"],
            detail,
        )
    update_ticket(connection, study_id, number, **columns)
    return retry


def storable(text: str) -> str:
    """Return ``text`` in a form that every database takes, so that writing a reason can't fail."""
    # Half surrogates come from file names that aren't UTF-8; Postgres stores no NUL.
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
