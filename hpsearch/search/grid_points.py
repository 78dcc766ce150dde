"""The points of a finite space, numbered: a group multiplies its children, a branch adds them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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
    if any(isinstance(each, Range) and not each.integer for each in parameters):
        return False
    distinct = {frozenset(each.items()) for each in points}
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
