"""Whether the effect of one parameter depends on another.

The model is that of the effects, with a mean for every cell of the two parameters' table in place
of their separate levels. An interaction is a difference of differences over four cells; all of them
are tested at once. If there are many pairs, only the promising ones are examined closely, and the
p values are corrected for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hpsearch.reporting.analysis.contrasts import Fit, fit, mean_of, together
from hpsearch.reporting.analysis.design import Levels, controls, levels
from hpsearch.reporting.analysis.findings import Cell, Dependence, Interaction
from hpsearch.reporting.analysis.outcomes import ImputedOutcomes
from hpsearch.reporting.analysis.parameters import SearchedParameter
from hpsearch.reporting.analysis.sentences import interaction_sentence
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.verdicts import Verdict
from hpsearch.study_file.space import short_name

#: Bins of a range in a table of two parameters.
_BINS = 3
#: Fewest trials of a filled cell.
_LEAST = 4
#: Pairs that are examined closely for each one that is returned.
_CLOSELY = 2
_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """The table of two parameters' levels."""

    a: SearchedParameter
    b: SearchedParameter
    a_levels: Levels
    b_levels: Levels
    #: int64 (trials,): row * columns + column, -1 outside of filled cells.
    cell: NDArray[np.int64]
    #: Cells with enough trials, in the order of the regression's columns.
    filled: tuple[int, ...]
    #: Differences of differences, one per row, over ``filled``; and their four cells.
    contrasts: NDArray[np.float64]
    corners: tuple[tuple[int, int, int, int], ...]


def interactions(
    ends: ImputedOutcomes, *, pairs: Sequence[tuple[str, str]] = (), at_most: int = 3
) -> tuple[tuple[Interaction, ...], int]:
    """Return the interactions of pairs of parameters, and the number of pairs examined.

    Args:
        ends: The end values of the trials.
        pairs: Paths of the pairs to return, whatever the result; empty for the strongest.
        at_most: Largest number of pairs if ``pairs`` is empty; pairs without enough trials for a
            table aren't returned.

    Raises:
        KeyError: If ``pairs`` has an unknown path.
    """
    parameters = ends.data.parameters
    if pairs:
        of_pairs = [(parameters[a], parameters[b]) for a, b in pairs]
        return tuple(
            _interaction(_table(a, b, ends), a, b, ends, len(pairs)) for a, b in of_pairs
        ), len(pairs)
    tables = [
        table
        for one, other in combinations(parameters.values(), 2)
        if _together(one, other) and (table := _table(one, other, ends)) is not None
    ]
    none = np.zeros((len(ends.trials), 0))
    typical = ends.ends(none)
    candidates = []
    for table in tables:
        regression = _fit(table, ends, typical)
        if regression is not None:
            size = len(table.filled)
            _, p_value, _ = together(
                table.contrasts,
                regression.coefficients[:size],
                regression.covariance[:size, :size],
                regression.freedom,
            )
            candidates.append((p_value, table))
    closely = sorted(candidates, key=lambda candidate: candidate[0])[: _CLOSELY * at_most]
    strongest = [
        _interaction(table, table.a, table.b, ends, len(candidates)) for _, table in closely
    ]
    strongest.sort(key=lambda pair: 2.0 if pair.p_value is None else pair.p_value)
    return tuple(strongest[:at_most]), len(candidates)


def _interaction(
    table: _Table | None,
    a: SearchedParameter,
    b: SearchedParameter,
    ends: ImputedOutcomes,
    examined: int,
) -> Interaction:
    parameters = ends.data.parameters
    pair = Interaction(
        a=a.path,
        b=b.path,
        a_name=short_name(a.path, parameters),
        b_name=short_name(b.path, parameters),
        branch={**a.branch, **b.branch},
    )
    if table is None:
        return replace(pair, reason="too few trials have values of both to compare four cells")
    regression = _fit(table, ends, None)
    if regression is None:
        return replace(pair, reason="too few trials for the number of parameters")
    size = len(table.filled)
    means, covariance = regression.coefficients[:size], regression.covariance[:size, :size]
    sign = 1.0 if ends.data.maximize else -1.0
    quantile, p_value, errors = together(
        table.contrasts, sign * means, covariance, regression.freedom
    )
    estimates = table.contrasts @ (sign * means)
    clearest = int((np.abs(estimates) / errors).argmax())
    strongest = _dependence(
        table, clearest, float(estimates[clearest]), quantile * errors[clearest]
    )
    p_value = min(1.0, p_value * examined)
    pair = replace(
        pair,
        a_labels=tuple(cut.label for cut in table.a_levels.cuts),
        b_labels=tuple(cut.label for cut in table.b_levels.cuts),
        cells=_cells(table, regression, ends),
        strongest=strongest,
        p_value=p_value,
        verdict=Verdict.YES if p_value < _ALPHA else Verdict.UNDECIDED,
    )
    return replace(pair, sentence=interaction_sentence(pair, ends.data.metric, examined))


