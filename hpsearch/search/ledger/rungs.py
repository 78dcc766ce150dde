"""The trials that wait at rungs: which one goes on, and how they end.

The caller of each function holds the study's lock, so that no count changes until its transaction
ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.metrics import GOAL_METRICS, LATENCY, OBJECTIVES
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import Statement, fetch
from hpsearch.search.database.stored_json import decode_or
from hpsearch.search.database.tables import TicketState, epochs, tickets
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.outcomes import write_ending
from hpsearch.search.ledger.statements import Row, update_ticket
from hpsearch.search.ledger.types import SearchRules
from hpsearch.search.pruning.promotion import LEAST_COMPLETE, Rung, fronts, most_paused
from hpsearch.study_file.goals import Goals

#: The attribute of a trial's row with the confusion matrix of its newest epoch, if the trial has
#: ended or waits. It is removed when the trial goes on, as it would be an earlier epoch's.
VAL_CONFUSION = "val_confusion"

#: A ticket that waits for a worker, not at a rung: its last worker died or had to leave.
IS_LOST = sa.and_(tickets.c.state == TicketState.PAUSED, tickets.c.rung.is_(None))


def next_promoted(connection: Connection, study: Row, rules: SearchRules) -> Row | None:
    """Choose the ticket that is promoted next.

    If the study has no new trials left, the best of the highest rung go on until
    ``LEAST_COMPLETE`` trials are complete.

    Args:
        connection: A transaction that holds the study's lock.
        study: The study's row.
        rules: The study's rules.

    Returns:
        The ticket's row; ``None`` if no ticket may go on now.
    """
    if rules.promotion is None or not rules.rungs:
        return None
    study_id = study["study_id"]
    rung = rules.promotion.next_rung(read_rungs(connection, study_id, rules.rungs))
    if rung is None and not _owes_complete_ones(connection, study):
        return None
    query = sa.select(tickets).where(
        _waits(study_id), sa.true() if rung is None else tickets.c.rung == rung.epoch
    )
    rows = _best_first(
        connection, study_id, query, maximize=rules.maximize, goals=rules.goals, most=1
    )
    return next(iter(rows), None)


def _owes_complete_ones(connection: Connection, study: Row) -> bool:
    """Whether no new trial is left, and too few are complete or running."""
    table = tickets.c
    to_the_end = table.state.in_((TicketState.COMPLETE, TicketState.RUNNING))
    query = sa.select(sa.func.count(), sa.func.sum(sa.case((to_the_end, 1), else_=0))).where(
        table.study_id == study["study_id"]
    )
    issued, ending = connection.execute(query).one()
    budget_used = study["exhausted"] or issued >= study["trials"] + study["granted"]
    return bool(budget_used) and (ending or 0) < LEAST_COMPLETE


def read_rungs(connection: Connection, study_id: int, epochs: tuple[int, ...]) -> list[Rung]:
    """Count the valid trials at each rung.

    Args:
        connection: A transaction that holds the study's lock.
        study_id: Optuna's id of the study.
        epochs: The rungs, ascending.

    Returns:
        One ``Rung`` for each of ``epochs``.
    """
    ((*counts,),) = fetch(connection, _counts_at(epochs), study_id=study_id)
    return [
        Rung(epoch=epoch, reached=reached or 0, promoted=promoted or 0, waiting=waiting or 0)
        for epoch, reached, promoted, waiting in zip(
            epochs, counts[0::3], counts[1::3], counts[2::3], strict=True
        )
    ]


@lru_cache(maxsize=64)
def _counts_at(epochs: tuple[int, ...]) -> Statement:
    table = tickets.c
    columns: list[sa.ColumnElement[Any]] = []
    for epoch in epochs:
        done = table.epochs_done >= epoch
        # A trial that the audit keeps beyond its rung doesn't compete from there on
        audited = table.audited_from
        reached = sa.and_(done, sa.or_(audited.is_(None), audited >= epoch))
        promoted = sa.and_(
            done,
            sa.or_(audited.is_(None), audited > epoch),
            sa.or_(table.rung.is_(None), table.rung > epoch),
        )
        waiting = sa.and_(table.state == TicketState.PAUSED, table.rung == epoch)
        columns += [
            sa.func.sum(sa.case((condition, 1), else_=0))
            for condition in (reached, promoted, waiting)
        ]
    return Statement(
        sa.select(*columns).where(
            table.study_id == sa.bindparam("study_id"), table.state != TicketState.INVALID
        )
    )


def end_waiting(
    connection: Connection,
    study_id: int,
    rules: SearchRules,
    *,
    owner: str,
    most: int = 0,
) -> list[int]:
    """End the trials that wait at a rung as PRUNED, all but the best ``most`` of them.

    The trials of the lowest rung end first, and at each rung the worst.

    Args:
        connection: A transaction that holds the study's lock.
        study_id: Optuna's id of the study.
        rules: The study's rules.
        owner: The worker that ends them, for the event log.
        most: How many continue to wait.

    Returns:
        Optuna's numbers of the trials that ended.
    """
    query = sa.select(tickets).where(_waits(study_id)).with_for_update()
    order = _best_first(connection, study_id, query, maximize=rules.maximize, goals=rules.goals)
    rows = order[most:]
    for row in rows:
        value = row["best_value"] if rules.best_epoch_counts else row["value"]
        values: Sequence[float] = [value]
        if rules.goals is not None:
            known = decode_or({}, row["figures"], "hpsearch_tickets.figures", row["ticket"])
            metrics = {rules.metric: value, **known}
            values = write_ending(connection, rules.goals, row["trial_id"], metrics, complete=False)
        optuna_rows.finish_trial(connection, row["trial_id"], TrialState.PRUNED, values)
        update_ticket(connection, study_id, row["ticket"], state=TicketState.PRUNED)
        detail = {"epoch": row["epochs_done"], "value": value, "waited": True}
        record_event(
            connection, study_id, row["ticket"], row["attempt"], EventKind.PRUNED, owner, detail
        )
    return [row["number"] for row in rows]


def any_lost(connection: Connection, study_id: int) -> bool:
    """Whether a ticket ``IS_LOST``: it goes on before any is promoted."""
    query = sa.select(tickets.c.ticket).where(tickets.c.study_id == study_id, IS_LOST)
    return connection.execute(query.limit(1)).first() is not None


def count_running(connection: Connection, study_id: int) -> int:
    """Return how many trials run now."""
    query = (
        sa.select(sa.func.count())
        .select_from(tickets)
        .where(tickets.c.study_id == study_id, tickets.c.state == TicketState.RUNNING)
    )
    return int(connection.execute(query).scalar_one())


def count_waiting(connection: Connection, study_id: int) -> int:
    """Return how many trials wait at a rung."""
    query = sa.select(sa.func.count()).select_from(tickets).where(_waits(study_id))
    return int(connection.execute(query).scalar_one())


def reopen(connection: Connection, study_id: int, goals: Goals) -> None:
    """Let the best trials that ended at a rung wait there again, after the budget has grown.

    Their checkpoints are gone. A trial that is promoted trains its first epochs again, to the same
    digits, and the ledger keeps the first metrics.

    Args:
        connection: A transaction that holds the study's lock.
        study_id: Optuna's id of the study.
        goals: The study's goals, by which the best are chosen.
    """
    query = sa.select(tickets).where(
        tickets.c.study_id == study_id,
        tickets.c.state == TicketState.PRUNED,
        tickets.c.rung.is_not(None),
    )
    free = max(0, most_paused(0) - count_waiting(connection, study_id))
    rows = _best_first(
        connection,
        study_id,
        query.with_for_update(),
        maximize=goals.objective.direction == "maximize",
        goals=goals,
        most=free,
    )
    for row in rows:
        optuna_rows.reopen_trial(connection, row["trial_id"])
        update_ticket(
            connection,
            study_id,
            row["ticket"],
            state=TicketState.PAUSED,
            checkpoint=None,
            checkpoint_sha256=None,
            checkpoint_epoch=None,
        )
        detail = {"epoch": row["epochs_done"]}
        record_event(
            connection, study_id, row["ticket"], row["attempt"], EventKind.REOPENED, None, detail
        )


def unfinished_values(connection: Connection, study_id: int) -> dict[int, tuple[int, float]]:
    """Return Optuna's trial id -> (epochs done, value there), of each trial that may go on."""
    query = sa.select(tickets.c.trial_id, tickets.c.epochs_done, tickets.c.value).where(
        tickets.c.study_id == study_id,
        tickets.c.state.in_((TicketState.PAUSED, TicketState.RUNNING)),
        tickets.c.value.is_not(None),
    )
    return {row.trial_id: (row.epochs_done, row.value) for row in connection.execute(query)}


