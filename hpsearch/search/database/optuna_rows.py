"""The few statements that write Optuna's own tables, inside the ledger's transactions.

Optuna's own writes ignore leases, and each opens its own transaction; these run on the connection
that has just checked the attempt. ``optuna>=5.0,<5.1`` fixes the tables' shape, and a test reads
every row back through Optuna's own storage.
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

from hpsearch.metrics import MEASURED_COSTS
from hpsearch.search.database.prepared import Statement, execute, fetch, insertion

#: All of Optuna's tables.
METADATA = models.BaseModel.metadata
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

#: The tables whose rows belong to a trial, and to a study (but not the trials themselves).
OF_TRIALS = tuple(
    table
    for table in METADATA.sorted_tables
    if any(key.column.table is TRIALS for key in table.foreign_keys)
)
OF_STUDIES = tuple(
    table
    for table in METADATA.sorted_tables
    if any(key.column.table is STUDIES for key in table.foreign_keys) and table is not TRIALS
)

#: Of a PRUNED row: the only form in which samplers learn from a configuration without a value.
#: Both keys: Optuna 5's own, and the older list, the only one that optuna-dashboard reads.
INFEASIBLE_MARKS: Mapping[str, Any] = {"constraints": [1.0], "constraints:infeasible": 1.0}

#: The user attribute with the reason why a trial's value can't be trusted.
INVALID = "invalid"

_Finite = models.TrialValueModel.TrialValueType.FINITE

# Numbers count on without a gap, in the order of the ids.
_INSERT_TRIAL = Statement(
    sa.insert(TRIALS)
    .values(
        study_id=sa.bindparam("study_id"),
        number=sa.func.coalesce(
            sa.select(TRIALS.c.number)
            .where(TRIALS.c.study_id == sa.bindparam("of_study"))
            .order_by(TRIALS.c.trial_id.desc())
            .limit(1)
            .scalar_subquery(),
            -1,
        )
        + 1,
        state=sa.bindparam("state"),
        datetime_start=sa.bindparam("datetime_start"),
    )
    .returning(TRIALS.c.trial_id, TRIALS.c.number)
)
_INSERT_PARAM = insertion(PARAMS, "trial_id", "param_name", "param_value", "distribution_json")
_INSERT_USER_ATTR = insertion(TRIAL_USER_ATTRS, "trial_id", "key", "value_json")
_DELETE_USER_ATTR = Statement(
    sa.delete(TRIAL_USER_ATTRS).where(
        TRIAL_USER_ATTRS.c.trial_id == sa.bindparam("trial_id"),
        TRIAL_USER_ATTRS.c.key == sa.bindparam("key"),
    )
)
_INSERT_SYSTEM_ATTR = insertion(TRIAL_SYSTEM_ATTRS, "trial_id", "key", "value_json")
_INSERT_INTERMEDIATE_VALUE = insertion(
    INTERMEDIATE_VALUES, "trial_id", "step", "intermediate_value", "intermediate_value_type"
)
_INSERT_VALUE = insertion(VALUES, "trial_id", "objective", "value", "value_type")
_FINISH_TRIAL = Statement(
    sa.update(TRIALS)
    .where(TRIALS.c.trial_id == sa.bindparam("of_trial"))
    .values(state=sa.bindparam("state"), datetime_complete=sa.bindparam("datetime_complete"))
)


def is_newer(study_id: int, than: int) -> sa.ColumnElement[bool]:
    """Return the condition for the trials of a study with larger ids than ``than``, 0 for all."""
    if not than:
        every: sa.ColumnElement[bool] = TRIALS.c.study_id == study_id
        return every
    # Not the column itself: Postgres would also look up all trials of the study in its index
    of_study: sa.ColumnElement[bool] = TRIALS.c.study_id + 0 == study_id
    return sa.and_(TRIALS.c.trial_id > than, of_study)


def insert_study(connection: Connection, name: str) -> int:
    """Create a study without objectives; returns its study_id."""
    return _new_id(connection.execute(sa.insert(STUDIES).values(study_name=name)))


def move_study(connection: Connection, study_id: int, to: int) -> None:
    """Change the id of a study that has only a name yet.

    Args:
        connection: The transaction that creates the study.
        study_id: Its present id.
        to: Its new id, which must be free.
    """
    connection.execute(sa.update(STUDIES).where(STUDIES.c.study_id == study_id).values(study_id=to))
    if connection.dialect.name != "sqlite":
        # The server's own counter would give the same id to a later study.
        sequence = sa.func.pg_get_serial_sequence(STUDIES.name, STUDIES.c.study_id.name)
        connection.execute(sa.select(sa.func.setval(sequence, to)))


def insert_objectives(
    connection: Connection,
    study_id: int,
    directions: Mapping[str, Literal["maximize", "minimize"]],
) -> None:
    """Insert the named objectives of a new study.

    Args:
        connection: The transaction that creates the study.
        study_id: Optuna's id of the study.
        directions: Metric -> direction, of each objective in order.
    """
    for objective, direction in enumerate(directions.values()):
        connection.execute(
            sa.insert(DIRECTIONS).values(
                study_id=study_id,
                objective=objective,
                direction=StudyDirection[direction.upper()],
            )
        )
    # As Study.set_metric_names: the dashboard then shows val_accuracy, not Objective 0.
    connection.execute(
        sa.insert(STUDY_SYSTEM_ATTRS).values(
            study_id=study_id, key="study:metric_names", value_json=json.dumps(list(directions))
        )
    )


def insert_trial(
    connection: Connection,
    study_id: int,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    user_attrs: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
) -> tuple[int, int]:
    """Create a RUNNING trial with its whole configuration.

    Args:
        connection: A transaction that holds the study's lock, so that no number is given twice.
        study_id: Optuna's id of the study.
        params: Path -> stored value.
        distributions: Path -> distribution, of at least each parameter in ``params``.
        user_attrs: JSON values by name.
        system_attrs: JSON values by name.

    Returns:
        The trial's id and number.
    """
    ((trial_id, number),) = fetch(
        connection,
        _INSERT_TRIAL,
        study_id=study_id,
        of_study=study_id,
        state=TrialState.RUNNING,
        datetime_start=_utc_now(),
    )
    for name, value in params.items():
        execute(
            connection,
            _INSERT_PARAM,
            trial_id=trial_id,
            param_name=name,
            param_value=distributions[name].to_internal_repr(value),
            distribution_json=distribution_to_json(distributions[name]),
        )
    for key, value in user_attrs.items():
        insert_user_attr(connection, trial_id, key, value)
    for key, value in system_attrs.items():
        _insert_system_attr(connection, trial_id, key, value)
    return trial_id, number


def insert_intermediate_value(
    connection: Connection, trial_id: int, step: int, value: float
) -> None:
    """Insert a trial's value at an epoch.

    Args:
        connection: The transaction that reports the epoch.
        trial_id: Optuna's id of the trial.
        step: The epoch, from 1.
        value: The objective; finite.
    """
    execute(
        connection,
        _INSERT_INTERMEDIATE_VALUE,
        trial_id=trial_id,
        step=step,
        intermediate_value=value,
        intermediate_value_type=models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE,
    )


def insert_user_attr(connection: Connection, trial_id: int, key: str, value: Any) -> None:
    """Insert a user attribute of a trial.

    Args:
        connection: The transaction that writes the trial.
        trial_id: Optuna's id of the trial.
        key: The attribute's name, which the trial must not have yet.
        value: A JSON value.
    """
    execute(connection, _INSERT_USER_ATTR, trial_id=trial_id, key=key, value_json=json.dumps(value))


def delete_user_attr(connection: Connection, trial_id: int, key: str) -> None:
    """Remove a user attribute of a trial, if it exists.

    Args:
        connection: The transaction that writes the trial.
        trial_id: Optuna's id of the trial.
        key: The attribute's name.
    """
    execute(connection, _DELETE_USER_ATTR, trial_id=trial_id, key=key)


def constraint_attrs(violations: Mapping[str, float]) -> dict[str, Any]:
    """Return the system attributes for constraint -> violation (above 0: violated).

    In both forms, as ``INFEASIBLE_MARKS``; none if there are no violations.
    """
    if not violations:
        return {}
    attrs = {f"constraints:{name}": value for name, value in violations.items()}
    return {"constraints": list(violations.values()), **attrs}


def insert_constraints(
    connection: Connection, trial_id: int, violations: Mapping[str, float]
) -> None:
    """Insert an ended trial's violations, for samplers and dashboard.

    Args:
        connection: The transaction that ends the trial.
        trial_id: Optuna's id of the trial.
        violations: Constraint -> violation (above 0: violated).
    """
    for key, value in constraint_attrs(violations).items():
        _insert_system_attr(connection, trial_id, key, value)


def mark_infeasible(connection: Connection, trial_id: int) -> None:
    """Mark a trial's configuration as infeasible, for samplers and dashboard."""
    for key, value in INFEASIBLE_MARKS.items():
        _insert_system_attr(connection, trial_id, key, value)


