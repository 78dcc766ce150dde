"""End values that effects are estimated from: pruned ones imputed, diverged ones at a floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.reporting.analysis.design import nuisance
from hpsearch.reporting.analysis.imputation import Configuration, impute
from hpsearch.reporting.analysis.observations import AnalysisData, ObservedTrial

Matrix = NDArray[np.float64]

#: Draws of the end values of pruned trials.
DRAWS = 30
#: From this number of trials on, the gain may depend on a range by a curve.
_ENOUGH_FOR_CURVES = 40
#: Fewest complete trials.
LEAST_COMPLETE = 8
#: Distance of the fence below the lower quartile, in interquartile ranges (Tukey's fence).
_FENCE = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class ImputedOutcomes:
    """A study's ended trials and their end values."""

    data: AnalysisData
    configuration: Configuration
    #: Worse values count as this one, in the objective's unit.
    fence: float
    #: Trials with most draws beyond the fence, and those that diverged.
    floored: int

    @property
    def trials(self) -> Sequence[ObservedTrial]:
        """The trials that are estimated from."""
        return self.data.trials

    def ends(self, focus_columns: Matrix) -> Matrix:
        """Return float64 (trials, draws): end values to compare by ``focus_columns`` (``impute``).

        Raises:
            ValueError: If no trial is complete.
        """
        ends = impute(self.data, self.configuration, focus_columns, draws=DRAWS)
        if ends is None:
            raise ValueError("no trial is complete")
        return _apply_floor(ends, self.fence, maximize=self.data.maximize)


def outcomes(data: AnalysisData) -> ImputedOutcomes | str:
    """Return the trials with everything that their end values follow from, or why there is none.

    A failed or hopeless configuration can be arbitrarily bad, and how bad it is doesn't matter to
    users. So values beyond Tukey's lower fence count as the fence, and so do diverged trials.
    """
    complete = sum(trial.value is not None for trial in data.trials)
    if complete < LEAST_COMPLETE:
        return (
            f"effects need at least {LEAST_COMPLETE} complete trials, but there are {complete}; "
            "launch more trials"
        )
    degree = 2 if len(data.trials) >= _ENOUGH_FOR_CURVES else 1
    columns, groups = nuisance(data.parameters, data.trials, (), degree)
    if not groups:
        return "all trials have the same parameters"
    configuration = Configuration(columns=columns / columns.std(axis=0), groups=groups)
    ends = impute(data, configuration, draws=DRAWS)
    if ends is None:
        return "no trial is complete"
    sign = 1.0 if data.maximize else -1.0
    typical = sign * np.median(ends, axis=1)
    low, high = np.quantile(typical[np.isfinite(typical)], [0.25, 0.75])
    fence = float(low - _FENCE * (high - low))
    return ImputedOutcomes(
        data=data,
        configuration=configuration,
        fence=sign * fence,
        floored=int((~(typical >= fence)).sum()),
    )


def _apply_floor(ends: Matrix, fence: float, *, maximize: bool) -> Matrix:
    values = np.nan_to_num(ends, nan=fence)
    return np.maximum(values, fence) if maximize else np.minimum(values, fence)