def _table(a: SearchedParameter, b: SearchedParameter, ends: ImputedOutcomes) -> _Table | None:
    a_levels = levels(a, ends.trials, bins=_BINS)
    b_levels = levels(b, ends.trials, bins=_BINS)
    columns = len(b_levels.cuts)
    both = (a_levels.place >= 0) & (b_levels.place >= 0)
    cell = np.where(both, a_levels.place * columns + b_levels.place, -1)
    counts = np.bincount(cell[cell >= 0], minlength=len(a_levels.cuts) * columns)
    filled = tuple(int(place) for place in np.flatnonzero(counts >= _LEAST))
    column_of = {place: column for column, place in enumerate(filled)}
    cell = np.where(np.isin(cell, filled), cell, -1)
    corners, contrasts = [], []
    for (one, two), (left, right) in (
        (rows, sides)
        for rows in combinations(range(len(a_levels.cuts)), 2)
        for sides in combinations(range(columns), 2)
    ):
        four = (
            one * columns + left,
            two * columns + left,
            one * columns + right,
            two * columns + right,
        )
        if all(place in column_of for place in four):
            contrast = np.zeros(len(filled))
            contrast[[column_of[place] for place in four]] = 1.0, -1.0, -1.0, 1.0
            corners.append(four)
            contrasts.append(contrast)
    if not corners:
        return None
    return _Table(
        a=a,
        b=b,
        a_levels=a_levels,
        b_levels=b_levels,
        cell=cell,
        filled=filled,
        contrasts=np.array(contrasts),
        corners=tuple(corners),
    )


def _fit(table: _Table, ends: ImputedOutcomes, values: NDArray[np.float64] | None) -> Fit | None:
    members = np.flatnonzero(table.cell >= 0)
    dummies = (table.cell[members, None] == np.array(table.filled)).astype(np.float64)
    trials = [ends.trials[place] for place in members.tolist()]
    others = controls(ends.data.parameters, trials, (table.a.path, table.b.path), dummies)
    if values is None:
        own = np.zeros((len(ends.trials), dummies.shape[1] - 1))
        own[members] = dummies[:, 1:]
        values = ends.ends(own)
    return fit(np.column_stack([dummies, others]), values[members])


def _cells(table: _Table, regression: Fit, ends: ImputedOutcomes) -> tuple[Cell, ...]:
    columns = len(table.b_levels.cuts)
    cells = []
    for row, a in enumerate(table.a_levels.cuts):
        for column, b in enumerate(table.b_levels.cuts):
            place = row * columns + column
            here = (table.a_levels.place == row) & (table.b_levels.place == column)
            mean = low = high = None
            if place in table.filled:
                at = table.filled.index(place)
                mean, low, high = mean_of(regression, at, metric=ends.data.metric)
            cells.append(
                Cell(a=a.label, b=b.label, trials=int(here.sum()), mean=mean, low=low, high=high)
            )
    return tuple(cells)


def _dependence(table: _Table, which: int, estimate: float, reach: float) -> Dependence:
    columns = len(table.b_levels.cuts)
    first, second, _, far = table.corners[which]
    level, other = first // columns, second // columns
    where, elsewhere = first % columns, far % columns
    if estimate < 0:
        where, elsewhere, estimate = elsewhere, where, -estimate
    a, b = table.a_levels.cuts, table.b_levels.cuts
    return Dependence(
        level=a[level].label,
        other=a[other].label,
        where=b[where].label,
        elsewhere=b[elsewhere].label,
        difference=Interval(estimate=estimate, low=estimate - reach, high=estimate + reach),
    )


def _together(one: SearchedParameter, other: SearchedParameter) -> bool:
    """Whether a configuration may have both, and neither decides whether the other applies."""
    if one.path in other.branch or other.path in one.branch:
        return False
    common_paths = one.branch.keys() & other.branch.keys()
    return all(one.branch[path] == other.branch[path] for path in common_paths)
