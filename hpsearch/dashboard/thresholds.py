"""Why a trial was pruned, from the study's current values.

The ledger stores only that a pruner stopped a trial, and when. The values of the other trials are
read again here, so later trials count, too, which the notes mention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hpsearch.metrics import MetricFormat
from hpsearch.results.records import StudyRecord, TrialRecord


class Thresholds:
    """Explains the prunings of one study; ``trials`` are Optuna's rows of its trials."""

    def __init__(self, record: StudyRecord, trials: Sequence[FrozenTrial]) -> None:
        pruner: Mapping[str, Any] = record.study.document.get("pruner") or {"median": {}}
        self._name, settings = _name_and_settings(pruner)
        self._settings = settings
        self._sign = 1.0 if record.objective.direction == "maximize" else -1.0
        self._metric = record.objective.metric
        self._trials = trials
        self._values: Callable[[int, bool], list[float]] = cache(self._values_at)

    def explain(self, trial_record: TrialRecord, trial: FrozenTrial) -> str:
        """Return the pruner's rule, the trial's value and the bound, in one sentence."""
        epoch = trial_record.epochs_done
        value = trial.intermediate_values.get(epoch)
        if value is None:
            return f"stopped by the pruner {self._name!r}."
        best = self._sign * max(self._sign * value for value in trial.intermediate_values.values())
        match self._name:
            case "asha" | "hyperband":
                factor = int(self._settings.get("reduction_factor", 3))
                among = " of its bracket" if self._name == "hyperband" else ""
                rule = f"{self._name} lets the best 1/{factor}{among} continue from this rung"
                if trial_record.rung is not None:
                    rule = f"it was paused at this rung until the budget was used; {rule}"
                # No bound for hyperband, as only the pruner knows which trials share a bracket
                bound = None if self._name == "hyperband" else self._top(epoch, factor)
                return self._in_words(rule, value, bound, "trials that reached this epoch")
            case "median" | "percentile":
                keep = 50.0 if self._name == "median" else float(self._settings.get("keep", 25.0))
                rule = f"{self._name} lets the best {keep:g} % continue, by their best value so far"
                bound = self._percentile(epoch, keep)
                return self._in_words(rule, best, bound, "complete trials at this epoch")
            case _:
                value_text = MetricFormat(self._metric).value(value)
                return f"stopped by the pruner {self._name!r} with {self._metric} {value_text}."

    def _in_words(self, rule: str, value: float, bound: float | None, group: str) -> str:
        form = MetricFormat(self._metric).value
        text = f"{rule}, and its {self._metric} is {form(value)}"
        if bound is None:
            return f"{text}."
        return f"{text}; of the {group} so far, the best start at {form(bound)}."

    def _top(self, epoch: int, factor: int) -> float | None:
        scores = self._values(epoch, False)
        if len(scores) < factor:
            return None
        return self._sign * scores[-(len(scores) // factor)]

    def _percentile(self, epoch: int, keep: float) -> float | None:
        scores = self._values(epoch, True)
        return self._sign * float(np.percentile(scores, 100.0 - keep)) if scores else None

    def _values_at(self, epoch: int, complete: bool) -> list[float]:
        """Return the trials' scores (higher is better) at ``epoch``, ascending."""
        return sorted(
            self._sign * trial.intermediate_values[epoch]
            for trial in self._trials
            if epoch in trial.intermediate_values
            and (not complete or trial.state is TrialState.COMPLETE)
        )


def _name_and_settings(pruner: Mapping[str, Any] | str) -> tuple[str, Mapping[str, Any]]:
    if isinstance(pruner, str):
        return pruner, {}
    name = next(iter(pruner))
    return name, pruner[name] or {}
