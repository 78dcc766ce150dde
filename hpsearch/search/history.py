"""Optuna's view of a study: the trials so far, and the one that is being drawn.

Re-attaching to a half-suggested row re-samples it and gives mixed configurations. So samplers draw
against a *draft*, a trial that exists only here; the row is created afterwards, whole. The view
reads only what samplers use: parameters, states, values, the last intermediate value and
constraints (Optuna's own reader also loads every curve: 8.8 s and 503 MB at 10,000 trials).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpsearch.search.compact_trial import CompactTrial, Packer, thaw
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.read_only_storage import ReadOnlyStorage
from hpsearch.search.database.storage import Database, chunks
from hpsearch.search.history_rows import (
    EpochValues,
    new_trial,
    read_curves,
    read_params,
    read_several_values,
    read_states,
    read_values,
)
from hpsearch.search.ledger.rungs import unfinished_values
from hpsearch.search.ledger.validity import invalid_trials
from hpsearch.search.prior_results import PriorResults
from hpsearch.search.trust import GUESSED, Start, read_starts
from hpsearch.study_file.goals import Goals
from hpsearch.study_file.space import Choice, Parameter, Space

_ENCODED_AT_ONCE = 1000

#: The draft's trial_id; rows in the database are numbered from 1.
DRAFT_ID = -1


def optuna_directions(goals: Goals) -> list[StudyDirection]:
    """Return the direction of each objective, in Optuna's terms."""
    return [StudyDirection[way.upper()] for way in goals.directions.values()]


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Return Optuna's distribution of a parameter."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.labels)
    if parameter.integer:
        step = 1 if parameter.log or parameter.step is None else int(parameter.step)
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, step)
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)


