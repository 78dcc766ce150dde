"""Optuna's trials in little memory.

A worker keeps every trial of its study for the sampler: 50,000 of Optuna's objects take 80 MB. Here
the numbers of a trial are packed, and what many trials have in common (the names and distributions
of the parameters, and how many values there are) exists once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

#: The attributes of every trial that has none.
_NOTHING: dict[str, Any] = {}

#: How a stored number becomes a parameter's value: an index of these values, or a conversion.
_Kind: TypeAlias = Sequence[Any] | type[int] | type[float]


@dataclass(frozen=True, eq=False)
class _Form:
    """What trials with the same parameters have in common, and how their numbers are packed.

    The numbers are the parameters, the objectives, and the newest epoch and its value.
    """

    distributions: dict[str, BaseDistribution]
    parameters: tuple[tuple[str, _Kind], ...]
    #: The number of objectives; ``None`` for a trial without a value.
    values: int | None
    #: The number of epochs with a value.
    epochs: int
    layout: Struct


class CompactTrial(FrozenTrial):
    """A trial that isn't modified any more. ``params``, ``values`` and so on are built on access.

    ``Packer`` builds it.
    """

    __slots__ = ("_form", "_number", "_packed", "_system_attrs", "_trial_id", "state")

    def __init__(self, trial: FrozenTrial, form: _Form, packed: bytes) -> None:
        self._number, self._trial_id, self.state = trial.number, trial._trial_id, trial.state
        self._system_attrs = trial.system_attrs or _NOTHING
        self._form, self._packed = form, packed

    # Optuna's compare and show the object's dictionary, which is empty here
    def __eq__(self, other: object) -> bool:
        if isinstance(other, CompactTrial):
            other = thaw(other)
        return thaw(self) == other

    def __hash__(self) -> int:
        return hash((self._trial_id, self._packed))

    def __repr__(self) -> str:
        return repr(thaw(self))

    @property
    def _params(self) -> dict[str, Any]:  # type: ignore[override]
        numbers = self._form.layout.unpack(self._packed)
        return {
            name: kind(number) if isinstance(kind, type) else kind[int(number)]
            for (name, kind), number in zip(self._form.parameters, numbers, strict=False)
        }

    @property
    def _distributions(self) -> dict[str, BaseDistribution]:  # type: ignore[override]
        return self._form.distributions

    @property
    def _values(self) -> list[float] | None:  # type: ignore[override]
        if self._form.values is None:
            return None
        first = len(self._form.parameters)
        return list(self._form.layout.unpack(self._packed)[first : first + self._form.values])

    @property
    def intermediate_values(self) -> dict[int, float]:  # type: ignore[override]
        """Epoch -> value, of the newest epoch only."""
        if not self._form.epochs:
            return {}
        rest = self._form.layout.unpack(self._packed)[-2 * self._form.epochs :]
        return {int(epoch): value for epoch, value in zip(rest[::2], rest[1::2], strict=True)}

    @property
    def last_step(self) -> int | None:
        """The newest epoch with a value."""
        return max(self.intermediate_values) if self._form.epochs else None

    @property
    def constraints(self) -> dict[str, float]:
        """Constraint -> violation."""
        return super().constraints if self._system_attrs else _NOTHING

    @property
    def _user_attrs(self) -> dict[str, Any]:  # type: ignore[override]
        return _NOTHING

    @property
    def _datetime_start(self) -> None:  # type: ignore[override]
        return None

    @property
    def datetime_complete(self) -> None:  # type: ignore[override]
        """Nothing: samplers don't use it."""
        return None


class Packer:
    """Packs the trials of one study."""

    def __init__(self) -> None:
        #: A form keeps its distributions alive, so that no id in a key is used again.
        self._forms: dict[tuple[Any, ...], _Form] = {}

    def pack(self, trial: FrozenTrial) -> CompactTrial:
        """Return the trial, packed; its user attributes and times are left out."""
        values, epochs = trial.values, trial.intermediate_values
        # Equal distributions are one object (``stored_json.decode_distribution``)
        key = (
            tuple((name, id(distribution)) for name, distribution in trial.distributions.items()),
            None if values is None else len(values),
            len(epochs),
        )
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = _form(trial)
        numbers = [
            value if isinstance(kind, type) else _index(kind, value)
            for (_, kind), value in zip(form.parameters, trial.params.values(), strict=True)
        ]
        numbers += values or ()
        for epoch in epochs.items():
            numbers += epoch
        # A damaged row may lack its value
        packed = form.layout.pack(*(math.nan if number is None else number for number in numbers))
        return CompactTrial(trial, form, packed)


def thaw(trial: CompactTrial) -> FrozenTrial:
    """Return a copy of the trial that can be modified."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=None,
        datetime_complete=None,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs=dict(trial.system_attrs),
        intermediate_values=trial.intermediate_values,
        trial_id=trial._trial_id,
    )


def with_params(trials: Iterable[FrozenTrial], params: Mapping[str, Any]) -> list[FrozenTrial]:
    """Return the trials that have exactly these parameters."""
    number_params: dict[_Form, list[tuple[int, Any]]] = {}
    matches = []
    for trial in trials:
        if isinstance(trial, CompactTrial):
            # Comparing the numbers first saves building most dictionaries
            form = trial._form
            if form not in number_params:
                number_params[form] = [
                    (place, params.get(name))
                    for place, (name, kind) in enumerate(form.parameters)
                    if isinstance(kind, type)
                ]
            numbers = form.layout.unpack(trial._packed)
            if any(numbers[place] != value for place, value in number_params[form]):
                continue
        if trial.params == params:
            matches.append(trial)
    return matches


def _form(trial: FrozenTrial) -> _Form:
    kinds = {
        name: distribution.choices
        if isinstance(distribution, CategoricalDistribution)
        else int
        if isinstance(distribution, IntDistribution)
        else float
        for name, distribution in trial.distributions.items()
    }
    values = None if trial.values is None else len(trial.values)
    epochs = len(trial.intermediate_values)
    return _Form(
        distributions=dict(trial.distributions),
        parameters=tuple(kinds.items()),
        values=values,
        epochs=epochs,
        layout=Struct(f"<{len(kinds) + (values or 0) + 2 * epochs}d"),
    )


def _index(choices: Sequence[Any], value: Any) -> int:
    # By identity: 1, 1.0 and True are equal, and the value is one of the choices themselves
    return next(place for place, choice in enumerate(choices) if choice is value)
