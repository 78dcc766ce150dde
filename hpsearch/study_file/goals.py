"""The goals of a study: one or several objectives, and the constraints of a winner."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hpsearch.metric_registry import direction_of, is_spelled, spelled, split
from hpsearch.metrics import COSTS, OBJECTIVES, Direction

#: With more, nearly every trial is on the front, and samplers are slow.
MOST_OBJECTIVES = 4

CONSTRAINT_RULE = "NAME <= NUMBER or NAME >= NUMBER"

_CONSTRAINT = re.compile(
    r"\s*(?P<name>[A-Za-z_]\w*(\(.+\))?)\s*(?P<sign><=|>=)\s*"
    r"(?P<bound>[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?)\s*"
)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The metric by which trials are ranked."""

    metric: str
    #: Whether a trial's value is that of its last or of its best epoch.
    at: Literal["last", "best"] = "last"
    #: The direction that the study stores, of a metric that isn't built in.
    stored_direction: Direction | None = None

    @property
    def direction(self) -> Direction:
        """Which direction is better."""
        return self.stored_direction or direction_of(self.metric)

    def is_better(self, value: float, than: float) -> bool:
        """Whether ``value`` is strictly better than ``than``."""
        return value > than if self.direction == "maximize" else value < than

    def counts(self, value: float, best: float | None, *, last: bool) -> bool:
        """Whether an epoch gives its training's value, instead of an earlier one.

        Args:
            value: The epoch's value.
            best: The best value before; ``None`` before the first epoch.
            last: Whether training ends after the epoch.
        """
        if self.at == "last":
            return last
        return best is None or self.is_better(value, best)


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A bound on one metric."""

    name: str
    sign: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {_number(self.bound)}"

    def violation(self, value: float) -> float:
        """Return how far ``value`` is out of bounds, 0 to 1; at most 0 if it satisfies the bound.

        It is ``distance / (|distance| + |bound|)``, so that it doesn't depend on the unit, and so
        that a configuration that can't be built (1) is worse than every value.
        """
        distance = value - self.bound if self.sign == "<=" else self.bound - value
        scale = abs(distance) + abs(self.bound)
        return distance / scale if scale else 0.0

    def describe_violation(self, value: float) -> str:
        """Return a message that shows the bound and the value that breaks it."""
        return f"{self} is broken: {self.name} is {_number(value)}"


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What trials are compared by."""

    #: Measured after every epoch; pruners decide by it, and it determines the best epoch.
    objective: Objective
    #: Metrics; with a single objective, only that of ``objective``.
    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()
    #: Whether trials are promoted by the fronts of all objectives instead of by ``objective``.
    by_fronts: bool = False
    #: The directions that the study stores, of metrics that aren't built in.
    stored_directions: Mapping[str, Direction] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Goals:
        """Return the goals of a study's document (its normal form)."""
        stored: Mapping[str, Direction] = document.get("metrics") or {}
        constraints = tuple(parse_constraint(text) for text in document.get("constraints", ()))
        several = document.get("objectives")
        if several is None:
            metric, at = document["objective"]["metric"], document["objective"]["at"]
            names: tuple[str, ...] = (metric,)
        else:
            names, at = tuple(several["metrics"]), several["at"]
            metric = document["prune_on"] or next(name for name in names if name not in COSTS)
        direction = stored.get(split(metric)[0])
        return cls(
            objective=Objective(metric=metric, at=at, stored_direction=direction),
            objectives=names,
            constraints=constraints,
            by_fronts=several is not None and document["prune_on"] is None,
            stored_directions=stored,
        )

    @property
    def is_multi_objective(self) -> bool:
        """Whether there are several objectives, so that there is a front and not one winner."""
        return len(self.objectives) > 1

    @property
    def is_single_unconstrained(self) -> bool:
        """Whether there is one objective and no constraint."""
        return not self.is_multi_objective and not self.constraints

    @property
    def directions(self) -> dict[str, Direction]:
        """Objective -> which direction is better, in the file's order."""
        stored = self.stored_directions
        return {name: stored.get(split(name)[0]) or direction_of(name) for name in self.objectives}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of every objective and every metric with a bound, each once."""
        bounded = (constraint.name for constraint in self.constraints)
        return tuple(dict.fromkeys([*self.objectives, *bounded]))

    @property
    def others(self) -> tuple[str, ...]:
        """Those of ``metrics`` that only some studies measure."""
        return tuple(name for name in self.metrics if name not in OBJECTIVES and name not in COSTS)

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return constraint -> violation, for those whose metric is in ``metrics``."""
        return {
            str(constraint): constraint.violation(metrics[constraint.name])
            for constraint in self.constraints
            if constraint.name in metrics
        }

    def violated(self, metrics: Mapping[str, float]) -> list[str]:
        """Return a message for every constraint that ``metrics`` break."""
        return [
            constraint.describe_violation(metrics[constraint.name])
            for constraint in self.constraints
            if constraint.name in metrics and constraint.violation(metrics[constraint.name]) > 0
        ]


def read_constraint(text: str) -> Constraint:
    """Return the constraint that ``text`` means.

    Raises:
        ValueError: ``text`` isn't a constraint, the metric is unknown, or the bound isn't finite;
            the message is the rule.
    """
    constraint = parse_constraint(text)
    if not is_spelled(constraint.name, costs=True):
        listed = ", ".join(spelled(costs=True))
        raise ValueError(f"a constraint names one of {listed}, not {constraint.name}")
    return constraint


def parse_constraint(text: str) -> Constraint:
    """Return the constraint that ``text`` means, on any metric.

    Raises:
        ValueError: ``text`` isn't a constraint, or the bound isn't finite; the message is the rule.
    """
    match = _CONSTRAINT.fullmatch(text)
    if match is None:
        raise ValueError(f"a constraint is {CONSTRAINT_RULE}, e.g. parameters <= 1e6")
    bound = float(match["bound"])
    if bound in (float("inf"), float("-inf")):
        raise ValueError("a constraint's number must be finite")
    return Constraint(name=match["name"], sign="<=" if match["sign"] == "<=" else ">=", bound=bound)


def unsatisfiable(constraints: Sequence[Constraint]) -> tuple[Constraint, Constraint] | None:
    """Return two constraints that no value satisfies together, or ``None`` without such a pair."""
    for low in constraints:
        for high in constraints:
            if (low.name, low.sign, high.sign) == (
                high.name,
                ">=",
                "<=",
            ) and low.bound > high.bound:
                return low, high
    return None


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
