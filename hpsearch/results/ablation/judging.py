"""From an ablation's trainings to effects. The same trainings always give the same effects.

Each comparison is paired by seed and by image. The variance due to the seeds is that of the paired
differences, but never less than the mean of all comparisons: a few seeds may agree by luck. All
comparisons of an ablation are one family: their p values are corrected by Holm's method, and each
interval has the confidence at which that method compares it, so that an interval excludes 0
exactly if the answer is "yes".

A difference may be settled before the last seed (``spec.looks``), by Haybittle and Peto's rule: at
the far stricter level ``INTERIM``. The last look gets only the part of ``ALPHA`` that the earlier
looks leave, so the level of the family stays ``ALPHA``. The interval of a settled difference has
the confidence of its look, so it is valid although the largest differences are settled first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.metrics import is_share
from hpsearch.results.ablation.plan import AblationProgress, progress
from hpsearch.results.ablation.spec import AblationSpec, Contrast
from hpsearch.results.confirmation.contributions import training_values
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.confirmation.statistics import (
    Estimate,
    Interval,
    TrainingValues,
    difference,
    of_value,
)
from hpsearch.results.verdicts import ALPHA, Verdict, holm, margin_of

#: The level of each look before the last seed.
INTERIM = 0.001

#: The mean spread of the comparisons counts as known from at most this many of them: they share one
#: variant, so they aren't independent.
_INDEPENDENT = 4


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The result of one comparison."""

    contrast: Contrast
    #: By how much ``contrast.level`` is better than its base, over the seeds of both, in the
    #: objective's unit: positive if it is better, for either direction of the objective. ``None``
    #: without an estimate.
    ahead: Interval | None
    seeds: int
    #: Corrected for the number of comparisons; 1 without an estimate.
    p_value: float
    answer: Verdict
    #: Why there is no estimate; ``None`` if there is one.
    reason: str | None = None
    #: Whether it was settled before the last seed, after ``seeds`` of them.
    settled: bool = False


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """The result of an ablation, which may not be finished."""

    spec: AblationSpec
    progress: AblationProgress
    #: In the order of ``spec.contrasts``.
    effects: tuple[Effect, ...]
    #: Trainings that have ended.
    ended: int
    #: Variant -> mean objective over its seeds, of those that have any.
    means: Mapping[int, float]
    #: Differences below this don't matter, in the objective's unit.
    margin: float

    @property
    def comparisons(self) -> int:
        """The number of comparisons that the intervals are corrected for."""
        return sum(effect.ahead is not None for effect in self.effects)


def judge(
    spec: AblationSpec,
    outcomes: Mapping[PlannedTraining, TrainingResult],
    *,
    has_images: bool = True,
) -> AblationResult:
    """Return the effects that follow from the trainings that have ended.

    Args:
        spec: The ablation's settings.
        outcomes: Planned training -> result, of those that have ended.
        has_images: Whether trainings have predictions; otherwise intervals are over seeds alone.
    """
    trainings = _trainings(spec, outcomes, has_images)
    means = {
        number: float(np.mean([training.mean for training in seeds.values()]))
        for number, seeds in trainings.items()
        if seeds
    }
    now = progress(spec, outcomes)
    margin = margin_of(spec.metric, means.get(0, 0.0))
    return AblationResult(
        spec=spec,
        progress=now,
        effects=tuple(effects_of(spec, trainings, now, margin)),
        ended=len(outcomes),
        means=means,
        margin=margin,
    )


def _trainings(
    spec: AblationSpec,
    outcomes: Mapping[PlannedTraining, TrainingResult],
    has_images: bool,
) -> dict[int, dict[int, TrainingValues]]:
    """Return variant -> seed -> training, of those that have a value."""
    trainings: dict[int, dict[int, TrainingValues]] = {}
    for entry, outcome in outcomes.items():
        if outcome.score is None:
            continue
        training = of_value(outcome.score)
        if has_images and outcome.predictions is not None:
            training = training_values(spec.metric, outcome.predictions)
        trainings.setdefault(entry.trial, {})[entry.seed] = training
    return trainings


