"""A study as tables: one row per trial, one row per epoch, in a constant number of queries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from hpsearch.metrics import METRIC_COLUMNS, EpochMetrics
from hpsearch.reporting.analysis.parameters import read_parameters
from hpsearch.results import trial_attributes
from hpsearch.results.error_text import first_line
from hpsearch.results.overfitting import overfits_from
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import epochs
from hpsearch.search.ledger import queries

#: Attributes that workers record for a trial and the table shows.
ATTRIBUTES = (
    "parameters",
    "multiply_adds",
    "receptive_field",
    "device",
    "try_first",
    "energy_joules",
)

#: The columns of ``trial_table`` before and after the searched parameters.
FIRST_COLUMNS = ("number", "ticket", "state", "value", "best_value", "best_epoch", "epochs")
LAST_COLUMNS = (
    "seconds",
    "epoch_seconds",
    "overfits_from",
    "attempts",
    *ATTRIBUTES,
    "latency",
    "error",
)


def columns(database: Database, record: StudyRecord) -> list[str]:
    """Return the columns of ``trial_table``, in order."""
    searched = list(read_parameters(database, record.study.study_id))
    metrics = [name for name in record.goals.metrics if name not in LAST_COLUMNS]
    return [*FIRST_COLUMNS, *searched, *(metrics if _has_metrics(record) else []), *LAST_COLUMNS]


def trial_table(
    database: Database,
    record: StudyRecord,
    curves: Mapping[int, Sequence[EpochMetrics]] | None = None,
) -> list[dict[str, Any]]:
    """Return one row per trial whose configuration was drawn, by number.

    Args:
        database: The study's database.
        record: The study with its trials.
        curves: Ticket -> results of its epochs (``queries.curves``); ``None`` reads them.

    Returns:
        Rows that all have every column of ``columns``. The key of a parameter is its path; its
        value is ``None`` if its branch wasn't taken. ``value`` is the objective by the study's
        rule, from the last epoch if the trial was stopped early; ``seconds`` is its compute time,
        ``epoch_seconds`` its median epoch, ``latency`` is in milliseconds. Each metric has a
        column if the study has several objectives or constraints.
    """
    study_id = record.study.study_id
    names = columns(database, record)
    attributes = trial_attributes.read_many(database, study_id, [*ATTRIBUTES, "latency"])
    if curves is None:
        curves = queries.curves(database, study_id)
    trials = [trial for trial in record.trials if trial.number is not None]
    return [
        {**dict.fromkeys(names), **_row(trial, curves, attributes, record.goals.metrics)}
        for trial in sorted(trials, key=lambda trial: trial.number or 0)
    ]


def epoch_table(database: Database, record: StudyRecord) -> dict[str, NDArray[Any]]:
    """Return column -> array over all epochs of all trials, by trial and epoch.

    ``number`` and ``ticket`` identify the trial; the others are ``metrics.METRIC_COLUMNS``,
    ``value``, the objective at that epoch, and the metrics that only this study measures.
    """
    names, own = ("ticket", "value", *METRIC_COLUMNS), record.goals.others
    query = (
        sa.select(*(epochs.c[name] for name in names), epochs.c.others)
        .where(epochs.c.study_id == record.study.study_id)
        .order_by(epochs.c.ticket, epochs.c.epoch)
    )

    def work(connection: Connection) -> list[Any]:
        return list(connection.execute(query).all())

    rows = []
    for *values, others in database.read(work):
        metrics = queries.decode_others(others, values[0])
        rows.append((*values, *(metrics.get(name) for name in own)))
    names = (*names, *own)
    numbers = {trial.ticket: trial.number for trial in record.trials}
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    table: dict[str, NDArray[Any]] = {
        name: np.array(values, dtype=np.int64 if name in ("ticket", "epoch") else np.float64)
        for name, values in zip(names, by_column, strict=True)
    }
    number = np.array([numbers[ticket] for ticket in table["ticket"].tolist()], dtype=np.int64)
    return {"number": number, **table}


def _row(
    trial: TrialRecord,
    curves: Mapping[int, Sequence[EpochMetrics]],
    attributes: Mapping[int, Mapping[str, Any]],
    metrics: Collection[str],
) -> dict[str, Any]:
    curve = curves.get(trial.ticket, [])
    return {
        "number": trial.number,
        "ticket": trial.ticket,
        "state": trial.state.value,
        "value": trial.value,
        "best_value": trial.best_value,
        "best_epoch": trial.best_epoch,
        "epochs": trial.epochs_done,
        **trial.params,
        "seconds": trial.compute_seconds,
        "epoch_seconds": float(np.median([epoch.seconds for epoch in curve])) if curve else None,
        "overfits_from": overfits_from(curve),
        "attempts": trial.attempts,
        **attributes.get(trial.trial_id or -1, {}),
        **{name: value for name, value in trial.metrics.items() if name in metrics},
        "error": _why(trial),
    }


def _why(trial: TrialRecord) -> str | None:
    """Return why a trial has no value, or none that can be trusted."""
    if trial.invalid is not None:
        return f"declared invalid: {trial.invalid.reason}"
    return None if trial.error is None else first_line(trial.error)


def _has_metrics(record: StudyRecord) -> bool:
    return not record.goals.is_single_unconstrained
