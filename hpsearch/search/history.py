"""Optuna's view of a study: the trials so far, and the one that is being drawn.

Re-attaching to a half-suggested row re-samples it and gives torn configurations. So samplers draw
against a *draft*, a trial that exists only here; the row is created afterwards, whole. The view
reads what samplers use and no more: parameters, states, values, the last intermediate value and
constraints (Optuna's own reader also loads every curve: 8.8 s and 503 MB at 10,000 trials).
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Any, NoReturn

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpsearch.search import optuna_rows as rows
from hpsearch.search.storage import Database
from hpsearch.study_file.goals import Goals

#: The draft's trial_id; rows in the database are numbered from 1.
DRAFT_ID = -1

# SQLite takes at most 999 variables in a statement on old builds.
_CHUNK = 500

_json_to_distribution = lru_cache(maxsize=4096)(json_to_distribution)


def optuna_directions(goals: Goals) -> list[StudyDirection]:
    """Return which way each objective is better, in Optuna's terms."""
    return [StudyDirection[way.upper()] for way in goals.directions.values()]


class TrialHistory:
    """The trials of one study, kept up to date by reading only what is new."""

    def __init__(self, database: Database, study_id: int, *directions: StudyDirection) -> None:
        self.database = database
        self.study_id = study_id
        #: One per objective.
        self.directions = directions
        self._trials: dict[int, FrozenTrial] = {}
        self._unfinished: set[int] = set()

    def refresh(self) -> list[FrozenTrial]:
        """Read what changed; returns every trial by number. Don't modify them."""
        self.database.read(self._read)
        return sorted(self._trials.values(), key=lambda trial: trial.number)

    def draft(
        self,
        fixed_params: Mapping[str, Any] | None = None,
        trials: list[FrozenTrial] | None = None,
    ) -> DraftView:
        """Return the view (of ``trials``, what ``refresh`` gave) with a new draft trial in it."""
        trials = self.refresh() if trials is None else trials
        return DraftView(self.study_id, self.directions, trials, fixed_params or {})

    def _read(self, connection: Connection) -> None:
        # Nothing is kept before the end: a read that breaks off is made again from the start.
        newest = max(self._trials, default=0)
        new = connection.execute(
            sa.select(rows.TRIALS.c.trial_id, rows.TRIALS.c.number, rows.TRIALS.c.state).where(
                rows.TRIALS.c.study_id == self.study_id, rows.TRIALS.c.trial_id > newest
            )
        ).all()
        fresh = {trial_id: _frozen(trial_id, number) for trial_id, number, _ in new}
        _read_params(connection, fresh)
        states = {row.trial_id: row.state for row in new}
        for chunk in _chunks(self._unfinished):
            query = sa.select(rows.TRIALS.c.trial_id, rows.TRIALS.c.state).where(
                rows.TRIALS.c.trial_id.in_(chunk)
            )
            states.update({row.trial_id: row.state for row in connection.execute(query)})
        changing = {trial_id: self._trials[trial_id] for trial_id in self._unfinished} | fresh
        finished = {trial_id for trial_id, state in states.items() if state.is_finished()}
        read_values = _read_values if len(self.directions) == 1 else _read_several_values
        read_values(connection, {trial_id: changing[trial_id] for trial_id in finished})
        for trial_id, state in states.items():
            changing[trial_id].state = state
        self._trials.update(fresh)
        self._unfinished = changing.keys() - finished


def _read_params(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    table = rows.PARAMS
    for chunk in _chunks(trials):
        query = (
            sa.select(
                table.c.trial_id, table.c.param_name, table.c.param_value, table.c.distribution_json
            )
            .where(table.c.trial_id.in_(chunk))
            .order_by(table.c.param_id)
        )
        # Eighty thousand rows at the start of a worker: fetched whole, taken apart as tuples, and
        # each name kept once.
        for trial_id, name, value, text in connection.execute(query).all():
            name, trial = intern(name), trials[trial_id]
            distribution = _json_to_distribution(text)
            trial.distributions[name] = distribution
            trial.params[name] = distribution.to_external_repr(value)


def _read_values(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    values, steps = rows.VALUES, rows.INTERMEDIATE_VALUES
    for chunk in _chunks(trials):
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


def _read_several_values(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    """Read the objectives, and no curve: Optuna's TPE stumbles over one in such a study."""
    table = rows.VALUES
    for chunk in _chunks(trials):
        found: dict[int, list[float]] = {}
        for trial_id, value in connection.execute(
            sa.select(table.c.trial_id, table.c.value)
            .where(table.c.trial_id.in_(chunk))
            .order_by(table.c.trial_id, table.c.objective)
        ):
            found.setdefault(trial_id, []).append(value)
        for trial_id, values in found.items():
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
        trials[row.trial_id].system_attrs[row.key] = json.loads(row.value_json)


class DraftView(BaseStorage):
    """What a sampler sees: finished and running trials, and a draft that it fills in.

    Everything that would change the database raises: the ledger is the only writer.
    """

    def __init__(
        self,
        study_id: int,
        directions: Sequence[StudyDirection],
        trials: list[FrozenTrial],
        fixed_params: Mapping[str, Any],
    ) -> None:
        self._study_id = study_id
        self._directions = list(directions)
        self.trials = trials
        self.draft = _frozen(DRAFT_ID, len(trials))
        if fixed_params:
            self.draft.system_attrs["fixed_params"] = dict(fixed_params)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in ``states``; never copies (nobody here modifies them)."""
        everything = [*self.trials, self.draft]
        return [trial for trial in everything if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return the draft (samplers ask for no other by id)."""
        if trial_id != DRAFT_ID:
            raise KeyError(trial_id)
        return self.draft

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Note a suggested value in the draft."""
        self.draft.distributions[param_name] = distribution
        self.draft.params[param_name] = distribution.to_external_repr(param_value_internal)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note a sampler's remark in the draft."""
        self.draft.system_attrs[key] = value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note an attribute in the draft."""
        self.draft.set_user_attr(key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the one study's id, whatever it is called."""
        return self._study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return a name for log lines."""
        return f"study {study_id}"

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return each objective's direction."""
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return nothing: samplers keep no state between tickets."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return nothing: samplers keep no state between tickets."""
        return {}

    def get_all_studies(self) -> NoReturn:
        """Refuse: a draft knows one study."""
        raise NotImplementedError("a draft knows one study")

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")

    def delete_study(self, study_id: int) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")

    def create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> NoReturn:
        """Refuse: the ledger writes."""
        raise NotImplementedError("the ledger is the only writer")


def _frozen(trial_id: int, number: int) -> FrozenTrial:
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


def _chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]
