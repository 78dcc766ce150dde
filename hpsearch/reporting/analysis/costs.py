"""What a study cost, what pruning saved, and when the study found its best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.reporting.pruning_audit import PruningAudit, read_pruning_audit
from hpsearch.results import trial_attributes
from hpsearch.results.ranking import violators
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, epochs, events
from hpsearch.search.ledger.events import EventKind

#: A longer gap in the event log, in seconds, doesn't count as work: no worker was running.
_AWAY = 900.0


@dataclass(frozen=True, kw_only=True)
class StateCost:
    """What the trials of one state cost."""

    trials: int
    epochs: int
    compute_seconds: float


@dataclass(frozen=True, kw_only=True)
class BestSoFar:
    """The moment at which a complete trial became the best."""

    number: int
    value: float
    #: Epochs that all trials had run by then, including this one's last.
    epochs: int
    #: Seconds since the study's first event, by the workers' clocks, without idle gaps.
    seconds: float
    #: Trials that had ended by then.
    trials: int


@dataclass(frozen=True, kw_only=True)
class EndedTrial:
    """One ended trial, and when it ended."""

    number: int
    state: str
    value: float
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The costs of a study."""

    epochs: int
    compute_seconds: float
    #: By state: complete, pruned, failed, running, paused.
    by_state: Mapping[str, StateCost]
    infeasible: int
    #: Additional epochs that a full training of every trial would have run.
    epochs_saved: int
    #: Of all epochs that were planned, 0..1.
    share_saved: float
    #: The pruning audit's estimate of what pruning cost; ``None`` without an audit.
    audit: PruningAudit | None
    #: From the first event to the last, with and without idle gaps; ``None`` before the second
    #: event.
    wall_seconds: float | None
    busy_seconds: float | None
    #: Trials that were trained at once, on average over ``busy_seconds``.
    parallelism: float | None
    #: Every ended trial in the order in which they trained last, and the steps of the best so far.
    ended: tuple[EndedTrial, ...]
    best_so_far: tuple[BestSoFar, ...]
    #: Of all trials; ``None`` if it wasn't measured.
    energy_joules: float | None = None

    def within(self, distance: float) -> BestSoFar | None:
        """Return when the best so far first came within ``distance`` of the final best.

        ``distance`` is in the objective's unit. ``None`` before a trial is complete.
        """
        if not self.best_so_far:
            return None
        final = self.best_so_far[-1].value
        return next(step for step in self.best_so_far if abs(step.value - final) <= distance)


def read_costs(database: Database, record: StudyRecord) -> Costs:
    """Read the costs so far."""
    study_id = record.study.study_id
    moments = _moments(database, study_id)
    runs = _runs(database, study_id)
    attributes = trial_attributes.read_many(database, study_id, ["energy_joules"])
    energy = [values["energy_joules"] for values in attributes.values()]
    return costs(
        record,
        moments=moments,
        epochs_in_order=runs,
        audit=read_pruning_audit(database, record),
        energy=sum(energy) if energy else None,
    )


def costs(
    record: StudyRecord,
    *,
    moments: Sequence[tuple[datetime, str, int | None]],
    epochs_in_order: Mapping[int, Sequence[float]],
    audit: PruningAudit | None = None,
    energy: float | None = None,
) -> Costs:
    """Compute the costs.

    Args:
        record: The study with its trials.
        moments: (time, kind of event, ticket or ``None``), oldest first.
        epochs_in_order: Ticket -> seconds of each of its epochs.
        audit: The pruning audit; ``None`` without one.
        energy: Energy of all trials in joules; ``None`` if it wasn't measured.
    """
    by_state = {}
    for state in TicketState:
        trials = [trial for trial in record.trials if trial.state is state]
        by_state[state.value] = StateCost(
            trials=len(trials),
            epochs=sum(trial.epochs_done for trial in trials),
            compute_seconds=sum(trial.compute_seconds for trial in trials),
        )
    finished = [by_state[state.value] for state in (TicketState.COMPLETE, TicketState.PRUNED)]
    full_epochs = record.study.epochs_per_trial * sum(cost.trials for cost in finished)
    epochs_saved = full_epochs - sum(cost.epochs for cost in finished)
    wall, busy = _spans([when for when, *_ in moments])
    ended_trials = _ended_trials(record, moments, epochs_in_order)
    return Costs(
        epochs=record.counts.epochs_run,
        compute_seconds=record.counts.compute_seconds,
        by_state=by_state,
        infeasible=record.counts.infeasible,
        epochs_saved=epochs_saved,
        share_saved=epochs_saved / full_epochs if full_epochs else 0.0,
        audit=audit,
        wall_seconds=wall,
        busy_seconds=busy,
        parallelism=record.counts.compute_seconds / busy if busy else None,
        ended=ended_trials,
        best_so_far=_best_so_far(record, ended_trials),
        energy_joules=energy,
    )


