"""Samplers of one shared sequence of points: the ledger gives out each point once.

(Optuna's GridSampler can't express branches and stops the study; its QMCSampler has a counter of
its own. Here the ticket's point is reserved in the same transaction as the ticket.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import numpy as np

from hpsearch.errors import UserError
from hpsearch.search.samplers.sampler import SAMPLERS, Request, Sampler
from hpsearch.study_file.space import (
    Branch,
    Choice,
    Draw,
    Fixed,
    Group,
    Node,
    Parameter,
    Range,
    Scalar,
    Space,
)

#: A grid has a seeded random order, which is in memory.
MAX_GRID = 10_000_000


@SAMPLERS.register("grid")
def grid() -> Sampler:
    """Every combination once, in a seeded random order; ends when there is none left.

    Float ranges need a step (or a list of values). If the budget is smaller than the grid, the
    search covers a random part of it.
    """
    return GridSampler()


@SAMPLERS.register("qmc")
def qmc() -> Sampler:
    """Scrambled Sobol points: spread more evenly than random ones (Sobol 1967, Owen 1998)."""
    return SobolSampler()


class GridSampler:
    """Enumerates the tree: a group multiplies its children, a branch adds its options."""

    is_enumerated = True
    learns = False

    def check(self, space: Space) -> None:
        """Refuse infinite or very large grids, and priors, which a grid can't use.

        Raises:
            UserError: A float range has no step, there are more than ``MAX_GRID`` points, or a
                parameter has a prior.
        """
        if space.guesses:
            raise UserError(
                "the grid sampler takes every combination once, so that a prior has no effect, but "
                f"{', '.join(space.guesses)} has one; remove prior and confidence there, or choose "
                "another sampler"
            )
        endless = [
            path
            for path, parameter in space.parameters().items()
            if isinstance(parameter, Range) and not parameter.integer and parameter.step is None
        ]
        if endless:
            raise UserError(
                "the grid sampler needs a finite number of values for every parameter, but "
                f"{', '.join(endless)} is a range without a step; give the range a step or a list "
                "of values, or choose another sampler"
            )
        size = grid_size(space)
        if size > MAX_GRID:
            raise UserError(
                f"a grid may have at most {MAX_GRID:,} points, but this one has {size:,}; "
                "use fewer values, or the random or qmc sampler"
            )

    def draw(self, request: Request) -> Draw | None:
        """Return the grid point with the request's number; ``None`` beyond the last one."""
        if request.point is None:  # `try_first` fixes some values; the others are random.
            rng = np.random.default_rng(request.seed)
            return _draw_fixed(
                request,
                lambda _, parameter: value_at(parameter, int(rng.integers(value_count(parameter)))),
            )
        size = grid_size(request.space)
        if request.point >= size:
            return None
        order = _shuffled(size, request.study_seed)
        return grid_point(request.space, int(order[request.point]))


class SobolSampler:
    """One dimension per parameter of every branch; dimensions that don't apply stay unused."""

    is_enumerated = True
    learns = False

    def check(self, space: Space) -> None:
        """Refuse spaces with too many parameters.

        Raises:
            UserError: There are more parameters than Sobol directions.
        """
        from scipy.stats.qmc import Sobol  # importing scipy.stats takes a second: only here

        most = Sobol.MAXDIM
        count = len(space.parameters())
        if count > most:
            raise UserError(
                f"the qmc sampler searches at most {most} parameters, but there are {count}"
            )

    def draw(self, request: Request) -> Draw:
        """Map the request's Sobol point onto the parameters that apply."""
        from scipy.stats.qmc import Sobol

        parameters = request.space.parameters()
        if not parameters:
            return request.space.freeze({})
        count = len(parameters)
        if request.point is None:  # `try_first` fixes some values; the others are random.
            point = np.random.default_rng(request.seed).random(count)
        else:
            engine = Sobol(d=count, rng=np.random.default_rng(request.study_seed))
            if request.point:  # scipy refuses to skip 0 points
                engine.fast_forward(request.point)
            point = engine.random(1)[0]
        units = dict(zip(parameters, point.tolist(), strict=True))
        return _draw_fixed(request, lambda path, parameter: at_unit(parameter, units[path]))


