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
    counted = Effects(
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
        return replace(counted, reason=ends)
    known = [trial.value for trial in data.trials if trial.value is not None]
    margin = margin_of(data.metric, float(np.median(known)))
    estimated = [_estimate(each, ends) for each in data.parameters.values()]
    found = [each for each in estimated if each.p_value is not None]
    corrected = holm([each.p_value for each in found if each.p_value is not None])
    judged = [
        _judged(each, p_value, data, margin, len(found))
        for each, p_value in zip(found, corrected, strict=True)
    ]
    silent = [
        replace(each, sentence=effect_sentence(each, data.metric, margin, len(found)))
        for each in estimated
        if each.p_value is None
    ]
    together, examined_pairs = interactions(ends, asked=pairs, at_most=most_pairs)
    return replace(
        counted,
        floor=ends.fence if ends.floored else None,
        floored=ends.floored,
        margin=margin,
        effects=(*sorted(judged, key=_strength), *silent),
        interactions=together,
        examined=len(found),
        examined_pairs=examined_pairs,
    )


def _estimate(parameter: SearchedParameter, ends: ImputedOutcomes) -> Effect:
    """Return the effect with an uncorrected p value, and without a verdict."""
    data = ends.data
    found = levels(parameter, ends.trials)
    effect = Effect(
        parameter=parameter.path,
        name=short_name(parameter.path, data.parameters),
        branch=parameter.branch,
        scale=_scale(parameter),
        left_out=found.left_out,
    )
    if len(found.cuts) < 2:
        return replace(effect, reason="too few of its values were tried to compare two")
    fitted = fitted_levels(found, (parameter.path,), ends)
    if fitted is None:
        return replace(effect, reason="too few trials for the number of parameters")
    count = len(found.cuts)
    means, covariance = fitted.coefficients[:count], fitted.covariance[:count, :count]
    sign = 1.0 if data.maximize else -1.0
    pairs = all_pairs(sign * means, covariance, fitted.freedom)
    best = int((sign * means).argmax())
    reference = 0 if best else 1 + int((sign * means[1:]).argmin())
    clearest = int((np.abs(pairs.estimates) / pairs.errors).argmax())
    one, other = pairs.first[clearest], pairs.second[clearest]
    if pairs.estimates[clearest] < 0:
        one, other = other, one
    return replace(
        effect,
        levels=_levels(found, fitted, ends),
        difference=_contrast(found, pairs, best, reference),
        span=_contrast(found, pairs, one, other),
        best=found.cuts[best].label,
        largest=float((np.abs(pairs.estimates) + pairs.quantile * pairs.errors).max()),
        p_value=pairs.p_value,
        verdict=Verdict.UNDECIDED,
    )


def fitted_levels(groups: Levels, but: Sequence[str], ends: ImputedOutcomes) -> Fit | None:
    """Regress end values on levels (the first columns) and on all parameters not in ``but``.

    Args:
        groups: The levels of the examined parameter.
        but: Paths of the parameters that aren't kept constant.
        ends: The end values of the trials.

    Returns:
        The regression; ``None`` if there are too few trials for the columns.
    """
    mine = np.flatnonzero(groups.place >= 0)
    dummies: Columns = np.eye(len(groups.cuts))[groups.place[mine]]
    trials = [ends.trials[place] for place in mine.tolist()]
    others = controls(ends.data.parameters, trials, but, dummies)
    own = np.zeros((len(ends.trials), dummies.shape[1] - 1))
    own[mine] = dummies[:, 1:]
    return fit(np.column_stack([dummies, others]), ends.ends(own)[mine])


def _levels(groups: Levels, fitted: Fit, ends: ImputedOutcomes) -> tuple[Level, ...]:
    complete = np.array([trial.value is not None for trial in ends.trials])
    levels = []
    for place, cut in enumerate(groups.cuts):
        mean, low, high = mean_of(fitted, place, metric=ends.data.metric)
        mine = groups.place == place
        levels.append(
            Level(
                label=cut.label,
                value=cut.value,
                low_edge=cut.low_edge,
                high_edge=cut.high_edge,
                trials=int(mine.sum()),
                complete=int((mine & complete).sum()),
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


def _judged(
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
