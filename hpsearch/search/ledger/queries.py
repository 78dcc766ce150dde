"""Queries of the ledger: tickets, curves, checkpoints and counts. Nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.metrics import METRIC_COLUMNS, EpochMetrics
from hpsearch.search.database.optuna_rows import TRIALS
from hpsearch.search.database.storage import Database, chunks
from hpsearch.search.database.stored_json import Damaged, decode, decode_or, warn
from hpsearch.search.database.tables import FINISHED, TicketState, epochs, events, tickets
from hpsearch.search.ledger.events import BEGINNINGS, Event, EventKind, event_log
from hpsearch.search.ledger.types import CheckpointRef


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """One logical trial, over all its attempts."""

    ticket: int
    state: TicketState
    attempt: int
    owner: str | None
    #: Optuna's trial number; ``None`` before its configuration is drawn.
    number: int | None
    trial_id: int | None
    #: Path -> stored value.
    params: Mapping[str, Any] | None
    infeasible: int
    epochs_done: int
    #: The rung at which it waits or has ended, if the pruner promotes trials.
    rung: int | None
    #: The epoch at which the pruning audit kept the trial; ``None`` if it didn't.
    audited_from: int | None
    #: The objective after the last epoch done; its best so far, and when.
    value: float | None
    best_value: float | None
    best_epoch: int | None
    #: Objectives and bounded metrics of an ended trial; ``None`` if there is only one objective.
    figures: Mapping[str, float] | None
    compute_seconds: float
    checkpoint: str | None
    checkpoint_sha256: str | None
    checkpoint_epoch: int | None
    failures: int
    last_error: str | None
    #: Damaged columns; their values here are empty.
    damaged: tuple[str, ...] = ()


#: The columns of a ticket, as they are read.
TICKET_COLUMNS = tuple(tickets.c[name] for name in Ticket.__dataclass_fields__ if name != "damaged")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Tickets by state; ``total`` counts every ticket that was issued."""

    total: int
    complete: int
    pruned: int
    failed: int
    running: int
    paused: int
    #: Infeasible draws; they use no budget.
    infeasible: int
    epochs_run: int
    compute_seconds: float
    #: Declared invalid after their end: they use budget, and count for nothing else.
    invalid: int = 0
    #: Those of ``paused`` that wait at a rung to be promoted.
    waiting: int = 0

    @property
    def finished(self) -> int:
        """Tickets that never run again."""
        return self.complete + self.pruned + self.failed + self.invalid

    def all_ended(self, trials: int, *, exhausted: bool) -> bool:
        """Whether all tickets have ended, of a budget of ``trials`` or of an exhausted space."""
        return self.finished == self.total and (exhausted or self.total >= trials)


def all_tickets(database: Database, study_id: int) -> list[Ticket]:
    """Return every ticket by number."""

    def work(connection: Connection) -> list[Ticket]:
        query = (
            sa.select(*TICKET_COLUMNS)
            .where(tickets.c.study_id == study_id)
            .order_by(tickets.c.ticket)
        )
        return [_ticket(row) for row in connection.execute(query).mappings()]

    return database.read(work)


def ended_among(database: Database, study_id: int, numbers: Collection[int]) -> set[int]:
    """Return those of the trials that have ended.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        numbers: Optuna's numbers of the trials.
    """

    def work(connection: Connection) -> set[int]:
        ended_numbers: set[int] = set()
        for chunk in chunks(numbers):
            query = sa.select(tickets.c.number).where(
                tickets.c.study_id == study_id,
                tickets.c.state.in_(FINISHED),
                tickets.c.number.in_(chunk),
            )
            ended_numbers.update(connection.execute(query).scalars())
        return ended_numbers

    return database.read(work)


def complete_tickets(
    database: Database, study_id: int, *, by: str, maximize: bool, most: int
) -> list[Ticket]:
    """Return the best complete tickets; of equal ones, the lower number first.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        by: The column that is compared: ``value`` or ``best_value``.
        maximize: Whether more is better.
        most: The number of tickets.
    """
    value = tickets.c[by]
    query = (
        sa.select(*TICKET_COLUMNS)
        .where(
            tickets.c.study_id == study_id,
            tickets.c.state == TicketState.COMPLETE,
            tickets.c.number.is_not(None),
            value.is_not(None),
        )
        .order_by(value.desc() if maximize else value.asc(), tickets.c.number)
        .limit(most)
    )
    return database.read(
        lambda connection: [_ticket(row) for row in connection.execute(query).mappings()]
    )


def owners_at_work(database: Database, *, host: str) -> dict[str, int]:
    """Return name -> process id, of the workers of ``host`` that own a running ticket."""
    took = sa.and_(
        events.c.study_id == tickets.c.study_id,
        events.c.ticket == tickets.c.ticket,
        events.c.attempt == tickets.c.attempt,
        events.c.kind.in_(BEGINNINGS),
    )
    query = (
        sa.select(tickets.c.owner, events.c.detail)
        .join(events, took)
        .where(
            tickets.c.state == TicketState.RUNNING,
            tickets.c.owner.startswith(f"{host}:", autoescape=True),
        )
    )

    def work(connection: Connection) -> dict[str, int]:
        pids = {}
        for owner, text in connection.execute(query):
            pid = decode_or({}, text, "hpsearch_events.detail", owner).get("pid")
            if isinstance(pid, int):
                pids[owner] = pid
        return pids

    return database.read(work)