def _waits(study_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        tickets.c.study_id == study_id,
        tickets.c.state == TicketState.PAUSED,
        tickets.c.rung.is_not(None),
    )


def _best_first(
    connection: Connection,
    study_id: int,
    query: sa.Select[Any],
    *,
    maximize: bool,
    goals: Goals | None,
    most: int | None = None,
) -> Sequence[Row]:
    """Return rows of trials at rungs: higher rungs first, and at each rung the best first.

    The newest value decides which is better. If ``goals`` compare by fronts, the front among all
    trials that have reached the rung decides first. Of equal trials the lower ticket comes first.
    ``query`` is of ``tickets``; ``most`` is the number of rows, ``None`` for all.
    """
    value = tickets.c.value
    ordered = query.order_by(
        tickets.c.rung.desc(), value.desc() if maximize else value.asc(), tickets.c.ticket
    )
    if goals is not None and not goals.by_fronts:
        goals = None
    if goals is None and most is not None:
        ordered = ordered.limit(most)
    rows = [dict(row) for row in connection.execute(ordered).mappings()]
    if goals is not None:
        found = {
            rung: read_fronts(connection, study_id, goals, rung)
            for rung in {row["rung"] for row in rows}
        }
        rows.sort(key=lambda row: (-row["rung"], found[row["rung"]].get(row["ticket"], math.inf)))
    return rows[:most]


