"""Reads Optuna's rows of many trials in few statements into Optuna's objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import TypeAlias

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import chunks
from hpsearch.search.database.stored_json import Damaged, decode, drawn_value, warn
from hpsearch.search.database.tables import TicketState, epochs, tickets

#: Epoch -> the trials with a value there: their numbers (trials,), and the values (trials,).
EpochValues: TypeAlias = Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]


def epoch_values(measured: Iterable[tuple[int, int, float]]) -> EpochValues:
    """Return number, epoch and value of each as arrays per epoch: objects need too much memory."""
    packed: dict[int, tuple[array[int], array[float]]] = {}
    for number, epoch, value in measured:
        numbers, values = packed.get(epoch) or packed.setdefault(epoch, (array("q"), array("d")))
        numbers.append(number)
        values.append(value)
    return {
        epoch: (np.frombuffer(numbers, np.int64), np.frombuffer(values))
        for epoch, (numbers, values) in packed.items()
    }


def read_curves(connection: Connection, study_id: int) -> EpochValues:
    """Read the values of valid trials, at every epoch that is the newest one of some trial."""
    of_study = tickets.c.study_id == study_id
    last = sa.select(tickets.c.epochs_done).where(of_study).distinct()
    query = (
        sa.select(tickets.c.number, epochs.c.epoch, epochs.c.value)
        .join(
            epochs,
            sa.and_(
                epochs.c.study_id == tickets.c.study_id, epochs.c.ticket == tickets.c.ticket
            ),
        )
        .where(
            of_study,
            tickets.c.number.is_not(None),
            tickets.c.state != TicketState.INVALID,
            epochs.c.epoch.in_(last),
        )
    )  # fmt: skip
    return epoch_values(tuple(row) for row in connection.execute(query))


def read_states(connection: Connection, trial_ids: Iterable[int]) -> dict[int, TrialState]:
    """Return trial id -> its state."""
    states: dict[int, TrialState] = {}
    for chunk in chunks(trial_ids):
        query = sa.select(rows.TRIALS.c.trial_id, rows.TRIALS.c.state).where(
            rows.TRIALS.c.trial_id.in_(chunk)
        )
        states.update({row.trial_id: row.state for row in connection.execute(query)})
    return states


def read_params(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    """Read the drawn parameters of each trial into ``trials`` (by id)."""
    table = rows.PARAMS
    for chunk in chunks(trials):
        query = (
            sa.select(
                table.c.trial_id, table.c.param_name, table.c.param_value, table.c.distribution_json
            )
            .where(table.c.trial_id.in_(chunk))
            .order_by(table.c.param_id)
        )
        # A worker may read 80,000 rows at its start: tuples, fetched at once, and one string per
        # name keep that fast.
        for trial_id, name, value, text in connection.execute(query).all():
            name, trial = intern(name), trials[trial_id]
            pair = drawn_value(text, value)
            if pair is not None:
                trial.distributions[name], trial.params[name] = pair


def read_values(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    """Read the only objective, the last intermediate value and the constraints."""
    values, steps = rows.VALUES, rows.INTERMEDIATE_VALUES
    for chunk in chunks(trials):
        for row in connection.execute(
            sa.select(values.c.trial_id, values.c.value).where(values.c.trial_id.in_(chunk))
        ):
            trials[row.trial_id].value = row.value
        last = (
            sa.select(steps.c.trial_id, sa.func.max(steps.c.step).label("step"))
            .where(steps.c.trial_id.in_(chunk))
            .group_by(steps.c.trial_id)
            .subquery()
        )
        for row in connection.execute(
            sa.select(steps.c.trial_id, steps.c.step, steps.c.intermediate_value).join(
                last,
                sa.and_(steps.c.trial_id == last.c.trial_id, steps.c.step == last.c.step),
            )
        ):
            trials[row.trial_id].intermediate_values = {row.step: row.intermediate_value}
        _read_constraints(connection, trials, chunk)


def read_several_values(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    """Read the objectives, but no curve: Optuna's TPE fails on one in such a study."""
    table = rows.VALUES
    for chunk in chunks(trials):
        objectives: dict[int, list[float]] = {}
        for trial_id, value in connection.execute(
            sa.select(table.c.trial_id, table.c.value)
            .where(table.c.trial_id.in_(chunk))
            .order_by(table.c.trial_id, table.c.objective)
        ):
            objectives.setdefault(trial_id, []).append(value)
        for trial_id, values in objectives.items():
            trials[trial_id].values = values
        _read_constraints(connection, trials, chunk)


def _read_constraints(
    connection: Connection, trials: Mapping[int, FrozenTrial], chunk: Sequence[int]
) -> None:
    attrs = rows.TRIAL_SYSTEM_ATTRS
    for row in connection.execute(
        sa.select(attrs.c.trial_id, attrs.c.key, attrs.c.value_json).where(
            attrs.c.trial_id.in_(chunk), attrs.c.key.startswith("constraints")
        )
    ):
        try:
            trials[row.trial_id].system_attrs[row.key] = decode(row.value_json, object)
        except Damaged as damage:
            warn(f"trial_system_attributes {row.key!r} of trial id {row.trial_id} {damage}")


def new_trial(trial_id: int, number: int) -> FrozenTrial:
    """Return a running trial without parameters or values."""
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )
