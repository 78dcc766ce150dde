"""Results of the analysis of effects: levels, comparisons and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.verdicts import Verdict
from hpsearch.study_file.space import Scalar


@dataclass(frozen=True, kw_only=True)
class Level:
    """One value of a parameter, or one bin of a range. Means are in the objective's unit."""

    #: ``2``, ``sgd`` or, for a bin, ``0.001 to 0.0047``.
    label: str
    #: The value if the level is one value; ``None`` for a bin.
    value: Scalar
    #: The bin's edges; ``None`` if the level is one value.
    low_edge: float | None = None
    high_edge: float | None = None
    #: Trials at this level, and those of them that reached the last epoch.
    trials: int
    complete: int
    #: Mean end value at this level, all else as in the trials, and its 95 % interval.
    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One level against another."""

    level: str
    other: str
    #: By how much ``level`` is better; positive if it is, for either direction of the objective.
    #: The 95 % interval is valid for all pairs of levels at once.
    ahead: Interval


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one parameter does."""

    #: Its path, and the short form of it.
    parameter: str
    name: str
    #: Path of a branch -> option in which it applies; empty if it always applies.
    branch: Mapping[str, str]
    scale: Literal["categories", "linear", "log"]
    #: In the order of the values; empty if ``reason`` is set.
    levels: tuple[Level, ...] = ()
    #: The best level against the reference (the lowest number, or the first of the file's choices),
    #: or against the worst if the reference is the best.
    difference: Contrast | None = None
    #: The two levels that differ most clearly.
    span: Contrast | None = None
    #: The label of the level with the best mean.
    best: str | None = None
    #: Values with too few trials.
    left_out: tuple[str, ...] = ()
    #: No two levels differ by more than this, with 95 % confidence.
    largest: float | None = None
    #: Of the hypothesis that all levels are equal, corrected for the number of parameters examined.
    p_value: float | None = None
    verdict: Verdict = Verdict.UNDECIDED
    sentence: str = ""
    #: Why there is no estimate; ``None`` if there is one.
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One level of a parameter together with one of another; ``None`` if trials are too few."""

    a: str
    b: str
    trials: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """Whether the effect of ``a`` depends on ``b``."""

    a: str
    b: str
    a_name: str
    b_name: str
    branch: Mapping[str, str]
    a_labels: tuple[str, ...] = ()
    b_labels: tuple[str, ...] = ()
    #: Row by row: every label of ``a`` with every label of ``b``.
    cells: tuple[Cell, ...] = ()
    #: The clearest dependence: by how much the lead of one level of ``a`` over another is larger at
    #: one level of ``b`` than at another. Its interval is valid for all such
    #: comparisons at once.
    strongest: Dependence | None = None
    #: Of the hypothesis that the effects add up, corrected for the number of pairs examined.
    p_value: float | None = None
    verdict: Verdict = Verdict.UNDECIDED
    sentence: str = ""
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """The lead of ``level`` over ``other`` (of a), at ``where`` and at ``elsewhere`` (of b)."""

    level: str
    other: str
    where: str
    elsewhere: str
    #: Lead at ``where`` less lead at ``elsewhere``; positive.
    difference: Interval


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The effects of a study's parameters."""

    metric: str
    maximize: bool
    #: All trials in the estimate, and of these the complete ones, those whose end value was imputed
    #: from the epochs they ran, and those that diverged.
    trials: int
    complete: int
    foretold: int
    diverged: int
    #: Worse values count as this one, and the number of such trials; ``None`` if there are none.
    floor: float | None
    floored: int
    #: Smaller differences don't matter (verdict "no").
    margin: float
    #: The strongest first.
    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    #: Numbers of parameters and pairs examined; the p values are corrected for them.
    examined: int
    examined_pairs: int
    #: Why there are no effects; ``None`` if there are.
    reason: str | None = None

    def of(self, parameter: str) -> Effect | None:
        """Return the effect of the parameter with this path; ``None`` if there is none."""
        return next((effect for effect in self.effects if effect.parameter == parameter), None)
