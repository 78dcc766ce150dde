"""A trial as JSON: the same characters as optuna-dashboard writes, but many times faster.

optuna-dashboard builds nested dictionaries for every trial and distribution at every request. Here
parts that are equal for many trials are written once, and the text of an ended trial is cached
(``study_payload``). A test compares both on every kind of trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

_dumps = json.dumps


class TrialWriter:
    """Writes the trials of one study."""

    def __init__(self, study_id: int) -> None:
        self._study_id = study_id
        # Keyed by identity, as equal distributions are mostly one object; the value contains the
        # distribution, so that its id isn't reused.
        self._frames: dict[tuple[str, int, type], tuple[BaseDistribution, str, str]] = {}
        self._choices: dict[tuple[str, int, int], tuple[BaseDistribution, str]] = {}

    def write(self, trial: FrozenTrial, artifacts: Sequence[Mapping[str, Any]]) -> str:
        """Return the JSON object without its note and its closing brace (see ``with_note``)."""
        from optuna_dashboard._serializer import serialize_attrs

        fixed = trial.system_attrs.get("fixed_params", {})
        parts = [
            f'{{"trial_id": {trial._trial_id}, "study_id": {self._study_id}, "number": '
            f'{trial.number}, "state": "{trial.state.name.capitalize()}", "params": ['
            f"{', '.join(self._params(trial))}], "
            f'"fixed_params": {_dumps(_fixed_params(fixed))}, '
            f'"user_attrs": {_dumps(serialize_attrs(trial.user_attrs))}, '
            f'"artifacts": {_dumps(artifacts)}, '
            f'"constraints": {_dumps(trial.system_attrs.get("constraints", []))}, '
            f'"intermediate_values": [{_curve(trial.intermediate_values)}]'
        ]
        if trial.values is not None:
            parts.append(f'"values": [{", ".join(_number(value) for value in trial.values)}]')
        if trial.datetime_start is not None:
            parts.append(f'"datetime_start": "{trial.datetime_start.isoformat()}"')
        if trial.datetime_complete is not None:
            parts.append(f'"datetime_complete": "{trial.datetime_complete.isoformat()}"')
        return ", ".join(parts)

    def _params(self, trial: FrozenTrial) -> list[str]:
        return [
            self._param(name, value, trial.distributions[name])
            for name, value in trial.params.items()
        ]

    def _param(self, name: str, value: Any, distribution: BaseDistribution) -> str:
        internal = distribution.to_internal_repr(value)
        if isinstance(distribution, CategoricalDistribution):
            place = (name, id(distribution), int(internal))
            if place not in self._choices:
                head, tail = _frame(name, value, distribution)
                text = f"{head}{_dumps(internal)}, {_external(value)}{tail}"
                self._choices[place] = distribution, text
            return self._choices[place][1]
        kind = (name, id(distribution), type(value))
        if kind not in self._frames:
            self._frames[kind] = distribution, *_frame(name, value, distribution)
        _, head, tail = self._frames[kind]
        return f'{head}{internal!r}, "param_external_value": "{value}"{tail}'


def with_note(text: str, note: str) -> str:
    """Return the text of ``TrialWriter.write``, completed with a note (Markdown)."""
    return f'{text}, "note": {{"version": {1 if note else 0}, "body": {_dumps(note)}}}}}'


def _frame(name: str, value: Any, distribution: BaseDistribution) -> tuple[str, str]:
    from optuna_dashboard._serializer import serialize_distribution

    return (
        f'{{"name": {_dumps(name)}, "param_internal_value": ',
        f', "param_external_pytyp": {_dumps(str(type(value)))}, '
        f'"distribution": {_dumps(serialize_distribution(distribution))}}}',
    )


def _external(value: Any) -> str:
    return f'"param_external_value": {_dumps(str(value))}'


def _fixed_params(params: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "param_external_value": str(value)} for name, value in params.items()]


def _curve(values: Mapping[int, float]) -> str:
    return ", ".join(
        [f'{{"step": {step}, "value": {_number(value)}}}' for step, value in sorted(values.items())]
    )


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"nan"' if math.isnan(value) else ('"inf"' if value > 0 else '"-inf"')
