"""End values that effects are estimated from: pruned ones foretold, diverged ones at a floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.results.analysis.design import nuisance
from hpsearch.results.analysis.endings import Configuration, endings
from hpsearch.results.analysis.evidence import Evidence, Seen

Matrix = NDArray[np.float64]

#: Draws of what pruned trials would have come to.
DRAWS = 30
#: Trials from which on a range may have a curved say in how fast a network learns.
_ENOUGH_FOR_CURVES = 40
#: Complete trials that are needed at all.
LEAST_COMPLETE = 8
#: How far below the lower quartile, in interquartile ranges, values are told apart (Tukey's fence).
_FENCE = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """A study's ended trials, and what they came to."""

    evidence: Evidence
    configuration: Configuration
    #: Values worse than this count as this, in the objective's unit.
    fence: float
    #: Trials of which most draws are beyond the fence, and those that diverged.
    floored: int

    @property
    def trials(self) -> Sequence[Seen]:
        """The trials that are estimated from."""
        return self.evidence.trials

    def ends(self, own: Matrix) -> Matrix:
        """Return float64 (trials, draws): end values to compare by ``own`` (``endings``)."""
        drawn = endings(self.evidence, self.configuration, own, draws=DRAWS)
        if drawn is None:
            raise ValueError("no trial is complete")
        return _lifted(drawn, self.fence, maximize=self.evidence.maximize)


def outcomes(evidence: Evidence) -> Outcomes | str:
    """Return the trials with all that their end values follow from, or why nothing does.

    A failed or hopeless configuration can be arbitrarily bad; how bad tells nothing of what people
    ask. So values beyond Tukey's lower fence count as the fence, and diverged trials with them.
    """
    complete = sum(each.value is not None for each in evidence.trials)
    if complete < LEAST_COMPLETE:
        return (
            f"effects need at least {LEAST_COMPLETE} complete trials, and there are {complete}; "
            "launch more trials"
        )
    degree = 2 if len(evidence.trials) >= _ENOUGH_FOR_CURVES else 1
    columns, groups = nuisance(evidence.parameters, evidence.trials, (), degree)
    if not groups:
        return "all trials have the same parameters"
    configuration = Configuration(columns=columns / columns.std(axis=0), groups=groups)
    ends = endings(evidence, configuration, draws=DRAWS)
    if ends is None:
        return "no trial is complete"
    sign = 1.0 if evidence.maximize else -1.0
    typical = sign * np.median(ends, axis=1)
    low, high = np.quantile(typical[np.isfinite(typical)], [0.25, 0.75])
    fence = float(low - _FENCE * (high - low))
    return Outcomes(
        evidence=evidence,
        configuration=configuration,
        fence=sign * fence,
        floored=int((~(typical >= fence)).sum()),
    )


def _lifted(ends: Matrix, fence: float, *, maximize: bool) -> Matrix:
    known = np.nan_to_num(ends, nan=fence)
    return np.maximum(known, fence) if maximize else np.minimum(known, fence)
