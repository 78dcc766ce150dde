"""Which parameters matter, at which value and by how much, all else equal.

For each parameter, the end values are regressed on its levels and on every other searched
parameter. So a level doesn't look better because a sampler combines it with better learning rates.
First, the end values of pruned trials are estimated (``imputation``); their uncertainty is part of
the intervals. All pairs of levels are compared at once, and p values are corrected for the number
of parameters. ``benchmarks.effects`` measures how often all this is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hpsearch.reporting.analysis.contrasts import Fit, Pairs, all_pairs, fit, mean_of
from hpsearch.reporting.analysis.design import Columns, Levels, controls, levels
from hpsearch.reporting.analysis.findings import Contrast, Effect, Effects, Level
from hpsearch.reporting.analysis.interactions import interactions
from hpsearch.reporting.analysis.observations import AnalysisData
from hpsearch.reporting.analysis.outcomes import ImputedOutcomes, outcomes
from hpsearch.reporting.analysis.parameters import SearchedParameter
from hpsearch.reporting.analysis.sentences import effect_sentence
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.verdicts import ALPHA, POINT, Verdict, holm, margin_of
from hpsearch.study_file.space import short_name


def effects(
    data: AnalysisData, *, pairs: Sequence[tuple[str, str]] = (), most_pairs: int = 3
) -> Effects:
    """Return every parameter's effect, and the interactions to report.

    Args:
        data: The ended trials.
        pairs: Paths of the pairs whose interactions are returned; empty for the strongest.
        most_pairs: Largest number of interactions if ``pairs`` is empty.

    Returns:
        The effects; the same data give the same effects. ``reason`` is set, and there are no
        effects, if the data are too few.
    """
    complete = sum(trial.value is not None for trial in data.trials)
    diverged = sum(trial.diverged for trial in data.trials)
    empty = Effects(
        metric=data.metric,
        maximize=data.maximize,
        trials=len(data.trials),
        complete=complete,
        foretold=len(data.trials) - complete - diverged,
        diverged=diverged,
        floor=None,
        floored=0,
        margin=POINT,
        effects=(),
        interactions=(),
        examined=0,
        examined_pairs=0,
    )
    ends = outcomes(data)
    if isinstance(ends, str):
        return replace(empty, reason=ends)
    complete_values = [trial.value for trial in data.trials if trial.value is not None]
    margin = margin_of(data.metric, float(np.median(complete_values)))
    all_effects = [_estimate(parameter, ends) for parameter in data.parameters.values()]
    testable_effects = [effect for effect in all_effects if effect.p_value is not None]
    corrected = holm([effect.p_value for effect in testable_effects if effect.p_value is not None])
    tested_effects = [
        _with_verdict(effect, p_value, data, margin, len(testable_effects))
        for effect, p_value in zip(testable_effects, corrected, strict=True)
    ]
    untested_effects = [
        replace(
            effect, sentence=effect_sentence(effect, data.metric, margin, len(testable_effects))
        )
        for effect in all_effects
        if effect.p_value is None
    ]
    together, examined_pairs = interactions(ends, pairs=pairs, at_most=most_pairs)
    return replace(
        empty,
        floor=ends.fence if ends.floored else None,
        floored=ends.floored,
        margin=margin,
        effects=(*sorted(tested_effects, key=_strength), *untested_effects),
        interactions=together,
        examined=len(testable_effects),
        examined_pairs=examined_pairs,
    )


def _estimate(parameter: SearchedParameter, ends: ImputedOutcomes) -> Effect:
    """Return the effect with an uncorrected p value, and without a verdict."""
    data = ends.data
    groups = levels(parameter, ends.trials)
    effect = Effect(
        parameter=parameter.path,
        name=short_name(parameter.path, data.parameters),
        branch=parameter.branch,
        scale=_scale(parameter),
        left_out=groups.left_out,
    )
    if len(groups.cuts) < 2:
        return replace(effect, reason="too few of its values were tried to compare two")
    regression = fit_levels(groups, (parameter.path,), ends)
    if regression is None:
        return replace(effect, reason="too few trials for the number of parameters")
    count = len(groups.cuts)
    means, covariance = regression.coefficients[:count], regression.covariance[:count, :count]
    sign = 1.0 if data.maximize else -1.0
    pairs = all_pairs(sign * means, covariance, regression.freedom)
    best = int((sign * means).argmax())
    reference = 0 if best else 1 + int((sign * means[1:]).argmin())
    clearest = int((np.abs(pairs.estimates) / pairs.errors).argmax())
    one, other = pairs.first[clearest], pairs.second[clearest]
    if pairs.estimates[clearest] < 0:
        one, other = other, one
    return replace(
        effect,
        levels=_levels(groups, regression, ends),
        difference=_contrast(groups, pairs, best, reference),
        span=_contrast(groups, pairs, one, other),
        best=groups.cuts[best].label,
        largest=float((np.abs(pairs.estimates) + pairs.quantile * pairs.errors).max()),
        p_value=pairs.p_value,
        verdict=Verdict.UNDECIDED,
    )


def fit_levels(groups: Levels, but: Sequence[str], ends: ImputedOutcomes) -> Fit | None:
    """Regress end values on levels (the first columns) and on all parameters not in ``but``.

    Args:
        groups: The levels of the examined parameter.
        but: Paths of the parameters that aren't kept constant.
        ends: The end values of the trials.

    Returns:
        The regression; ``None`` if there are too few trials for the columns.
    """
    members = np.flatnonzero(groups.place >= 0)
    dummies: Columns = np.eye(len(groups.cuts))[groups.place[members]]
    trials = [ends.trials[place] for place in members.tolist()]
    others = controls(ends.data.parameters, trials, but, dummies)
    own = np.zeros((len(ends.trials), dummies.shape[1] - 1))
    own[members] = dummies[:, 1:]
    return fit(np.column_stack([dummies, others]), ends.ends(own)[members])


def _levels(groups: Levels, regression: Fit, ends: ImputedOutcomes) -> tuple[Level, ...]:
    complete = np.array([trial.value is not None for trial in ends.trials])
    levels = []
    for place, cut in enumerate(groups.cuts):
        mean, low, high = mean_of(regression, place, metric=ends.data.metric)
        at_level = groups.place == place
        levels.append(
            Level(
                label=cut.label,
                value=cut.value,
                low_edge=cut.low_edge,
                high_edge=cut.high_edge,
                trials=int(at_level.sum()),
                complete=int((at_level & complete).sum()),
                mean=mean,
                low=low,
                high=high,
            )
        )
    return tuple(levels)


def _contrast(groups: Levels, pairs: Pairs, one: int, other: int) -> Contrast:
    estimate, low, high = pairs.of(one, other)
    return Contrast(
        level=groups.cuts[one].label,
        other=groups.cuts[other].label,
        ahead=Interval(estimate=estimate, low=low, high=high),
    )


def _with_verdict(
    effect: Effect, p_value: float, data: AnalysisData, margin: float, examined: int
) -> Effect:
    verdict = Verdict.UNDECIDED
    if p_value < ALPHA:
        verdict = Verdict.YES
    elif effect.largest is not None and effect.largest < margin:
        verdict = Verdict.NO
    effect = replace(effect, p_value=p_value, verdict=verdict)
    return replace(effect, sentence=effect_sentence(effect, data.metric, margin, examined))


def _strength(effect: Effect) -> tuple[float, float]:
    estimate = 0.0 if effect.span is None else abs(effect.span.ahead.estimate)
    return (1.0 if effect.p_value is None else effect.p_value), -estimate


def _scale(parameter: SearchedParameter) -> Literal["categories", "linear", "log"]:
    if not parameter.is_number:
        return "categories"
    return "log" if parameter.is_log else "linear"
