"""Parameters as columns of a regression: levels of the examined one, columns of the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.reporting.analysis.observations import ObservedTrial
from hpsearch.reporting.analysis.parameters import SearchedParameter
from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.study_file.space import Choice, Scalar, format_value

Columns = NDArray[np.float64]

#: A range with more values than this is cut into bins; otherwise each value is a level.
MOST_VALUES = 6
#: Bins of a range.
BINS = 4
#: Fewest trials of a level.
LEAST = 4
#: Number of evenly spaced values that represent a range.
_EVEN = 48
#: A bin with a smaller share of the trials joins its neighbour.
LEAST_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One level: a value, or a bin."""

    label: str
    value: Scalar
    low_edge: float | None = None
    high_edge: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Levels:
    """A parameter's levels and the trials at each."""

    cuts: tuple[Cut, ...]
    #: int64 (trials,): index into ``cuts``, -1 if the parameter doesn't apply or its value has too
    #: few trials.
    place: NDArray[np.int64]
    #: Labels with too few trials.
    left_out: tuple[str, ...] = ()


def levels(
    parameter: SearchedParameter, trials: Sequence[ObservedTrial], *, bins: int = BINS
) -> Levels:
    """Return the parameter's levels.

    Args:
        parameter: The parameter.
        trials: The trials that are estimated from.
        bins: Number of bins of a range with many values.

    Returns:
        The levels: bins with too few trials are merged, values with too few are left out.
    """
    values = [trial.params.get(parameter.path) for trial in trials]
    applies = np.array([parameter.path in trial.params for trial in trials])
    domain = _values_of(parameter)
    if domain is None or (parameter.is_number and len(domain) > MOST_VALUES):
        return _bin(parameter, values, applies, bins)
    place = np.full(len(trials), -1, dtype=np.int64)
    cuts: list[Cut] = []
    left_out = []
    for value in domain:
        at_level = applies & np.array(
            [_same(trial_value, value) for trial_value in values], dtype=bool
        )
        if at_level.sum() >= LEAST:
            place[at_level] = len(cuts)
            cuts.append(Cut(label=format_value(value), value=value))
        else:
            left_out.append(format_value(value))
    return Levels(cuts=tuple(cuts), place=place, left_out=tuple(left_out))


def nuisance(
    parameters: Mapping[str, SearchedParameter],
    trials: Sequence[ObservedTrial],
    but: Sequence[str],
    degree: int,
) -> tuple[Columns, list[int]]:
    """Return columns that keep all parameters but ``but`` constant.

    A range is a polynomial of ``degree`` on its own scale, a choice has a column per value. A
    parameter that applies only in a branch is 0 elsewhere, and has mean 0 within the branch: over
    the branch's trials, or, if ``but`` contains that branch, over the values that the study allows.
    (Branches are compared over their whole ranges: a sampler tunes the branch that it prefers, so
    at its trials' settings that branch would look better.)

    Args:
        parameters: Path -> searched parameter.
        trials: The trials that are estimated from.
        but: Paths of the parameters that are examined.
        degree: Degree of the polynomials, 1 or more.

    Returns:
        The columns, float64 (trials, columns), and the parameter of each column, counted from 0.
    """
    nuisance_columns: list[Columns] = []
    groups: list[int] = []
    for path, parameter in parameters.items():
        if path in but:
            continue
        applies = np.array([path in trial.params for trial in trials])
        if applies.sum() < LEAST:
            continue
        group = max(groups, default=-1) + 1
        values = [trial.params.get(path) for trial in trials]
        even = _even(parameter) if parameter.branch.keys() & set(but) else []
        columns = _columns(parameter, [*values, *even], degree)
        for column in columns:
            column, allowed = column[: len(values)], column[len(values) :]
            middle = allowed.mean() if even else column[applies].mean()
            centred = np.where(applies, column - middle, 0.0)
            if np.ptp(centred) > 1e-12:
                nuisance_columns.append(centred)
                groups.append(group)
    return (
        np.column_stack(nuisance_columns) if nuisance_columns else np.zeros((len(trials), 0))
    ), groups


def controls(
    parameters: Mapping[str, SearchedParameter],
    trials: Sequence[ObservedTrial],
    but: Sequence[str],
    own: Columns,
) -> Columns:
    """Return columns that keep the other parameters constant, as finely as the trials allow.

    Args:
        parameters: Path -> searched parameter.
        trials: The trials that are estimated from.
        but: Paths of the parameters that are examined.
        own: The examined parameters' columns, float64 (trials, columns).

    Returns:
        float64 (trials, columns). Each column is linearly independent of ``own`` and of the others.
    """
    for degree, share in ((3, 4), (2, 4), (1, 3)):
        columns, _ = nuisance(parameters, trials, but, degree)
        columns = _independent(columns, own)
        if columns.shape[1] + own.shape[1] <= len(trials) / share:
            break
    return columns


def _independent(columns: Columns, own: Columns) -> Columns:
    if not columns.shape[1]:
        return columns
    from scipy.linalg import qr

    inside, _ = np.linalg.qr(own)
    left = columns - inside @ (inside.T @ columns)
    _, triangle, order = qr(left, mode="economic", pivoting=True)
    size = np.abs(np.diag(triangle))
    usable = order[: len(size)][size > 1e-6 * max(float(size.max()), 1.0)]
    return columns[:, np.sort(usable)]