def effects_of(
    spec: AblationSpec,
    trainings: Mapping[int, Mapping[int, TrainingValues]],
    now: AblationProgress,
    margin: float,
) -> list[Effect]:
    """Return the result of each comparison.

    Args:
        spec: The ablation's settings.
        trainings: Variant -> seed -> training.
        now: The ablation's progress.
        margin: Differences below this don't matter, in the objective's unit.
    """
    effects: dict[int, Effect] = {}
    for look in spec.taken:
        tests = _tests(spec, trainings, look.seeds, set(effects), INTERIM)
        effects |= {
            number: _effect(spec, number, tests[number], margin, settled=True)
            for number in look.settled
            if number in tests
        }
    tests = _tests(spec, trainings, spec.seeds, set(effects), final_level(spec))
    for number, contrast in enumerate(spec.contrasts):
        if number in tests:
            effects[number] = _effect(spec, number, tests[number], margin)
        elif number not in effects:
            effects[number] = Effect(
                contrast=contrast,
                ahead=None,
                seeds=0,
                p_value=1.0,
                answer=Verdict.UNDECIDED,
                reason=_reason(contrast, now),
            )
    return [effects[number] for number in range(len(spec.contrasts))]


def settled_now(
    spec: AblationSpec,
    outcomes: Mapping[PlannedTraining, TrainingResult],
    seeds: int,
    *,
    has_images: bool = True,
) -> tuple[int, ...]:
    """Return the contrasts that the first seeds settle, of those that weren't settled before.

    Args:
        spec: The ablation's settings.
        outcomes: Planned training -> result; those of these seeds have ended.
        seeds: The number of seeds.
        has_images: Whether trainings have predictions.
    """
    return settled_by(spec, _trainings(spec, outcomes, has_images), seeds)


def settled_by(
    spec: AblationSpec, trainings: Mapping[int, Mapping[int, TrainingValues]], seeds: int
) -> tuple[int, ...]:
    """Return the contrasts that the first seeds settle, of those that weren't settled before.

    Args:
        spec: The ablation's settings.
        trainings: Variant -> seed -> training.
        seeds: The number of seeds.
    """
    tests = _tests(spec, trainings, seeds, set(spec.settled), INTERIM)
    return tuple(
        number
        for number, test in tests.items()
        if test.p_value <= INTERIM and test.ahead.excludes(0.0)
    )


def final_level(spec: AblationSpec) -> float:
    """Return the level of the last look, so that all looks together have ``ALPHA``."""
    return ALPHA - INTERIM * len(spec.early_looks)


@dataclass(frozen=True, kw_only=True)
class _Test:
    """One comparison among those that aren't settled yet."""

    ahead: Interval
    p_value: float
    level: float
    seeds: int


def _tests(
    spec: AblationSpec,
    trainings: Mapping[int, Mapping[int, TrainingValues]],
    seeds: int,
    settled: AbstractSet[int],
    level: float,
) -> dict[int, _Test]:
    """Return the comparisons over the first seeds that aren't in ``settled``, by their numbers.

    The variance of the family is also that of the settled ones, over the seeds until then.
    """
    pairs = [
        _pair(spec, trainings, contrast, spec.settled[number] if number in settled else seeds)
        for number, contrast in enumerate(spec.contrasts)
    ]
    tried = {
        number: estimate
        for number, estimate in enumerate(estimate_pairs(pairs))
        if estimate is not None and number not in settled
    }
    tests = holm_tests(list(tried.values()), level)
    return {
        number: _Test(
            ahead=_possible(estimate.over_seeds_and_images(confidence=confidence), spec.metric),
            p_value=p_value,
            level=level,
            seeds=estimate.seeds,
        )
        for (number, estimate), (p_value, confidence) in zip(tried.items(), tests, strict=True)
    }