def counts(database: Database, study_id: int) -> Counts:
    """Count the tickets by state, and the infeasible draws."""
    # Each of Optuna's rows is a ticket's or an infeasible draw. (A ticket that was withdrawn
    # without a feasible point is gone, but its infeasible draws aren't.)
    every_row = sa.select(sa.func.count()).where(TRIALS.c.study_id == study_id)
    of_tickets = sa.select(sa.func.count(tickets.c.trial_id)).where(tickets.c.study_id == study_id)
    infeasible = sa.select(every_row.scalar_subquery() - of_tickets.scalar_subquery())

    def work(connection: Connection) -> Counts:
        rows = connection.execute(
            sa.select(
                tickets.c.state,
                sa.func.count(),
                sa.func.sum(tickets.c.epochs_done),
                sa.func.sum(tickets.c.compute_seconds),
                sa.func.count(tickets.c.rung),
            )
            .where(tickets.c.study_id == study_id)
            .group_by(tickets.c.state)
        ).all()
        by_state = {row[0]: row[1] for row in rows}
        at_rung = {row[0]: row[4] for row in rows}
        return Counts(
            total=sum(by_state.values()),
            infeasible=connection.execute(infeasible).scalar_one(),
            epochs_run=int(sum(row[2] for row in rows)),
            compute_seconds=float(sum(row[3] for row in rows)),
            waiting=at_rung.get(TicketState.PAUSED, 0),
            **{state.value: by_state.get(state.value, 0) for state in TicketState},
        )

    return database.read(work)


def curve(database: Database, study_id: int, ticket: int) -> list[EpochMetrics]:
    """Return one ticket's epochs, in order.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        ticket: The ticket's number.
    """
    return curves(database, study_id, [ticket]).get(ticket, [])


def curves(
    database: Database, study_id: int, only: Sequence[int] | None = None
) -> dict[int, list[EpochMetrics]]:
    """Return ticket -> its epochs in order.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        only: Numbers of tickets; ``None`` for all.
    """

    def work(connection: Connection) -> dict[int, list[EpochMetrics]]:
        query = (
            sa.select(
                epochs.c.ticket, epochs.c.others, *(epochs.c[name] for name in METRIC_COLUMNS)
            )
            .where(epochs.c.study_id == study_id)
            .order_by(epochs.c.ticket, epochs.c.epoch)
        )
        if only is not None:
            query = query.where(epochs.c.ticket.in_(only))
        by_ticket: dict[int, list[EpochMetrics]] = {}
        for row in connection.execute(query).mappings():
            values: dict[str, Any] = {
                name: math.nan if row[name] is None else row[name] for name in METRIC_COLUMNS
            }
            metrics = EpochMetrics(**values, others=decode_others(row["others"], row["ticket"]))
            by_ticket.setdefault(row["ticket"], []).append(metrics)
        return by_ticket

    return database.read(work)


def decode_others(text: str | None, ticket: int) -> dict[str, float]:
    """Return the column ``others`` of one of a ticket's epochs; empty if it can't be read."""
    if text is None:
        return {}
    metrics: dict[str, float] = decode_or({}, text, "hpsearch_epochs.others", f"ticket {ticket}")
    return metrics


def checkpoints(database: Database, study_id: int, ticket: int) -> list[CheckpointRef]:
    """Return all checkpoints that a ticket has had, newest first; older files may be gone.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        ticket: The ticket's number.
    """
    return checkpoints_in(event_log(database, study_id, ticket))


def checkpoints_in(log: Sequence[Event]) -> list[CheckpointRef]:
    """Return the checkpoints that one ticket's events name, newest first."""
    checkpoint_events = [event for event in reversed(log) if event.kind == EventKind.CHECKPOINT]
    keys = CheckpointRef.__dataclass_fields__.keys()
    return [
        CheckpointRef(**event.detail) for event in checkpoint_events if event.detail.keys() == keys
    ]


def _ticket(row: Mapping[Any, Any]) -> Ticket:
    """Return the ticket of a row of ``TICKET_COLUMNS``, with empty values for damaged ones."""
    values, damaged = dict(row), []
    for name, empty in _NUMBERS.items():
        # SQLite accepts text in a column of numbers.
        if not isinstance(values[name], (int, float, type(empty))):
            damaged.append(name)
            values[name] = empty
    try:
        values["state"] = TicketState(values["state"])
    except ValueError:
        damaged.append("state")
        values["state"] = TicketState.FAILED  # No worker can continue it.
    for name in ("params", "figures"):
        try:
            values[name] = None if values[name] is None else decode(values[name])
        except Damaged:
            damaged.append(name)
            values[name] = None
    if damaged:
        columns = ", ".join(damaged)
        warn(f"hpsearch_tickets.{columns} of ticket {values['ticket']} can't be read")
    return Ticket(**values, damaged=tuple(damaged))


#: Columns of numbers -> the value in place of a damaged one: ``None``, or 0 without NULL.
_NUMBERS: Mapping[str, float | None] = {
    column.name: None if column.nullable else 0
    for column in TICKET_COLUMNS
    if isinstance(column.type, (sa.Integer, sa.Float)) and column.name != "ticket"
}