def on_scale(parameter: SearchedParameter, value: float) -> float:
    """Return the position of a number on the parameter's own scale, 0..1 over its range."""
    low, high = bounds(parameter)
    if parameter.is_log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.0


def bounds(parameter: SearchedParameter) -> tuple[float, float]:
    """Return the least and the largest number of a parameter."""
    if isinstance(parameter.parameter, Choice):
        numbers = [float(label) for label in parameter.parameter.labels]  # type: ignore[arg-type]
        return min(numbers), max(numbers)
    return float(parameter.parameter.low), float(parameter.parameter.high)


def _values_of(parameter: SearchedParameter) -> list[Scalar] | None:
    """Return every value in order; ``None`` for a continuous range or one with many values."""
    space = parameter.parameter
    if isinstance(space, Choice):
        labels = list(space.labels)
        return sorted(labels) if parameter.is_number else labels  # type: ignore[type-var]
    step = 1.0 if space.integer and space.step is None else space.step
    if step is None or (space.log and not space.integer):
        return None
    count = math.floor((space.high - space.low) / step + 1e-9) + 1
    if count > MOST_VALUES:
        return None
    numbers = [space.low + place * step for place in range(count)]
    return [int(number) if space.integer else number for number in numbers]


def _bin(
    parameter: SearchedParameter, values: Sequence[Scalar], applies: NDArray[np.bool_], bins: int
) -> Levels:
    low, high = bounds(parameter)
    log = parameter.is_log or (isinstance(parameter.parameter, Choice) and low > 0)
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    numbers = np.array(
        [float(value) if has else np.nan for value, has in zip(values, applies, strict=True)]  # type: ignore[arg-type]
    )
    least = max(LEAST, LEAST_SHARE * applies.sum())
    bin_edges = list(edges)
    while len(bin_edges) > 2:
        place = _place(numbers, bin_edges)
        counts = np.bincount(place[place >= 0], minlength=len(bin_edges) - 1)
        small = int(counts.argmin())
        if counts[small] >= least:
            break
        # The small bin joins its smaller neighbour
        left = counts[small - 1] if small > 0 else np.inf
        right = counts[small + 1] if small + 1 < len(counts) else np.inf
        del bin_edges[small if left <= right else small + 1]
    place = _place(numbers, bin_edges)
    whole = not isinstance(parameter.parameter, Choice) and parameter.parameter.integer
    cuts = tuple(
        _cut(bin_edges[at], bin_edges[at + 1], at, whole) for at in range(len(bin_edges) - 1)
    )
    return Levels(cuts=cuts, place=place)


def _cut(low: float, high: float, at: int, whole: bool) -> Cut:
    if whole:
        first, last = math.ceil(low) if at == 0 else math.floor(low) + 1, math.floor(high)
        label = f"{first} to {last}" if last > first else str(first)
    else:
        label = f"{format_value(float(low))} to {format_value(float(high))}"
    return Cut(label=label, value=None, low_edge=float(low), high_edge=float(high))


def _place(numbers: Columns, edges: Sequence[float]) -> NDArray[np.int64]:
    inner = np.asarray(edges[1:-1], dtype=np.float64)
    place = np.searchsorted(inner, np.nan_to_num(numbers), side="left").astype(np.int64)
    place[np.isnan(numbers)] = -1
    return place


def _columns(parameter: SearchedParameter, values: Sequence[Scalar], degree: int) -> list[Columns]:
    domain = _values_of(parameter)
    distinct = {format_value(value) for value in values if value is not None}
    if domain is not None and (not parameter.is_number or len(domain) <= degree + 1):
        return [
            np.array([float(_same(trial_value, value)) for trial_value in values])
            for value in domain[1:]
            if format_value(value) in distinct
        ]
    low, _ = bounds(parameter)
    if isinstance(parameter.parameter, Choice) and low > 0:
        scaled = _on_log_scale(parameter, values)
    else:
        scaled = np.array(
            [0.0 if value is None else on_scale(parameter, float(value)) for value in values]
        )
    centred = 2 * scaled - 1
    return [np.polynomial.legendre.Legendre.basis(power)(centred) for power in range(1, degree + 1)]


def _even(parameter: SearchedParameter) -> list[Scalar]:
    """Return values that represent everything that the study allows, with equal probability."""
    if isinstance(parameter.parameter, Choice):
        return list(parameter.parameter.labels)
    return [at_unit(parameter.parameter, (place + 0.5) / _EVEN) for place in range(_EVEN)]


def _on_log_scale(parameter: SearchedParameter, values: Sequence[Scalar]) -> Columns:
    low, high = (math.log(bound) for bound in bounds(parameter))
    numbers = [low if value is None else math.log(float(value)) for value in values]
    return (np.array(numbers) - low) / (high - low if high > low else 1.0)


def _same(one: Scalar, other: Scalar) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return isinstance(one, bool) is isinstance(other, bool) and math.isclose(one, other)
    return one == other