def finish_trial(
    connection: Connection, trial_id: int, state: TrialState, values: Sequence[float] = ()
) -> None:
    """End a RUNNING trial.

    Args:
        connection: The transaction that ends the trial.
        trial_id: Optuna's id of the trial.
        state: The state in which it ends.
        values: One per objective, finite; empty for a failed trial.
    """
    execute(connection, _FINISH_TRIAL, of_trial=trial_id, state=state, datetime_complete=_utc_now())
    _insert_values(connection, trial_id, values)


def reopen_trial(connection: Connection, trial_id: int) -> None:
    """Set an ended trial to RUNNING again, and delete what its end wrote; its curve stays."""
    connection.execute(sa.delete(VALUES).where(VALUES.c.trial_id == trial_id))
    attrs = TRIAL_SYSTEM_ATTRS
    connection.execute(
        sa.delete(attrs).where(attrs.c.trial_id == trial_id, attrs.c.key.startswith("constraints"))
    )
    attrs = TRIAL_USER_ATTRS
    connection.execute(
        sa.delete(attrs).where(attrs.c.trial_id == trial_id, attrs.c.key.in_(MEASURED_COSTS))
    )
    connection.execute(
        sa.update(TRIALS)
        .where(TRIALS.c.trial_id == trial_id)
        .values(state=TrialState.RUNNING, datetime_complete=None)
    )


