"""Which trials are trained again: the best, and those that may be behind only by chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import UserError
from hpsearch.formatting import count_noun
from hpsearch.metrics import OBJECTIVES, MetricFormat, is_share
from hpsearch.results.confirmation.luck import field_of
from hpsearch.results.confirmation.over_groups import Error
from hpsearch.results.confirmation.spec import Field

#: Default number of finalists.
DEFAULT_TOP = 6


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trial of the search that may be the best one."""

    trial: int
    value: float
    #: Path -> stored value.
    params: Mapping[str, Any]
    #: Whether the search trained it to its end. Otherwise its value is from the last rung
    #: at which trials wait; a confirmation trains it to its end.
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Finalists:
    """The chosen trials, and the reason."""

    #: In rank order.
    trials: tuple[int, ...]
    #: The first of ``try_first``, which the winner is compared with; it may also be a finalist.
    baseline: int | None
    #: One standard error of the last of the top, in the objective's unit.
    noise: float
    #: The rule and its result, in a sentence.
    rule: str
    #: The values of all trials that they were chosen from.
    field: Field


def finalists(
    ranked: Sequence[Candidate],
    *,
    metric: str,
    images: int,
    top: int = DEFAULT_TOP,
    exactly: bool = False,
    baseline: int | None = None,
    rival: int | None = None,
    error_of: Callable[[int], Error | None] = lambda _: None,
) -> Finalists:
    """Choose the finalists.

    Of trials with equal parameters, only the best is taken: they would be the same training.

    Args:
        ranked: The trials that can be chosen, best first.
        metric: The objective.
        images: The number of images that its values were measured on.
        top: Number of the best trials to take.
        exactly: Whether to take only these. Otherwise those within one standard error of the last
            of them are taken as well, at most as many again.
        baseline: The first ``try_first`` trial, if it is complete.
        rival: The best trial that differs from the first in what the study asks about. It is taken
            even if it is behind, because the answer compares them.
        error_of: Returns the error of a trial's value over groups of images; ``None`` if its images
            don't come in groups.

    Returns:
        The choice.

    Raises:
        UserError: If ``top`` is below 1, or nothing is ranked.
    """
    if top < 1:
        raise UserError(f"at least one finalist must be trained again, but got {top}")
    if not ranked:
        raise UserError(
            "only a trial that is complete or paused at a rung can be confirmed, but there is none "
            "yet; launch more trials"
        )
    different: list[Candidate] = []
    for candidate in ranked:
        if all(candidate.params != other.params for other in different):
            different.append(candidate)
            if len(different) == (top if exactly else 2 * top):
                break
    best, others = different[:top], different[top:]
    error = error_of(best[-1].trial)
    noise, over = standard_error(metric, best[-1].value, images), count_noun(images, "image")
    if error is not None and error.standard_error is not None:
        noise, over = error.standard_error, f"{over} in {count_noun(error.groups, 'group')}"
    rival_candidate = next((candidate for candidate in ranked if candidate.trial == rival), None)
    tied = [other for other in others if abs(other.value - best[-1].value) <= noise]
    if rival_candidate is not None and top == 1:
        tied = []  # two can be trained: the best, and what the question compares it with
    complete = sum(candidate.complete for candidate in ranked)
    rule = f"the best {len(best)} of {complete} complete trials"
    if complete < len(ranked):
        rule += f" and {len(ranked) - complete} that reached the last rung"
    if tied:
        rule += (
            f", and {len(tied)} within {MetricFormat(metric).width(noise)} of the last of them: "
            f"one standard error of {metric} over {over}"
        )
    choice = [*best, *tied]
    if rival_candidate is not None and all(
        candidate.params != rival_candidate.params for candidate in choice
    ):
        choice.append(rival_candidate)
        rule += (
            f", and trial {rival_candidate.trial}: the best that differs from the first in what "
            "the study asks about"
        )
    first = next((candidate for candidate in ranked if candidate.trial == baseline), None)
    if first is not None:  # a finalist with the same configuration replaces it
        same = (candidate.trial for candidate in choice if candidate.params == first.params)
        baseline = next(same, baseline)
    return Finalists(
        trials=tuple(candidate.trial for candidate in choice),
        baseline=baseline,
        noise=noise,
        rule=rule,
        field=field_of([candidate.value for candidate in ranked]),
    )


def standard_error(metric: str, value: float, images: int) -> float:
    """Return about one standard error of ``value`` due to the choice of images.

    Args:
        metric: The objective.
        value: Its value.
        images: The number of images that it was measured on; 0 if it isn't known.

    Returns:
        For a share of the images, the binomial error (a lower bound for means over classes). For a
        loss, value / sqrt(images), as if the spread of the losses equalled their mean; it is
        larger. For other metrics, which no formula fits, 0.
    """
    if not images or (metric not in OBJECTIVES and metric != "val_top5_accuracy"):
        return 0.0
    if is_share(metric):
        return math.sqrt(max(value * (1 - value), 0.0) / images)
    return abs(value) / math.sqrt(images)
