"""Savings and costs of pruning, by the trials that the audit kept (``ledger.decision``).

Whether the audit keeps a trial is decided before the trial starts, so the kept ones are a fair
sample of all that the pruner would have stopped.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.results.export.matrix_metrics import share_interval
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, epochs
from hpsearch.search.ledger.decision import kept_by_audit

#: Largest number of rungs; more (a pruner that checks every epoch) are thinned evenly.
_RUNGS = 6
#: Fewest trials for a rank correlation.
_RANKED = 5


@dataclass(frozen=True, kw_only=True)
class KeptTrial:
    """A trial that the pruner would have stopped, and its end."""

    number: int | None
    #: The epoch at which it would have been stopped.
    epoch: int
    #: Its final value, in the objective's unit.
    value: float
    epochs_run: int


@dataclass(frozen=True, kw_only=True)
class Rung:
    """How well the order of the trials after an epoch predicts their final order, -1..1.

    It is computed over the trials that reached the end, including kept ones. ``None`` if all are
    equal.
    """

    epoch: int
    trials: int
    spearman: float | None
    kendall: float | None


@dataclass(frozen=True, kw_only=True)
class PruningAudit:
    """Savings and costs of pruning."""

    #: Number of stopped trials, and of the epochs that they didn't run.
    pruned: int
    epochs_saved: int
    #: Epochs that kept trials ran after the epoch at which they would have been stopped.
    epochs_paid: int
    spared: Sequence[KeptTrial]
    #: Kept trials that ended better than half of those that the pruner didn't stop.
    falsely_pruned: int
    #: Their share of the kept trials, and its 95 % interval (Wilson's): an estimate for all trials
    #: that the pruner stops. ``None`` if none was kept, or no other trial is complete.
    false_rate: float | None
    false_interval: tuple[float, float] | None
    #: By how much the best kept trial is better than the best that the pruner didn't stop, 0 if it
    #: isn't. A lower bound of the cost of pruning, since only the kept ones are known.
    regret: float | None
    rungs: Sequence[Rung]

    def as_json(self) -> dict[str, Any]:
        """Return the audit as ``status --json`` prints it."""
        return {
            "pruned": self.pruned,
            "epochs_saved": self.epochs_saved,
            "epochs_paid": self.epochs_paid,
            "spared": [vars(trial) for trial in self.spared],
            "falsely_pruned": self.falsely_pruned,
            "false_rate": self.false_rate,
            "false_interval": self.false_interval and list(self.false_interval),
            "regret": self.regret,
            "rungs": [vars(rung) for rung in self.rungs],
        }


def read_pruning_audit(database: Database, record: StudyRecord) -> PruningAudit | None:
    """Return the audit so far; ``None`` if the pruner wouldn't have stopped any trial yet."""
    study_id = record.study.study_id
    # While workers run, trials may have begun since the record was read
    tickets = {trial.ticket for trial in record.trials}
    stop_epochs = database.read(lambda connection: kept_by_audit(connection, study_id))
    since = {ticket: epoch for ticket, epoch in stop_epochs.items() if ticket in tickets}
    if factor := _promoted_share(record):
        since = _without_promoted(database, record, since, factor)
    stopped_trials = [trial for trial in record.trials if trial.state is TicketState.PRUNED]
    if not since and not stopped_trials:
        return None
    complete = {
        trial.ticket: trial
        for trial in record.trials
        if trial.state is TicketState.COMPLETE and trial.value is not None
    }
    all_rungs = sorted({*since.values(), *(trial.epochs_done for trial in stopped_trials)})
    step = -(-len(all_rungs) // _RUNGS)
    rungs = list(islice(all_rungs, 0, None, step))
    at = database.read(lambda connection: _values(connection, study_id, rungs, list(complete)))
    return audit(record, complete, since, {epoch: at.get(epoch, {}) for epoch in rungs})


def audit(
    record: StudyRecord,
    complete: Mapping[int, TrialRecord],
    since: Mapping[int, int],
    at: Mapping[int, Mapping[int, float]],
) -> PruningAudit:
    """Compute the audit.

    Args:
        record: The study with its trials.
        complete: Ticket -> trial that reached its end.
        since: Ticket -> epoch at which a kept trial would have been stopped.
        at: Epoch -> ticket -> value after that epoch.
    """
    sign = 1.0 if record.objective.direction == "maximize" else -1.0
    full = record.study.epochs_per_trial
    ends = {ticket: trial.value for ticket, trial in complete.items() if trial.value is not None}
    not_stopped = [sign * value for ticket, value in ends.items() if ticket not in since]
    kept_trials = [
        KeptTrial(
            number=complete[ticket].number,
            epoch=epoch,
            value=ends[ticket],
            epochs_run=complete[ticket].epochs_done,
        )
        for ticket, epoch in sorted(since.items())
        if ticket in ends
    ]
    stopped_trials = [trial for trial in record.trials if trial.state is TicketState.PRUNED]
    has_estimate = bool(kept_trials and not_stopped)
    half = statistics.median(not_stopped) if not_stopped else 0.0
    false = sum(sign * trial.value > half for trial in kept_trials) if has_estimate else 0
    best = max((sign * trial.value for trial in kept_trials), default=0.0)
    return PruningAudit(
        pruned=len(stopped_trials),
        epochs_saved=sum(full - trial.epochs_done for trial in stopped_trials),
        epochs_paid=sum(
            trial.epochs_done - since[trial.ticket]
            for trial in record.trials
            if trial.ticket in since
        ),
        spared=kept_trials,
        falsely_pruned=false,
        false_rate=false / len(kept_trials) if has_estimate else None,
        false_interval=share_interval(false, len(kept_trials)) if has_estimate else None,
        regret=max(0.0, best - max(not_stopped)) if has_estimate else None,
        rungs=[
            _rung(epoch, [(value, ends[ticket]) for ticket, value in values.items()])
            for epoch, values in at.items()
            if len(values) >= _RANKED
        ],
    )


def _rung(epoch: int, pairs: Sequence[tuple[float, float]]) -> Rung:
    # Imported late: the import takes more than a second
    from scipy.stats import kendalltau, spearmanr

    there, end = zip(*pairs, strict=True)
    differ = len(set(there)) > 1 and len(set(end)) > 1
    return Rung(
        epoch=epoch,
        trials=len(pairs),
        spearman=float(spearmanr(there, end).statistic) if differ else None,
        kendall=float(kendalltau(there, end).statistic) if differ else None,
    )


def _promoted_share(record: StudyRecord) -> int | None:
    """Return 1 / the share of trials that a rung promotes; ``None`` if the pruner stops trials."""
    asha = record.study.document.get("pruner", {}).get("asha")
    return None if asha is None or asha["stop"] else int(asha["reduction_factor"])


def _without_promoted(
    database: Database, record: StudyRecord, since: Mapping[int, int], factor: int
) -> dict[int, int]:
    """Return those of ``since`` that would still wait at their rung, by the current results.

    A trial that waits may be promoted later, so the audit can't know yet whether the pruner lets it
    continue.
    """
    sign = 1.0 if record.objective.direction == "maximize" else -1.0
    all_tickets = [trial.ticket for trial in record.trials]
    at = database.read(
        lambda connection: _values(
            connection, record.study.study_id, sorted(set(since.values())), all_tickets
        )
    )
    stop_epochs = {}
    for ticket, epoch in since.items():
        scores = {other: sign * value for other, value in at[epoch].items()}
        better = sum(score > scores[ticket] for score in scores.values())
        if better >= len(scores) // factor:
            stop_epochs[ticket] = epoch
    return stop_epochs


def _values(
    connection: Connection, study_id: int, rungs: Sequence[int], tickets: Sequence[int]
) -> dict[int, dict[int, float]]:
    query = sa.select(epochs.c.epoch, epochs.c.ticket, epochs.c.value).where(
        epochs.c.study_id == study_id, epochs.c.epoch.in_(rungs)
    )
    ticket_set = set(tickets)
    by_epoch: dict[int, dict[int, float]] = {}
    for row in connection.execute(query):
        if row.ticket in ticket_set:
            by_epoch.setdefault(row.epoch, {})[row.ticket] = row.value
    return by_epoch