def read_fronts(connection: Connection, study_id: int, goals: Goals, epoch: int) -> dict[int, int]:
    """Return ticket -> front (``promotion.fronts``), of all valid trials that have reached a rung.

    They are compared by their metrics of that epoch and by the costs of their models, but not by
    latency, which is measured once, at a trial's end.

    Args:
        connection: A transaction that holds the study's lock.
        study_id: Optuna's id of the study.
        goals: The study's goals.
        epoch: The rung.
    """
    names = [name for name in goals.objectives if name != LATENCY]
    metrics = [name for name in names if name in OBJECTIVES]
    audited = tickets.c.audited_from
    query = (
        sa.select(epochs.c.ticket, tickets.c.figures, *(epochs.c[name] for name in metrics))
        .join(
            tickets,
            sa.and_(tickets.c.study_id == epochs.c.study_id, tickets.c.ticket == epochs.c.ticket),
        )
        .where(
            epochs.c.study_id == study_id,
            epochs.c.epoch == epoch,
            tickets.c.state != TicketState.INVALID,
            sa.or_(audited.is_(None), audited >= epoch),
        )
        .order_by(epochs.c.ticket)
    )
    places, costs = [], []
    for ticket, written, *measured in connection.execute(query):
        known = {}
        if written is not None:
            known = decode_or({}, written, "hpsearch_tickets.figures", f"ticket {ticket}")
        known |= dict(zip(metrics, measured, strict=True))
        places.append(ticket)
        costs.append([_cost(name, known.get(name)) for name in names])
    return dict(zip(places, fronts(costs), strict=True))


def _cost(name: str, value: float | None) -> float:
    """Return an objective such that less is better; an unknown one is the worst."""
    if value is None:
        return math.inf
    return -value if GOAL_METRICS[name] == "maximize" else value