class TrialHistory:
    """The trials of one study, kept up to date by reading only what is new."""

    #: The rows that ``encoded`` has returned.
    _encoded: NDArray[np.float64] | None = None

    def __init__(
        self,
        database: Database,
        study_id: int,
        *directions: StudyDirection,
        partial: bool = False,
    ) -> None:
        self.database = database
        self.study_id = study_id
        #: One per objective.
        self.directions = directions
        #: Whether unfinished trials are shown as pruned at their newest epoch. Samplers learn
        #: nothing from a running trial, and TPE counts it as bad.
        self._partial = partial and len(directions) == 1
        self._packer = Packer()
        self._trials: dict[int, CompactTrial] = {}
        self._unfinished: set[int] = set()
        self._invalid: set[int] = set()
        self._prior_results = PriorResults(study_id)

    def refresh(self) -> list[FrozenTrial]:
        """Read what changed; returns every trial by number. Don't modify them."""
        self.database.read(self._read)
        return sorted(self._trials.values(), key=lambda trial: trial.number)

    def prior_trials(self, space: Space) -> list[FrozenTrial]:
        """Return the prior results as trials, as the last ``refresh`` read them."""
        parameters = space.parameters()
        return self._prior_results.trials(
            {path: distribution_of(parameter) for path, parameter in parameters.items()}
        )

    @property
    def invalid(self) -> set[int]:
        """Optuna's ids of the trials that ``refresh`` found to be invalid."""
        return self._invalid

    def curves(self) -> EpochValues:
        """Return the values of all valid trials that have reported, by trial number.

        It contains only epochs that are the newest one of some trial.
        """
        return self.database.read(lambda connection: read_curves(connection, self.study_id))

    def encoded(
        self,
        trials: Sequence[FrozenTrial],
        encode: Callable[[Sequence[Mapping[str, Any]]], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """Return ``encode`` of the trials' parameters, which is called once for each trial.

        Args:
            trials: The result of ``refresh``. The next call's trials begin with these.
            encode: Returns a row for each of several points. It is the same in every call.

        Returns:
            The rows (trials, width).
        """
        parts = [encode([]) if self._encoded is None else self._encoded]
        # A part at a time: the dictionaries of all trials of a long study need much memory
        for first in range(len(parts[0]), len(trials), _ENCODED_AT_ONCE):
            some = trials[first : first + _ENCODED_AT_ONCE]
            parts.append(encode([trial.params for trial in some]))
        self._encoded = np.concatenate(parts)
        return self._encoded[: len(trials)]

    def starts(self, *, maximize: bool) -> list[Start]:
        """Return the trials that were drawn before the sampler had results, as they are now."""
        return self.database.read(
            lambda connection: read_starts(connection, self.study_id, maximize=maximize)
        )

    def guessed(self, *, maximize: bool) -> list[Start]:
        """Return the trials of a study whose parameters have priors; ``Start.by_prior`` if near."""
        return self.database.read(
            lambda connection: read_starts(
                connection, self.study_id, maximize=maximize, drawn_by=GUESSED
            )
        )

    def draft(
        self,
        fixed_params: Mapping[str, Any] | None = None,
        trials: list[FrozenTrial] | None = None,
    ) -> DraftView:
        """Return a view of the trials with a new draft trial.

        Args:
            fixed_params: Path -> stored value, of parameters that aren't drawn; ``None`` for none.
            trials: The result of ``refresh``; ``None`` to call it.
        """
        trials = self.refresh() if trials is None else trials
        return DraftView(self.study_id, self.directions, trials, fixed_params or {})

    def _read(self, connection: Connection) -> None:
        self._prior_results.read(connection)
        # State changes only at the end: a read that fails is repeated from the start.
        new = connection.execute(
            sa.select(rows.TRIALS.c.trial_id, rows.TRIALS.c.number, rows.TRIALS.c.state).where(
                rows.is_newer(self.study_id, max(self._trials, default=0))
            )
        ).all()
        numbers = {row.trial_id: row.number for row in new}
        states = {row.trial_id: row.state for row in new}
        invalid = invalid_trials(connection, self.study_id)
        # An ended trial changes only if it is declared invalid or valid again, or if the study's
        # budget grew and the trial waits again.
        newest = unfinished_values(connection, self.study_id) if self._partial else {}
        changed = (invalid ^ self._invalid) | newest.keys()
        changed &= self._trials.keys() - self._unfinished
        numbers |= {trial_id: self._trials[trial_id].number for trial_id in changed}
        states |= read_states(connection, self._unfinished | changed)
        finished = {trial_id for trial_id, state in states.items() if state.is_finished()}
        changing = [
            trial_id
            for trial_id, state in states.items()
            if trial_id in numbers
            or trial_id in finished
            or not _is_as_before(self._trials[trial_id], state, newest.get(trial_id))
        ]
        packed: dict[int, CompactTrial] = {}
        # A part at a time: unpacked, all trials of a long study need much memory
        for chunk in chunks(changing):
            trials = {
                trial_id: new_trial(trial_id, numbers[trial_id])
                if trial_id in numbers
                else thaw(self._trials[trial_id])
                for trial_id in chunk
            }
            read_params(
                connection,
                {trial_id: trials[trial_id] for trial_id in chunk if trial_id in numbers},
            )
            read = read_values if len(self.directions) == 1 else read_several_values
            read(
                connection,
                {trial_id: trials[trial_id] for trial_id in chunk if trial_id in finished},
            )
            for trial_id, trial in trials.items():
                trial.state = states[trial_id]
                if trial_id in newest and trial_id not in finished:
                    epoch, value = newest[trial_id]
                    trial.state = TrialState.PRUNED
                    trial.value = value
                    trial.intermediate_values = {epoch: value}
                packed[trial_id] = self._packer.pack(trial)
        self._trials.update(packed)
        self._unfinished = (self._unfinished | numbers.keys()) - finished
        self._invalid = invalid


def _is_as_before(trial: FrozenTrial, state: TrialState, newest: tuple[int, float] | None) -> bool:
    """Whether an unfinished trial has the state and the newest epoch that it had."""
    if newest is None:
        return trial.state == state
    return trial.state == TrialState.PRUNED and trial.intermediate_values == dict([newest])


class DraftView(ReadOnlyStorage):
    """The storage that a sampler sees: finished and running trials, and a draft to fill in."""

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
        self.draft = new_trial(DRAFT_ID, 1 + max((trial.number for trial in trials), default=-1))
        if fixed_params:
            self.draft.system_attrs["fixed_params"] = dict(fixed_params)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials and the draft, without copying them: samplers don't modify them.

        Args:
            study_id: Ignored: there is one study.
            deepcopy: Ignored.
            states: The states of the trials to return; ``None`` for all.
        """
        everything = [*self.trials, self.draft]
        return [trial for trial in everything if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return the draft: samplers read no other trial by its id.

        Raises:
            KeyError: ``trial_id`` isn't the draft's.
        """
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
        """Store a suggested value in the draft.

        Args:
            trial_id: Ignored: only the draft changes.
            param_name: The parameter's path.
            param_value_internal: The value in Optuna's internal representation.
            distribution: The parameter's distribution.
        """
        self.draft.distributions[param_name] = distribution
        self.draft.params[param_name] = distribution.to_external_repr(param_value_internal)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a system attribute in the draft.

        Args:
            trial_id: Ignored: only the draft changes.
            key: The attribute's name.
            value: Its value.
        """
        self.draft.system_attrs[key] = value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a user attribute in the draft.

        Args:
            trial_id: Ignored: only the draft changes.
            key: The attribute's name.
            value: Its value.
        """
        self.draft.set_user_attr(key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the only study, for any name."""
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
        """Refuse: a draft belongs to one study.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a draft belongs to one study")