def at_unit(parameter: Parameter, unit: float) -> Scalar:
    """Map ``unit`` in [0, 1) onto a parameter's values, evenly on its scale."""
    if isinstance(parameter, Choice):
        return parameter.labels[int(unit * len(parameter.values))]
    low, high = parameter.low, parameter.high
    if parameter.log:
        # Each integer has the interval of half a unit around it.
        pad = 0.5 if parameter.integer else 0.0
        bottom, top = math.log(low - pad), math.log(high + pad)
        value = math.exp(bottom + unit * (top - bottom))
        # Clipped: logarithms round, and padded integers overshoot.
        value = min(max(value, low), high)
        return round(value) if parameter.integer else value
    if parameter.step is None:
        return min(low + unit * (high - low), high)
    return value_at(parameter, int(unit * value_count(parameter)))


def unit_of(parameter: Range, value: float) -> float:
    """Return the middle of the units in [0, 1) that ``at_unit`` maps onto ``value``."""
    low, high = parameter.low, parameter.high
    if parameter.log:
        pad = 0.5 if parameter.integer else 0.0
        bottom, top = math.log(low - pad), math.log(high + pad)
        return (math.log(value) - bottom) / (top - bottom)
    if parameter.step is None:
        return (value - low) / (high - low)
    return (round((value - low) / parameter.step) + 0.5) / value_count(parameter)


def _draw_fixed(request: Request, otherwise: Callable[[str, Parameter], Scalar]) -> Draw:
    return request.space.draw(
        lambda path, parameter: (
            request.fixed[path] if path in request.fixed else otherwise(path, parameter)
        )
    )


@lru_cache(maxsize=4)
def _shuffled(size: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(seed).permutation(size)


def grid_size(space: Space) -> int:
    """Return the number of points of a space without continuous ranges."""
    return value_count(space.root)


def grid_point(space: Space, index: int) -> Draw:
    """Return the ``index``-th point of a finite space."""
    return space.freeze(_values_at(space.root, index, ""))


def covers(points: Iterable[Mapping[str, Scalar]], space: Space) -> bool:
    """Whether ``points`` contain every point of ``space``; False if it has float ranges.

    The values of a float range with a step depend on rounding.
    """
    parameters = space.parameters().values()
    if any(isinstance(parameter, Range) and not parameter.integer for parameter in parameters):
        return False
    distinct = {frozenset(point.items()) for point in points}
    size = grid_size(space)
    return size <= len(distinct) and all(
        frozenset(grid_point(space, index).params.items()) in distinct for index in range(size)
    )


def value_count(node: Node) -> int:
    """Return how many values, or combinations of values, a node has."""
    match node:
        case Fixed():
            return 1
        case Choice(values):
            return len(values)
        case Range():
            step = 1 if node.step is None or node.log else node.step
            return math.floor((node.high - node.low) / step + 1e-9) + 1
        case Group(children):
            return math.prod(value_count(child) for child in children.values())
        case Branch(options):
            return sum(value_count(option) for option in options.values())


def _values_at(node: Node, index: int, path: str) -> dict[str, Scalar]:
    """Return the parameters of the ``index``-th combination below ``node``."""
    values: dict[str, Scalar] = {}
    match node:
        case Fixed():
            pass
        case Choice() | Range():
            values[path] = value_at(node, index)
        case Group(children):
            for key, child in children.items():
                index, rest = divmod(index, value_count(child))
                values |= _values_at(child, rest, f"{path}.{key}" if path else key)
        case Branch(options):
            for name, option in options.items():
                if index < value_count(option):
                    if len(options) > 1:
                        values[path] = name
                    return values | _values_at(option, index, f"{path}.{name}")
                index -= value_count(option)
    return values


def value_at(parameter: Parameter, index: int) -> Scalar:
    """Return the ``index``-th value of a parameter that isn't continuous."""
    if isinstance(parameter, Choice):
        return parameter.labels[index]
    step = 1 if parameter.step is None or parameter.log else parameter.step
    value = parameter.low + index * step
    return int(value) if parameter.integer else min(value, parameter.high)
