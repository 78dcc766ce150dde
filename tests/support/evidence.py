"""Made-up evidence: trials whose end value is a known function of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpsearch.reporting.analysis.observations import AnalysisData, ObservedTrial
from hpsearch.reporting.analysis.parameters import with_branches
from hpsearch.study_file.space import Branch, Choice, Group, Range, Space

#: A choice, a short range, one on a log scale, and a branch with a parameter of its own.
SPACE = Space(
    Group(
        {
            "width": Choice((16, 32, 64)),
            "dilation": Range(low=1, high=3, integer=True),
            "lr": Range(low=1e-4, high=1e-1, log=True),
            "flip": Choice((False, True)),
            "optimizer": Branch(
                {"sgd": Group({"momentum": Range(low=0.5, high=0.9)}), "adam": Group({})}
            ),
        }
    )
)

Params = Mapping[str, Any]
EPOCHS = 9


def drawn(count: int, seed: int = 0, space: Space = SPACE) -> list[dict[str, Any]]:
    """Draw configurations evenly from a space."""
    rng = np.random.default_rng(seed)

    def suggest(path: str, parameter: Any) -> Any:
        if isinstance(parameter, Choice):
            return parameter.labels[rng.integers(len(parameter.labels))]
        if parameter.integer:
            return int(rng.integers(int(parameter.low), int(parameter.high) + 1))
        if parameter.log:
            return float(np.exp(rng.uniform(np.log(parameter.low), np.log(parameter.high))))
        return float(rng.uniform(parameter.low, parameter.high))

    return [dict(space.draw(suggest).params) for _ in range(count)]


def evidence(
    end: Callable[[Params], float],
    *,
    trials: int = 80,
    noise: float = 0.005,
    start: Callable[[Params], float] = lambda params: 0.6,
    survives: Callable[[int, float], bool] = lambda number, first: True,
    metric: str = "val_accuracy",
    seed: int = 0,
    space: Space = SPACE,
) -> AnalysisData:
    """Return trials that come to ``end`` of their parameters, and noise.

    After the first epoch a trial has ``start`` (a share) of its end value; where it doesn't survive
    that, by its number and the value there, it was stopped then.
    """
    rng = np.random.default_rng([seed, 1])
    seen = []
    for number, params in enumerate(drawn(trials, seed, space)):
        value = end(params) + rng.normal(0, noise)
        first = start(params) * value + rng.normal(0, noise / 2)
        curve = tuple(np.linspace(first, value, EPOCHS).tolist())
        complete = survives(number, first)
        seen.append(
            ObservedTrial(
                number=number,
                params=params,
                curve=curve if complete else curve[:1],
                value=curve[-1] if complete else None,
            )
        )
    return AnalysisData(
        metric=metric,
        maximize=metric != "val_loss",
        epochs_per_trial=EPOCHS,
        parameters=with_branches(space.parameters()),
        trials=seen,
    )