def set_aside(connection: Connection, trial_id: int, reason: str) -> None:
    """Set an ended trial to FAILED, which samplers ignore; ``restore`` reverses it.

    Its values are deleted, as a failed trial has none; its curve stays.

    Args:
        connection: The transaction that declares the trial invalid.
        trial_id: Optuna's id of the trial.
        reason: Stored as the user attribute ``INVALID``.
    """
    connection.execute(sa.delete(VALUES).where(VALUES.c.trial_id == trial_id))
    connection.execute(
        sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(state=TrialState.FAIL)
    )
    insert_user_attr(connection, trial_id, INVALID, reason)


def restore(
    connection: Connection, trial_id: int, state: TrialState, values: Sequence[float]
) -> None:
    """Reverse ``set_aside``.

    Args:
        connection: The transaction that declares the trial valid.
        trial_id: Optuna's id of the trial.
        state: Its state before.
        values: Its values before: one per objective, or none.
    """
    delete_user_attr(connection, trial_id, INVALID)
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(state=state))
    _insert_values(connection, trial_id, values)


def _insert_values(connection: Connection, trial_id: int, values: Sequence[float]) -> None:
    for objective, value in enumerate(values):
        execute(
            connection,
            _INSERT_VALUE,
            trial_id=trial_id,
            objective=objective,
            value=value,
            value_type=_Finite,
        )


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    if key is None:
        raise RuntimeError("the database returned no key for a new row")
    return int(key[0])


def _insert_system_attr(connection: Connection, trial_id: int, key: str, value: Any) -> None:
    execute(
        connection, _INSERT_SYSTEM_ATTR, trial_id=trial_id, key=key, value_json=json.dumps(value)
    )


def _utc_now() -> datetime:
    # Optuna 5 stores naive UTC.
    return datetime.now(UTC).replace(tzinfo=None)
