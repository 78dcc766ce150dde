"""Inserts thousands of finished trials, as a long search leaves them.

The ledger itself would take minutes. The rows are those that the ledger writes: tickets, epochs and
events of hpsearch, and trials, parameters and values of Optuna. ``doctor``'s rules accept them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpsearch.metrics import METRIC_COLUMNS
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, epochs, events, tickets
from hpsearch.search.history import distribution_of
from hpsearch.study_file.space import Choice, Range, Scalar, Space

#: Trials per INSERT.
_CHUNK = 500

_FINITE = models.TrialValueModel.TrialValueType.FINITE
_FINITE_STEP = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE


def insert_finished(
    database: Database,
    study_id: int,
    space: Space,
    count: int,
    *,
    epochs_each: int,
    rungs: Sequence[int] = (),
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Give an empty study ``count`` finished trials.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        space: The study's space.
        count: The number of trials.
        epochs_each: Epochs of a complete trial.
        rungs: The rungs at which trials ended, ascending: of those that reach one, a third goes on.
            Without rungs all trials are complete.
        attributes: User attributes of each trial's row.
    """
    rng = random.Random(0)
    for first in range(0, count, _CHUNK):
        numbers = range(first, min(first + _CHUNK, count))
        content = [
            _trial(rng, space, number, study_id, _end(number, rungs, epochs_each), attributes or {})
            for number in numbers
        ]

        def work(
            connection: sa.Connection, content: list[dict[str, list[dict[str, Any]]]] = content
        ) -> None:
            # The tables are empty, so the database numbers these rows from 1.
            for table in _TABLES:
                values = [row for trial in content for row in trial[table.name]]
                connection.execute(sa.insert(table), values)

        database.write(work)
    if not database.is_sqlite:
        _count_on(database, count)


_TABLES: Sequence[sa.Table] = (
    rows.TRIALS,
    rows.PARAMS,
    rows.VALUES,
    rows.INTERMEDIATE_VALUES,
    rows.TRIAL_USER_ATTRS,
    tickets,
    epochs,
    events,
)


def _end(number: int, rungs: Sequence[int], epochs_each: int) -> tuple[int, int | None]:
    """Return the last epoch of a trial, and the rung at which it ended."""
    for rung in rungs:
        if number % 3:
            return rung, rung
        number //= 3
    return epochs_each, None


def _trial(
    rng: random.Random,
    space: Space,
    number: int,
    study_id: int,
    end: tuple[int, int | None],
    attributes: Mapping[str, Any],
) -> dict[str, list[dict[str, Any]]]:
    epochs_each, rung = end
    state = TicketState.COMPLETE if rung is None else TicketState.PRUNED
    params = space.draw(lambda _, parameter: _value(rng, parameter)).params
    trial_id, ticket, now = number + 1, number + 1, datetime.now(UTC).replace(tzinfo=None)
    curve = [rng.random() for _ in range(epochs_each)]
    of_ticket = {"study_id": study_id, "ticket": ticket, "attempt": 1}
    last = "complete" if rung is None else "paused"
    last_epoch = {"epoch": epochs_each, "value": curve[-1]}
    log: dict[str, Mapping[str, Any]] = {"claimed": {}, "started": {"trial": number}}
    log |= (
        {"complete": last_epoch}
        if rung is None
        else {"paused": last_epoch, "pruned": last_epoch | {"waited": True}}
    )
    return {
        "trials": [
            {
                "trial_id": trial_id,
                "study_id": study_id,
                "number": number,
                "state": TrialState[state.name],
                "datetime_start": now,
                "datetime_complete": now,
            }
        ],
        "trial_params": list(_param_rows(trial_id, params, space)),
        "trial_values": [
            {"trial_id": trial_id, "objective": 0, "value": curve[-1], "value_type": _FINITE}
        ],
        "trial_intermediate_values": [
            {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": _FINITE_STEP,
            }
            for step, value in enumerate(curve, start=1)
        ],
        "trial_user_attributes": [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in {"ticket": ticket, **attributes}.items()
        ],
        "hpsearch_tickets": [
            {
                **of_ticket,
                "state": state,
                "owner": None,
                "claim_key": f"{number:032d}",
                "renewals": epochs_each,
                "lease_seconds": 30.0,
                "trial_id": trial_id,
                "number": number,
                "params": json.dumps(dict(params)),
                "epochs_done": epochs_each,
                "rung": rung,
                "value": curve[-1],
                "best_value": max(curve),
                "best_epoch": curve.index(max(curve)) + 1,
                "compute_seconds": float(epochs_each),
            }
        ],
        "hpsearch_epochs": [
            {
                **of_ticket,
                **dict.fromkeys(METRIC_COLUMNS, value),
                "epoch": epoch,
                "value": value,
                "decision": last if epoch == epochs_each else "continue",
            }
            for epoch, value in enumerate(curve, start=1)
        ],
        "hpsearch_events": [
            {
                **of_ticket,
                "kind": kind,
                "owner": "past",
                "at": now.isoformat(timespec="milliseconds"),
                "detail": json.dumps(detail),
            }
            for kind, detail in log.items()
        ],
    }


def _param_rows(
    trial_id: int, params: Mapping[str, Scalar], space: Space
) -> Iterator[dict[str, Any]]:
    parameters = space.parameters()
    for name, value in params.items():
        distribution = distribution_of(parameters[name])
        yield {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(value),
            "distribution_json": distribution_to_json(distribution),
        }


def _value(rng: random.Random, parameter: Range | Choice) -> Scalar:
    if isinstance(parameter, Choice):
        return rng.choice(parameter.labels)
    if parameter.integer:
        step = 1 if parameter.step is None else int(parameter.step)
        return rng.randrange(int(parameter.low), int(parameter.high) + 1, step)
    if parameter.step is not None:
        steps = round((parameter.high - parameter.low) / parameter.step)
        return min(parameter.low + rng.randint(0, steps) * parameter.step, parameter.high)
    if parameter.log:
        return float(parameter.low * (parameter.high / parameter.low) ** rng.random())
    return rng.uniform(parameter.low, parameter.high)


def _count_on(database: Database, count: int) -> None:
    """Set Postgres's sequence of trial ids beyond the rows that were inserted with ids."""
    statement = sa.text("SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), :count)")
    database.write(lambda connection: connection.execute(statement, {"count": count}))