def _possible(interval: Interval, metric: str) -> Interval:
    """Return an interval without differences that a share can't have."""
    if not is_share(metric):
        return interval
    return replace(interval, low=max(-1.0, interval.low), high=min(1.0, interval.high))


def _effect(
    spec: AblationSpec, number: int, test: _Test, margin: float, *, settled: bool = False
) -> Effect:
    answer = Verdict.UNDECIDED
    if settled or (test.p_value <= test.level and test.ahead.excludes(0.0)):
        answer = Verdict.YES
    elif -margin < test.ahead.low and test.ahead.high < margin:
        answer = Verdict.NO
    return Effect(
        contrast=spec.contrasts[number],
        ahead=test.ahead,
        seeds=test.seeds,
        p_value=test.p_value,
        answer=answer,
        settled=settled,
    )


def _pair(
    spec: AblationSpec,
    trainings: Mapping[int, Mapping[int, TrainingValues]],
    contrast: Contrast,
    seeds: int,
) -> tuple[Mapping[int, TrainingValues], Mapping[int, TrainingValues]]:
    """Return the trainings of both variants so that their difference is positive if it is good."""
    one, other = (
        {seed: training for seed, training in trainings.get(variant, {}).items() if seed <= seeds}
        for variant in (contrast.one, contrast.other)
    )
    return (one, other) if spec.maximize else (other, one)


def estimate_pairs(
    pairs: Sequence[tuple[Mapping[int, TrainingValues], Mapping[int, TrainingValues]]],
) -> list[Estimate | None]:
    """Return each paired difference, with the variance of the family.

    Args:
        pairs: Two variants' trainings each, by seed.

    Returns:
        The differences; ``None`` for those with fewer than two common seeds.
    """
    unpooled = [difference(one, other) for one, other in pairs]
    with_variance = [
        estimate for estimate in unpooled if estimate is not None and estimate.seeds > 1
    ]
    if not with_variance:
        return [None] * len(pairs)
    # One training's variance, so that comparisons over fewer seeds count as they should
    usual = float(np.mean([estimate.seeds_variance * estimate.seeds for estimate in with_variance]))
    differences: list[Estimate | None] = []
    for estimate, (one, other) in zip(unpooled, pairs, strict=True):
        if estimate is None or estimate.seeds < 2:
            differences.append(None)
            continue
        spread = max(estimate.seeds_variance * estimate.seeds, usual)
        freedom = (estimate.seeds - 1) * min(len(with_variance), _INDEPENDENT)
        differences.append(difference(one, other, noise=(math.sqrt(spread / 2), freedom)))
    return differences


def holm_tests(estimates: Sequence[Estimate], level: float = ALPHA) -> list[tuple[float, float]]:
    """Return each estimate's p value by Holm's method, and the confidence of its interval.

    Holm's method compares the smallest p value with level / m, the next one with level / (m - 1),
    and so on, and ends at the first that is larger. The estimates from there on have intervals of
    that last level.
    """
    uncorrected = [_p_value(estimate) for estimate in estimates]
    p_values, left = holm(uncorrected), len(uncorrected)
    tests = [(1.0, 0.0)] * len(uncorrected)
    for place in np.argsort(uncorrected, kind="stable"):
        tests[place] = (p_values[place], 1 - level / left)
        if p_values[place] <= level:
            left -= 1
    return tests


def _p_value(estimate: Estimate) -> float:
    """Return the two-sided p value of no difference."""
    above = estimate.chance_above(0.0)
    return min(1.0, 2 * min(above, 1 - above))


def _reason(contrast: Contrast, now: AblationProgress) -> str:
    for number in (contrast.one, contrast.other):
        if number in now.failed:
            return f"training failed with seed {now.failed[number]}"
    return "not trained yet"