def _spans(times: Sequence[datetime]) -> tuple[float | None, float | None]:
    if len(times) < 2:
        return None, None
    times = sorted(times)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    return sum(gaps), sum(gap for gap in gaps if gap <= _AWAY)


def _work_seconds(times: Sequence[datetime]) -> dict[datetime, float]:
    """Return moment -> seconds since the first one, without idle gaps."""
    order = sorted(times)
    clock = 0.0
    seconds = {order[0]: clock}
    for earlier, later in pairwise(order):
        gap = (later - earlier).total_seconds()
        clock += gap if gap <= _AWAY else 0.0
        seconds[later] = clock
    return seconds


def _ended_trials(
    record: StudyRecord,
    moments: Sequence[tuple[datetime, str, int | None]],
    epochs_in_order: Mapping[int, Sequence[float]],
) -> tuple[EndedTrial, ...]:
    """Return the ended trials, with the epochs that all trials had run by each end.

    A trial that waits at a rung until the study ends has ended when it began to wait: it didn't
    train after that. The event log has no event per epoch. So a trial's epochs are placed backwards
    from its end, one training time apart.
    """
    if not moments:
        return ()
    worked = _work_seconds([when for when, *_ in moments])
    ends: dict[int, float] = {}
    waits: dict[int, float] = {}
    for when, kind, ticket in moments:
        if ticket is None:
            continue
        if kind == EventKind.PAUSED:
            waits[ticket] = worked[when]
        elif kind == EventKind.RESUMED:
            waits.pop(ticket, None)
        elif kind in (EventKind.COMPLETE, EventKind.PRUNED, EventKind.FAILED):
            ends[ticket] = waits.get(ticket, worked[when])
    last = max(worked.values())
    done: list[float] = []
    for trial in record.trials:
        end = ends.get(trial.ticket, last)
        for seconds in reversed(epochs_in_order.get(trial.ticket, ())):
            done.append(end)
            end -= seconds
    done.sort()
    ended_trials = []
    place = 0
    finished = {trial.ticket: trial for trial in record.trials if trial.state.is_finished}
    for ticket, end in sorted(ends.items(), key=lambda pair: pair[1]):
        trial_record = finished.get(ticket)
        if trial_record is None or trial_record.value is None or trial_record.number is None:
            continue
        while place < len(done) and done[place] <= end:
            place += 1
        ended_trials.append(
            EndedTrial(
                number=trial_record.number,
                state=trial_record.state.value,
                value=trial_record.value,
                epochs=place,
                seconds=end,
            )
        )
    return tuple(ended_trials)


def _best_so_far(record: StudyRecord, ended_trials: Sequence[EndedTrial]) -> tuple[BestSoFar, ...]:
    broken = {trial.number for trial in violators(record)}
    steps: list[BestSoFar] = []
    for count, candidate in enumerate(ended_trials, start=1):
        if candidate.state != TicketState.COMPLETE or candidate.number in broken:
            continue
        if steps and not record.objective.is_better(candidate.value, steps[-1].value):
            continue
        steps.append(
            BestSoFar(
                number=candidate.number,
                value=candidate.value,
                epochs=candidate.epochs,
                seconds=candidate.seconds,
                trials=count,
            )
        )
    return tuple(steps)


def _moments(database: Database, study_id: int) -> list[tuple[datetime, str, int | None]]:
    query = (
        sa.select(events.c.at, events.c.kind, events.c.ticket)
        .where(events.c.study_id == study_id)
        .order_by(events.c.event_id)
    )

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(query)]

    return [(datetime.fromisoformat(at), kind, ticket) for at, kind, ticket in database.read(work)]


def _runs(database: Database, study_id: int) -> dict[int, list[float]]:
    query = (
        sa.select(epochs.c.ticket, epochs.c.seconds)
        .where(epochs.c.study_id == study_id)
        .order_by(epochs.c.ticket, epochs.c.epoch)
    )

    def work(connection: Connection) -> dict[int, list[float]]:
        by_ticket: dict[int, list[float]] = {}
        for ticket, seconds in connection.execute(query):
            by_ticket.setdefault(ticket, []).append(seconds)
        return by_ticket

    return database.read(work)
