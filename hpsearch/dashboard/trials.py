"""The trials of one Optuna study, read in bulk and cached between requests.

Optuna's own storage builds each trial through an ORM, and its dashboard requests all of them every
ten seconds. Here one statement reads a table for 500 trials, and an ended trial is read again only
if its state has changed: Optuna refuses every later change of it, and hpsearch changes it only to
declare it invalid, or valid again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from threading import Lock
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpsearch.dashboard.gc_pause import gc_paused
from hpsearch.foreign_text import clean, clean_value, escape_json
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database, chunks
from hpsearch.search.database.stored_json import Damaged, decode
from hpsearch.search.history_rows import new_trial, read_params

#: Attributes for pictures. As they are large and no table can show them, only their names are read.
LARGE = ("val_confusion", "val_predictions", "over_groups", "class_names")

#: How Optuna stores numbers that aren't finite.
_NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


@dataclass(frozen=True)
class Snapshot:
    """All trials at one moment. Don't modify them: the next snapshot contains the same objects."""

    #: By number.
    trials: Sequence[FrozenTrial]
    #: Trial id -> names of its attributes that are in ``LARGE``.
    large: Mapping[int, frozenset[str]]
    #: Changes if a trial changes.
    version: int


class StudyTrials:
    """Caches one study's trials. It is thread-safe."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        self._lock = Lock()
        self._first_start: Any = None
        self._trials: dict[int, FrozenTrial] = {}
        self._large: dict[int, frozenset[str]] = {}
        self._snapshot = Snapshot((), {}, 0)

    def refresh(self) -> Snapshot:
        """Read the trials that may have changed.

        Raises:
            StorageError: The database can't be reached.
        """
        with self._lock, gc_paused():
            self._database.read(self._read)
            return self._snapshot

    def _read(self, connection: Connection) -> None:
        # The states first: trials that have ended by then are complete, even if the transaction
        # isn't a snapshot, and those that end later are read again next time.
        state_rows = _list(connection, self._study_id)
        first_start = state_rows[0].datetime_start if state_rows else None
        # Another study may have the id of a deleted one, and its trials the same ids, too.
        same = first_start == self._first_start
        previous = self._trials if same else {}
        ended_ids = {
            row.trial_id
            for row in state_rows
            if row.trial_id in previous
            and previous[row.trial_id].state.is_finished()
            and previous[row.trial_id].state.name == row.state
        }
        fresh = [row for row in state_rows if row.trial_id not in ended_ids]
        read, large = _read_trials(connection, fresh)
        trials = {
            row.trial_id: read.get(row.trial_id) or previous[row.trial_id] for row in state_rows
        }
        if (
            self._snapshot.version
            and same
            and trials.keys() == previous.keys()
            and all(trial == previous[trial_id] for trial_id, trial in read.items())
            and all(large.get(trial_id) == self._large.get(trial_id) for trial_id in read)
        ):
            return
        previous_large = {
            trial_id: names for trial_id, names in self._large.items() if trial_id in ended_ids
        }
        self._first_start, self._trials = first_start, trials
        self._large = {**previous_large, **large}
        self._snapshot = Snapshot(tuple(trials.values()), self._large, self._snapshot.version + 1)


def _list(connection: Connection, study_id: int) -> Sequence[sa.Row[Any]]:
    """Return trial_id, number, state (a name) and datetime_start of each trial, by number."""
    table = rows.TRIALS
    query = (
        sa.select(
            table.c.trial_id,
            table.c.number,
            # As text, since a conversion of 10,000 of them to an enumeration is slower
            sa.type_coerce(table.c.state, sa.String).label("state"),
            table.c.datetime_start,
        )
        .where(table.c.study_id == study_id)
        .order_by(table.c.number)
    )
    return connection.execute(query).all()


def _read_trials(
    connection: Connection, state_rows: Iterable[sa.Row[Any]]
) -> tuple[dict[int, FrozenTrial], dict[int, frozenset[str]]]:
    """Return trial id -> trial, and trial id -> names of its attributes that are in ``LARGE``."""
    trials = {row.trial_id: _new_trial(row) for row in state_rows}
    large: dict[int, set[str]] = {}
    read_params(connection, trials)
    replacements: dict[int, BaseDistribution | None] = {}
    for trial in trials.values():
        _clean_params(trial, replacements)
    for ids in chunks(trials):
        _read_ends(connection, trials, ids)
        _read_curves(connection, trials, ids)
        _read_user_attrs(connection, trials, ids, large)
        _read_system_attrs(connection, trials, ids)
    return trials, {trial_id: frozenset(names) for trial_id, names in large.items()}


def _clean_params(trial: FrozenTrial, replacements: dict[int, BaseDistribution | None]) -> None:
    """Escape control characters in the names and choices of a trial's parameters.

    ``replacements`` caches id of a distribution -> its replacement, ``None`` if it is clean.
    """
    for name, distribution in list(trial.distributions.items()):
        place = id(distribution)
        if place not in replacements:
            replacements[place] = _clean_choices(distribution)
        clean_name, instead = _name(name), replacements[place]
        if instead is None and clean_name == name:
            continue
        value = _choice(trial.params.pop(name))
        del trial.distributions[name]
        trial.params[clean_name], trial.distributions[clean_name] = value, instead or distribution


def _clean_choices(distribution: BaseDistribution) -> CategoricalDistribution | None:
    if not isinstance(distribution, CategoricalDistribution):
        return None
    choices = tuple(map(_choice, distribution.choices))
    return CategoricalDistribution(choices) if choices != distribution.choices else None


def _choice(value: Any) -> Any:
    # Escapes rather than one placeholder, so that two choices stay different
    return escape_json(value) if isinstance(value, str) else value


@lru_cache(maxsize=4096)
def _name(name: str) -> str:
    return escape_json(name)


def _new_trial(row: sa.Row[Any]) -> FrozenTrial:
    trial = new_trial(row.trial_id, row.number)
    trial.state, trial.datetime_start = TrialState[row.state], row.datetime_start
    return trial


def _read_ends(
    connection: Connection, trials: Mapping[int, FrozenTrial], ids: Sequence[int]
) -> None:
    table, values = rows.TRIALS, rows.VALUES
    query = sa.select(table.c.trial_id, table.c.datetime_complete).where(table.c.trial_id.in_(ids))
    for trial_id, end in connection.execute(query).all():
        trials[trial_id].datetime_complete = end
    query_values = (
        sa.select(values.c.trial_id, values.c.value, sa.type_coerce(values.c.value_type, sa.String))
        .where(values.c.trial_id.in_(ids))
        .order_by(values.c.trial_id, values.c.objective)
    )
    values_by_trial: dict[int, list[float]] = {}
    for trial_id, value, kind in connection.execute(query_values).all():
        values_by_trial.setdefault(trial_id, []).append(_NOT_FINITE.get(kind, value))
    for trial_id, trial_values in values_by_trial.items():
        trials[trial_id].values = trial_values


def _read_curves(
    connection: Connection, trials: Mapping[int, FrozenTrial], ids: Sequence[int]
) -> None:
    table = rows.INTERMEDIATE_VALUES
    query = (
        sa.select(
            table.c.trial_id,
            table.c.step,
            table.c.intermediate_value,
            sa.type_coerce(table.c.intermediate_value_type, sa.String),
        )
        .where(table.c.trial_id.in_(ids))
        .order_by(table.c.trial_id, table.c.step)
    )
    last, curve = None, {}
    for trial_id, step, value, kind in connection.execute(query).all():
        if trial_id != last:
            last, curve = trial_id, trials[trial_id].intermediate_values
        curve[step] = value if kind == "FINITE" else _NOT_FINITE[kind]


def _read_user_attrs(
    connection: Connection,
    trials: Mapping[int, FrozenTrial],
    ids: Sequence[int],
    large: dict[int, set[str]],
) -> None:
    table = rows.TRIAL_USER_ATTRS
    text = sa.case((table.c.key.in_(LARGE), sa.null()), else_=table.c.value_json)
    query = (
        sa.select(table.c.trial_id, table.c.key, text)
        .where(table.c.trial_id.in_(ids))
        .order_by(table.c.trial_user_attribute_id)
    )
    for trial_id, key, value in connection.execute(query).all():
        if value is None:
            large.setdefault(trial_id, set()).add(key)
        else:
            trials[trial_id].user_attrs[intern(key)] = _from_json(value)


def _read_system_attrs(
    connection: Connection, trials: Mapping[int, FrozenTrial], ids: Sequence[int]
) -> None:
    table = rows.TRIAL_SYSTEM_ATTRS
    query = (
        sa.select(table.c.trial_id, table.c.key, table.c.value_json)
        .where(table.c.trial_id.in_(ids))
        .order_by(table.c.trial_system_attribute_id)
    )
    for trial_id, key, value in connection.execute(query).all():
        trials[trial_id].system_attrs[key] = _from_json(value)


@lru_cache(maxsize=65_536)
def _scalar(text: str) -> Any:
    return _value(text)


def _value(text: str) -> Any:
    """Return a JSON value; if it is damaged, a text that says so and contains its beginning."""
    try:
        return clean_value(decode(text, object))
    except Damaged:
        return clean(f"damaged in the database: {text[:80]}")


def _from_json(text: str) -> Any:
    # Cached, since most attributes of a study's trials are equal: device, hashes, numbers of
    # images. Only immutable values may be shared.
    return _value(text) if text[:1] in "[{" else _scalar(text)
