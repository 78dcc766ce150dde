"""The trials that wait at rungs: which one continues, and how they end.

The caller of each function holds the study's lock, so that no count changes until its transaction
ends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.metrics import LATENCY, OBJECTIVES, Direction
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import Statement, fetch_many
from hpsearch.search.database.stored_json import decode_or
from hpsearch.search.database.tables import TicketState, epochs, tickets
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.outcomes import write_ending
from hpsearch.search.ledger.queries import decode_others
from hpsearch.search.ledger.statements import Row, update_ticket
from hpsearch.search.ledger.types import SearchRules
from hpsearch.search.pruning.promotion import LEAST_COMPLETE, Rung, fronts, most_paused
from hpsearch.study_file.goals import Goals

#: The attribute of a trial's row with the confusion matrix of its newest epoch, if the trial has
#: ended or waits. It is removed when the trial continues, as it would be an earlier epoch's.
VAL_CONFUSION = "val_confusion"

#: A ticket that waits for a worker, not at a rung: its last worker died or had to leave.
IS_LOST = sa.and_(tickets.c.state == TicketState.PAUSED, tickets.c.rung.is_(None))


def next_promoted(
    connection: Connection,
    study: Row,
    rules: SearchRules,
    counter: RungCounter,
    *,
    closing: bool = False,
) -> Row | None:
    """Choose the ticket that is promoted next.

    If the study has no new trials left, the best of the highest rung continue until
    ``LEAST_COMPLETE`` trials are complete.

    Args:
        connection: A transaction that holds the study's lock.
        study: The study's row.
        rules: The study's rules.
        counter: Counts the study's trials at its rungs.
        closing: Whether no new trial may start, as the study's deadline is near.

    Returns:
        The ticket's row; ``None`` if no ticket may continue now.
    """
    if rules.promotion is None or not rules.rungs:
        return None
    study_id = study["study_id"]
    rung = rules.promotion.next_rung(counter.read(connection))
    if rung is None and not _owes_complete_ones(connection, study, counter.issued, closing):
        return None
    query = sa.select(tickets).where(
        _waits(study_id), sa.true() if rung is None else tickets.c.rung == rung.epoch
    )
    rows = _best_first(
        connection, study_id, query, maximize=rules.maximize, goals=rules.goals, most=1
    )
    return next(iter(rows), None)


def _owes_complete_ones(connection: Connection, study: Row, issued: int, closing: bool) -> bool:
    """Whether no new trial is left, and too few are complete or running."""
    is_left = not study["exhausted"] and issued < study["trials"] + study["granted"]
    if is_left and not closing:
        return False
    to_the_end = tickets.c.state.in_((TicketState.COMPLETE, TicketState.RUNNING))
    query = sa.select(tickets.c.ticket).where(tickets.c.study_id == study["study_id"], to_the_end)
    return len(connection.execute(query.limit(LEAST_COMPLETE)).all()) < LEAST_COMPLETE


class _Place(NamedTuple):
    """How far a trial has come."""

    epochs_done: int
    rung: int | None
    audited_from: int | None

    def has_reached(self, epoch: int) -> bool:
        """Whether it competes at this rung."""
        # A trial that the audit keeps beyond its rung doesn't compete from there on
        audited = self.audited_from
        return self.epochs_done >= epoch and (audited is None or audited >= epoch)

    def was_promoted(self, epoch: int) -> bool:
        """Whether it continued from this rung."""
        return (
            self.epochs_done >= epoch
            and (self.audited_from is None or self.audited_from > epoch)
            and (self.rung is None or self.rung > epoch)
        )


_PLACE = (tickets.c.epochs_done, tickets.c.rung, tickets.c.audited_from)
_OF_STUDY = tickets.c.study_id == sa.bindparam("study_id")
_IN_STATE = Statement(
    sa.select(tickets.c.ticket, *_PLACE).where(_OF_STUDY, tickets.c.state == sa.bindparam("state"))
)
_LAST_TICKET = Statement(sa.select(sa.func.max(tickets.c.ticket)).where(_OF_STUDY))
_TICKET = Statement(
    sa.select(tickets.c.state, *_PLACE).where(_OF_STUDY, tickets.c.ticket == sa.bindparam("ticket"))
)

#: States of trials that have ended and are valid.
_ENDED = (TicketState.COMPLETE, TicketState.PRUNED, TicketState.FAILED)

#: Ended trials that are read one by one; if there are more, all are counted again.
_MOST_READ = 200


class RungCounter:
    """Counts the valid trials at each rung, for one worker.

    Most trials have ended, and an ended trial's place doesn't change. So a count reads the
    unfinished trials and those that have ended since the last count; their number doesn't grow with
    the study. If an ended trial has changed (it was declared invalid or valid, or waits again), all
    are counted again.

    Args:
        study_id: Optuna's id of the study.
        epochs: The rungs, ascending.
    """

    def __init__(self, study_id: int, epochs: Sequence[int]) -> None:
        self._study_id = study_id
        self._epochs = tuple(epochs)
        #: Place -> number of trials that have ended there; ``None`` before the first count.
        self._ended: Counter[_Place] | None = None
        self._unfinished: frozenset[int] = frozenset()
        self._invalid: frozenset[int] = frozenset()
        #: The number of the newest ticket at the last count: how many were issued, unless the
        #: space is exhausted.
        self.issued = 0

    def read(self, connection: Connection) -> list[Rung]:
        """Return the counts.

        Args:
            connection: A transaction that holds the study's lock.

        Returns:
            One ``Rung`` for each rung, ascending.
        """
        study = {"study_id": self._study_id}
        # Running trials first: one that is given back meanwhile is read twice, and never missed
        states = (TicketState.RUNNING, TicketState.PAUSED, TicketState.INVALID)
        running, paused, invalid, ((last,),) = fetch_many(
            connection,
            [*((_IN_STATE, {**study, "state": state}) for state in states), (_LAST_TICKET, study)],
        )
        unfinished = {ticket: _Place(*place) for ticket, *place in [*running, *paused]}
        now_invalid = frozenset(ticket for ticket, *_ in invalid)
        previous, issued = self._unfinished, last or 0
        ended = (
            (previous | set(range(self.issued + 1, issued + 1))) - unfinished.keys() - now_invalid
        )
        reopened = any(ticket <= self.issued and ticket not in previous for ticket in unfinished)
        if (
            self._ended is None
            or reopened
            or now_invalid != self._invalid
            or len(ended) > _MOST_READ
        ):
            self._ended = self._count_ended(connection)
        elif ended:
            questions = [(_TICKET, {**study, "ticket": ticket}) for ticket in sorted(ended)]
            for rows in fetch_many(connection, questions):
                for state, *place in rows:
                    if state in _ENDED:
                        self._ended[_Place(*place)] += 1
        self._unfinished, self._invalid = frozenset(unfinished), now_invalid
        self.issued = issued
        waiting = Counter(place[1] for _, *place in paused)
        return _rungs(self._epochs, self._ended + Counter(unfinished.values()), waiting)

    def _count_ended(self, connection: Connection) -> Counter[_Place]:
        query = (
            sa.select(*_PLACE, sa.func.count())
            .where(tickets.c.study_id == self._study_id, tickets.c.state.in_(_ENDED))
            .group_by(*_PLACE)
        )
        return Counter({_Place(*place): count for *place, count in connection.execute(query)})


def _rungs(
    epochs: Iterable[int], places: Mapping[_Place, int], waiting: Mapping[int | None, int]
) -> list[Rung]:
    return [
        Rung(
            epoch=epoch,
            reached=sum(count for place, count in places.items() if place.has_reached(epoch)),
            promoted=sum(count for place, count in places.items() if place.was_promoted(epoch)),
            waiting=waiting.get(epoch, 0),
        )
        for epoch in epochs
    ]


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
            figures = decode_or({}, row["figures"], "hpsearch_tickets.figures", row["ticket"])
            metrics = {rules.metric: value, **figures}
            values = write_ending(connection, rules.goals, row["trial_id"], metrics, complete=False)
        optuna_rows.finish_trial(connection, row["trial_id"], TrialState.PRUNED, values)
        update_ticket(connection, study_id, row["ticket"], state=TicketState.PRUNED)
        detail = {"epoch": row["epochs_done"], "value": value, "waited": True}
        record_event(
            connection, study_id, row["ticket"], row["attempt"], EventKind.PRUNED, owner, detail
        )
    return [row["number"] for row in rows]


def any_lost(connection: Connection, study_id: int) -> bool:
    """Whether a ticket ``IS_LOST``: it continues before any is promoted."""
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
    """Return Optuna's trial id -> (epochs done, value there), of each trial that may continue."""
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
        rung_fronts = {
            rung: read_fronts(connection, study_id, goals, rung)
            for rung in {row["rung"] for row in rows}
        }
        rows.sort(
            key=lambda row: (-row["rung"], rung_fronts[row["rung"]].get(row["ticket"], math.inf))
        )
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
        sa.select(
            epochs.c.ticket, tickets.c.figures, epochs.c.others, *(epochs.c[n] for n in metrics)
        )
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
    for ticket, figures_text, others, *measured in connection.execute(query):
        values = {}
        if figures_text is not None:
            values = decode_or({}, figures_text, "hpsearch_tickets.figures", f"ticket {ticket}")
        values |= decode_others(others, ticket) | dict(zip(metrics, measured, strict=True))
        places.append(ticket)
        costs.append([_cost(goals.directions[name], values.get(name)) for name in names])
    return dict(zip(places, fronts(costs), strict=True))


def _cost(direction: Direction, value: float | None) -> float:
    """Return an objective such that less is better; an unknown one is the worst."""
    if value is None:
        return math.inf
    return -value if direction == "maximize" else value
