"""What is told of effects: levels, comparisons and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hpsearch.results.confirmation.statistics import Interval
from hpsearch.study_file.space import Scalar


class Verdict(StrEnum):
    """Whether something matters."""

    #: Its levels differ, by more than chance explains.
    YES = "yes"
    #: No two levels differ by more than the margin that counts.
    NO = "no"
    #: The data exclude neither.
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Level:
    """One value of a parameter, or one bin of a range. Means are in the objective's unit."""

    #: ``2``, ``sgd`` or, of a bin, ``0.001 to 0.0047``.
    label: str
    #: The value where the level is one value; ``None`` of a bin.
    value: Scalar
    #: The bin's edges; ``None`` where the level is one value.
    low_edge: float | None = None
    high_edge: float | None = None
    #: Trials that were estimated from, and those of them that reached the last epoch.
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
    #: By how much ``level`` is better: positive where it is ahead, whichever way is better. The
    #: 95 % interval holds for all pairs of levels at once.
    ahead: Interval


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one parameter does."""

    #: Its path, and the end of it that people say.
    parameter: str
    name: str
    #: Path of a branch -> option: where it applies; empty where always.
    branch: Mapping[str, str]
    scale: Literal["categories", "linear", "log"]
    #: In the order of the values; empty where ``reason`` tells why nothing can be said.
    levels: tuple[Level, ...] = ()
    #: The best level against the reference: the lowest number, the first of the file's choices.
    #: Where the reference is itself the best: against the worst.
    difference: Contrast | None = None
    #: The two levels that can be told apart best.
    span: Contrast | None = None
    #: The label of the level with the best mean.
    best: str | None = None
    #: Values with too few trials to say anything of them.
    left_out: tuple[str, ...] = ()
    #: No two levels differ by more than this, with 95 % confidence.
    largest: float | None = None
    #: That all levels are alike, corrected for the number of parameters looked at.
    p_value: float | None = None
    verdict: Verdict = Verdict.UNDECIDED
    sentence: str = ""
    #: Why nothing can be said.
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One level of a parameter together with one of another; ``None``: too few trials."""

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
    #: What stands out most: by how much the lead of one level of ``a`` over another is larger at
    #: one level of ``b`` than at another. Its interval holds for all such comparisons at once.
    strongest: Dependence | None = None
    #: That the effects just add up, corrected for the number of pairs looked at.
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
    """Everything that a study says of its parameters."""

    metric: str
    maximize: bool
    #: Trials that were estimated from; of these complete, those whose end was foretold from the
    #: epochs they ran, and those that diverged.
    trials: int
    complete: int
    foretold: int
    diverged: int
    #: Values worse than this count as this, and how many trials that was; ``None``: none did.
    floor: float | None
    floored: int
    #: Differences below this don't count as one ("no").
    margin: float
    #: The strongest first.
    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    #: How many parameters and pairs were looked at: the p values are corrected for them.
    examined: int
    examined_pairs: int
    #: Why nothing can be said at all.
    reason: str | None = None

    def of(self, parameter: str) -> Effect | None:
        """Return the effect of the parameter with this path."""
        return next((each for each in self.effects if each.parameter == parameter), None)
