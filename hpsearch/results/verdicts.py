"""Yes, no or undecided: when a difference counts, in a search's effects and in ablations."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from hpsearch.metrics import is_share

#: The probability of any false "yes" among all comparisons of one analysis.
ALPHA = 0.05

#: Smaller differences don't matter: a point for a share, this part of the value for a loss.
POINT, _PART_OF_LOSS = 0.01, 0.05


class Verdict(StrEnum):
    """Whether something matters."""

    #: It makes a difference of more than chance explains.
    YES = "yes"
    #: It makes no difference of more than the margin that counts.
    NO = "no"
    #: The data exclude neither.
    UNDECIDED = "undecided"


def margin_of(metric: str, level: float) -> float:
    """Return the largest difference of a metric that doesn't matter.

    Args:
        metric: The metric.
        level: A usual value of it.
    """
    return POINT if is_share(metric) else _PART_OF_LOSS * abs(level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number (Holm 1979)."""
    corrected = [0.0] * len(p_values)
    running = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = running
    return corrected
