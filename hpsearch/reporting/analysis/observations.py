"""The data that effects are estimated from: each ended trial's configuration and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.reporting.analysis.parameters import SearchedParameter, read_parameters
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, epochs

#: Name in a failed trial's error if its loss became NaN or infinite.
_DIVERGED = "TrainingDiverged"


@dataclass(frozen=True, kw_only=True)
class ObservedTrial:
    """One ended trial."""

    number: int
    #: Path -> stored value.
    params: Mapping[str, Any]
    #: The objective by the study's rule after each epoch that it ran; empty if it diverged.
    curve: Sequence[float]
    #: The end value; ``None`` if it was stopped early, or diverged.
    value: float | None
    diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class AnalysisData:
    """All data that effects are estimated from."""

    metric: str
    maximize: bool
    epochs_per_trial: int
    parameters: Mapping[str, SearchedParameter]
    trials: Sequence[ObservedTrial]
    #: Trials that failed for another reason than their configuration; they aren't used.
    failed: int = 0


def read_analysis_data(database: Database, record: StudyRecord) -> AnalysisData:
    """Read a study's ended trials: complete, stopped early, and diverged."""
    values = _values(database, record.study.study_id)
    observations = [
        observation
        for trial in record.trials
        if (observation := _observation(trial, values.get(trial.ticket, []), record)) is not None
    ]
    failed = sum(trial.state is TicketState.FAILED for trial in record.trials)
    return AnalysisData(
        metric=record.objective.metric,
        maximize=record.objective.direction == "maximize",
        epochs_per_trial=record.study.epochs_per_trial,
        parameters=read_parameters(database, record.study.study_id),
        trials=observations,
        failed=failed - sum(observation.diverged for observation in observations),
    )


def _observation(
    trial: TrialRecord, curve: Sequence[float], record: StudyRecord
) -> ObservedTrial | None:
    if trial.number is None:
        return None
    params = dict(trial.params)
    if trial.state is TicketState.FAILED and _DIVERGED in (trial.error or ""):
        return ObservedTrial(
            number=trial.number, params=params, curve=(), value=None, diverged=True
        )
    has_ended = trial.state in (TicketState.COMPLETE, TicketState.PRUNED)
    if not has_ended or trial.value is None or not curve:
        return None
    if record.objective.at == "best":
        curve = _best_so_far(curve, maximize=record.objective.direction == "maximize")
    complete = trial.state is TicketState.COMPLETE
    value = trial.value if complete else None
    return ObservedTrial(number=trial.number, params=params, curve=tuple(curve), value=value)


def _best_so_far(curve: Sequence[float], *, maximize: bool) -> list[float]:
    better = max if maximize else min
    best_values: list[float] = []
    for value in curve:
        best_values.append(better(best_values[-1], value) if best_values else value)
    return best_values


def _values(database: Database, study_id: int) -> dict[int, list[float]]:
    query = (
        sa.select(epochs.c.ticket, epochs.c.value)
        .where(epochs.c.study_id == study_id)
        .order_by(epochs.c.ticket, epochs.c.epoch)
    )

    def work(connection: Connection) -> dict[int, list[float]]:
        by_ticket: dict[int, list[float]] = {}
        for row in connection.execute(query):
            by_ticket.setdefault(row.ticket, []).append(row.value)
        return by_ticket

    return database.read(work)
