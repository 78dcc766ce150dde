"""The outcome of a trial if several metrics count: objectives, costs and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.metrics import COSTS, MEASURED_COSTS, OBJECTIVES
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import Statement, fetch
from hpsearch.search.database.tables import epochs
from hpsearch.search.ledger.queries import decode_others
from hpsearch.study_file.goals import Goals

_COLUMNS = ("epoch", "seconds", "others", *OBJECTIVES)

_EPOCHS_OF = Statement(
    sa.select(*(epochs.c[name] for name in _COLUMNS))
    .where(epochs.c.study_id == sa.bindparam("study_id"), epochs.c.ticket == sa.bindparam("ticket"))
    .order_by(epochs.c.epoch)
)


@dataclass(frozen=True, kw_only=True)
class GoalMetrics:
    """An ended trial's metrics, in the terms of its study's goals."""

    #: Each objective and each metric with a bound, as far as it is known.
    metrics: Mapping[str, float]
    #: One per objective, for Optuna's row; none for a pruned trial of several objectives, whose
    #: metrics are from another epoch and can't be compared with complete ones.
    values: Sequence[float]
    #: Constraint -> violation (above 0: violated), of the constraints that may be judged.
    violations: Mapping[str, float]


def read_outcome(
    connection: Connection,
    goals: Goals,
    ticket: Mapping[str, Any],
    measured: Mapping[str, float],
    *,
    complete: bool,
) -> GoalMetrics:
    """Compute a trial's outcome after its newest epoch was written.

    Args:
        connection: The transaction that reports the epoch.
        goals: The study's goals.
        ticket: The ticket's row.
        measured: The metrics that no epoch measures, as far as they are known.
        complete: Whether the trial was trained to its end.

    Returns:
        The trial's metrics, in the terms of ``goals``.
    """
    rows = fetch(connection, _EPOCHS_OF, study_id=ticket["study_id"], ticket=ticket["ticket"])
    columns = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return outcome(
        goals,
        [{**row, **decode_others(row["others"], ticket["ticket"])} for row in columns],
        best_epoch=ticket["best_epoch"],
        measured=measured,
        complete=complete,
    )


def write_ending(
    connection: Connection,
    goals: Goals,
    trial_id: int,
    metrics: Mapping[str, float],
    *,
    complete: bool,
) -> Sequence[float]:
    """Write the constraints' violations and the measured costs to Optuna's row.

    Args:
        connection: The transaction that ends the trial.
        goals: The study's goals.
        trial_id: Optuna's id of the trial.
        metrics: As ``GoalMetrics.metrics``.
        complete: Whether the trial was trained to its end.

    Returns:
        The values for the row, as ``GoalMetrics.values``.
    """
    optuna_rows.insert_constraints(connection, trial_id, _violations(goals, metrics, complete))
    for name in MEASURED_COSTS:
        if name in metrics:
            optuna_rows.insert_user_attr(connection, trial_id, name, metrics[name])
    return _values(goals, metrics, complete)


def outcome(
    goals: Goals,
    rows: Sequence[Mapping[str, Any]],
    *,
    best_epoch: int,
    measured: Mapping[str, float],
    complete: bool,
) -> GoalMetrics:
    """Compute a trial's outcome from its epochs.

    All metrics are of one epoch, so that they belong to one model: the last, or the best by the
    objective that the pruner compares. A pruned trial's metrics would still have changed, so only
    the constraints on its costs are judged.

    Args:
        goals: The study's goals.
        rows: All epochs in order; each has ``epoch``, ``seconds`` and every metric of the goals.
        best_epoch: The trial's best epoch, from 1.
        measured: The metrics that no epoch measures, as far as they are known.
        complete: Whether the trial was trained to its end.

    Returns:
        The trial's metrics, in the terms of ``goals``.
    """
    at = rows[-1]["epoch"] if goals.objective.at == "last" else best_epoch
    epoch_row = next(row for row in rows if row["epoch"] == at)
    values = {
        **measured,
        **{
            name: float(epoch_row[name])
            for name in goals.metrics
            if epoch_row.get(name) is not None
        },
        "epoch_seconds": float(median(row["seconds"] for row in rows)),
    }
    metrics = {name: float(values[name]) for name in goals.metrics if name in values}
    return GoalMetrics(
        metrics=metrics,
        values=_values(goals, metrics, complete),
        violations=_violations(goals, metrics, complete),
    )


def _values(goals: Goals, metrics: Mapping[str, float], complete: bool) -> list[float]:
    if complete or not goals.is_multi_objective:
        return [metrics[name] for name in goals.objectives]
    return []


def _violations(goals: Goals, metrics: Mapping[str, float], complete: bool) -> Mapping[str, float]:
    judged = {name: value for name, value in metrics.items() if complete or name in COSTS}
    return goals.violations(judged)
