"""The few statements that write Optuna's own tables, inside the ledger's transactions.

Optuna's writes know nothing of leases, and each opens a transaction of its own; these run on the
connection that has just checked the attempt. ``optuna>=5.0,<5.1`` fixes the tables' shape, and a
test reads every row back through Optuna's own storage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

STUDIES = models.StudyModel.__table__
DIRECTIONS = models.StudyDirectionModel.__table__
STUDY_SYSTEM_ATTRS = models.StudySystemAttributeModel.__table__
STUDY_USER_ATTRS = models.StudyUserAttributeModel.__table__
TRIALS = models.TrialModel.__table__
PARAMS = models.TrialParamModel.__table__
VALUES = models.TrialValueModel.__table__
INTERMEDIATE_VALUES = models.TrialIntermediateValueModel.__table__
TRIAL_USER_ATTRS = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM_ATTRS = models.TrialSystemAttributeModel.__table__

#: Of a PRUNED row: the only form in which samplers learn from a configuration that gave no value.
#: Both keys: Optuna 5's own, and the older list, all that optuna-dashboard reads.
INFEASIBLE_MARKS: Mapping[str, Any] = {"constraints": [1.0], "constraints:infeasible": 1.0}

_Finite = models.TrialValueModel.TrialValueType.FINITE


def insert_study(
    connection: Connection,
    name: str,
    direction: Literal["maximize", "minimize"],
    metric: str,
) -> int:
    """Create a study with one named objective; returns its study_id."""
    result = connection.execute(sa.insert(STUDIES).values(study_name=name))
    study_id = _new_id(result)
    connection.execute(
        sa.insert(DIRECTIONS).values(
            study_id=study_id, objective=0, direction=StudyDirection[direction.upper()]
        )
    )
    # What Study.set_metric_names writes: the dashboard then says val_accuracy, not Objective 0.
    connection.execute(
        sa.insert(STUDY_SYSTEM_ATTRS).values(
            study_id=study_id, key="study:metric_names", value_json=json.dumps([metric])
        )
    )
    return study_id


def insert_trial(
    connection: Connection,
    study_id: int,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    user_attrs: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
) -> tuple[int, int]:
    """Create a RUNNING trial with its whole configuration; returns (trial_id, number).

    The caller holds the study's lock: the number is the count of earlier trials.
    """
    number = connection.execute(
        sa.select(sa.func.count()).select_from(TRIALS).where(TRIALS.c.study_id == study_id)
    ).scalar_one()
    result = connection.execute(
        sa.insert(TRIALS).values(
            study_id=study_id, number=number, state=TrialState.RUNNING, datetime_start=_utc_now()
        )
    )
    trial_id = _new_id(result)
    _insert_many(
        connection,
        PARAMS,
        [
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": distributions[name].to_internal_repr(value),
                "distribution_json": distribution_to_json(distributions[name]),
            }
            for name, value in params.items()
        ],
    )
    for table, attributes in ((TRIAL_USER_ATTRS, user_attrs), (TRIAL_SYSTEM_ATTRS, system_attrs)):
        rows = [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in attributes.items()
        ]
        _insert_many(connection, table, rows)
    return trial_id, number


def insert_intermediate_value(
    connection: Connection, trial_id: int, step: int, value: float
) -> None:
    """Report ``value`` (finite) at ``step``."""
    connection.execute(
        sa.insert(INTERMEDIATE_VALUES).values(
            trial_id=trial_id,
            step=step,
            intermediate_value=value,
            intermediate_value_type=models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE,
        )
    )


def insert_user_attr(connection: Connection, trial_id: int, key: str, value: Any) -> None:
    """Give a trial one more user attribute; the key must be new to it."""
    connection.execute(
        sa.insert(TRIAL_USER_ATTRS).values(trial_id=trial_id, key=key, value_json=json.dumps(value))
    )


def mark_infeasible(connection: Connection, trial_id: int) -> None:
    """Tell samplers and dashboard that a trial's configuration violates a constraint."""
    _insert_many(
        connection,
        TRIAL_SYSTEM_ATTRS,
        [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in INFEASIBLE_MARKS.items()
        ],
    )


def finish_trial(
    connection: Connection, trial_id: int, state: TrialState, value: float | None
) -> None:
    """End a RUNNING trial; ``value`` is the (finite) objective, ``None`` for a failed one."""
    connection.execute(
        sa.update(TRIALS)
        .where(TRIALS.c.trial_id == trial_id)
        .values(state=state, datetime_complete=_utc_now())
    )
    if value is not None:
        connection.execute(
            sa.insert(VALUES).values(
                trial_id=trial_id, objective=0, value=value, value_type=_Finite
            )
        )


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    if key is None:
        raise RuntimeError("the database returned no key for a new row")
    return int(key[0])


def _insert_many(
    connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        connection.execute(sa.insert(table), list(rows))


def _utc_now() -> datetime:
    # Optuna 5 stores naive UTC.
    return datetime.now(UTC).replace(tzinfo=None)
