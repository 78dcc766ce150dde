"""What a study is after: one objective or several, and the bounds that a winner must keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hpsearch.metrics import GOAL_METRICS, OBJECTIVES, STATIC_COSTS

#: More make nearly every trial a point of the front, and the samplers slow.
MOST_OBJECTIVES = 4

CONSTRAINT_RULE = "NAME <= NUMBER or NAME >= NUMBER"

_CONSTRAINT = re.compile(
    r"\s*(?P<name>[A-Za-z_]\w*)\s*(?P<sign><=|>=)\s*"
    r"(?P<bound>[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?)\s*"
)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The figure that trials are ranked by."""

    metric: str
    #: A trial's value: the last epoch's, or the best epoch's.
    at: Literal["last", "best"] = "last"

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way is better."""
        return OBJECTIVES[self.metric]

    def is_better(self, value: float, than: float) -> bool:
        """Whether ``value`` beats ``than``; an equal one doesn't."""
        return value > than if self.direction == "maximize" else value < than


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A bound on one figure."""

    name: str
    sign: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {_number(self.bound)}"

    @property
    def is_static(self) -> bool:
        """Whether a configuration tells it without training."""
        return self.name in STATIC_COSTS

    def violation(self, value: float) -> float:
        """Return how far ``value`` is out of bounds, 0 to 1; at most 0 where it keeps them.

        The distance relative to itself and the bound: bounds of any unit weigh alike, and what
        can't be built at all (1) is worse than every value.
        """
        distance = value - self.bound if self.sign == "<=" else self.bound - value
        scale = abs(distance) + abs(self.bound)
        return distance / scale if scale else 0.0

    def describe_violation(self, value: float) -> str:
        """Return the arithmetic of a value that breaks the bound."""
        return f"{self} is broken: {self.name} is {_number(value)}"


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What trials are compared by."""

    #: Measured after every epoch: what rules decide by, and what best weights and epochs mean.
    objective: Objective
    #: Names in ``GOAL_METRICS``; the normal form has one, that of ``objective``.
    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()
    #: Whether trials are promoted by the fronts of all objectives, not by ``objective`` alone.
    by_fronts: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Goals:
        """Return what a study's document (its normal form) asks for."""
        constraints = tuple(map(read_constraint, document.get("constraints", ())))
        several = document.get("objectives")
        if several is None:
            objective = Objective(**document["objective"])
            names: tuple[str, ...] = (objective.metric,)
        else:
            names = tuple(several["metrics"])
            metric = document["prune_on"] or next(name for name in names if name in OBJECTIVES)
            objective = Objective(metric=metric, at=several["at"])
        return cls(
            objective=objective,
            objectives=names,
            constraints=constraints,
            by_fronts=several is not None and document["prune_on"] is None,
        )

    @property
    def is_multi_objective(self) -> bool:
        """Whether there is more than one objective: trials have a front, and no one winner."""
        return len(self.objectives) > 1

    @property
    def is_single_unconstrained(self) -> bool:
        """Whether one objective is all that is asked for."""
        return not self.is_multi_objective and not self.constraints

    @property
    def directions(self) -> dict[str, Literal["maximize", "minimize"]]:
        """Objective -> which way is better, in the file's order."""
        return {name: GOAL_METRICS[name] for name in self.objectives}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of every objective and every figure with a bound, each once."""
        bounded = (each.name for each in self.constraints)
        return tuple(dict.fromkeys([*self.objectives, *bounded]))

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return constraint -> violation, of those whose figure is known."""
        return {
            str(each): each.violation(metrics[each.name])
            for each in self.constraints
            if each.name in metrics
        }

    def violated(self, metrics: Mapping[str, float]) -> list[str]:
        """Return the arithmetic of every constraint that ``metrics`` break."""
        return [
            each.describe_violation(metrics[each.name])
            for each in self.constraints
            if each.name in metrics and each.violation(metrics[each.name]) > 0
        ]


def read_constraint(text: str) -> Constraint:
    """Return the constraint that ``text`` states.

    Raises ``ValueError`` with the rule.
    """
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        raise ValueError(f"a constraint is {CONSTRAINT_RULE}, e.g. parameters <= 1e6")
    name = found["name"]
    if name not in GOAL_METRICS:
        raise ValueError(f"a constraint names one of {', '.join(GOAL_METRICS)}, not {name}")
    bound = float(found["bound"])
    if bound in (float("inf"), float("-inf")):
        raise ValueError("a constraint's number must be finite")
    return Constraint(name=name, sign="<=" if found["sign"] == "<=" else ">=", bound=bound)


def unsatisfiable(constraints: Sequence[Constraint]) -> tuple[Constraint, Constraint] | None:
    """Return two constraints that no value keeps together, ``None`` where there are none."""
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
