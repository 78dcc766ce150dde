"""Random search spaces for hypothesis, and what it means to lie inside one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from hpsearch.study_file.space import (
    Branch,
    Choice,
    Draw,
    Fixed,
    Group,
    Node,
    Parameter,
    Range,
    Space,
)

KEYS = ("alpha", "beta", "gamma", "delta")


@st.composite
def int_ranges(draw: st.DrawFn) -> Range:
    """Integers: plain, stepped or logarithmic; a single one too."""
    low = draw(st.integers(1, 50))
    if draw(st.booleans()):
        return Range(low=low, high=low + draw(st.integers(0, 60)), log=True, integer=True)
    step = draw(st.integers(1, 9))
    return Range(low=low, high=low + step * draw(st.integers(0, 12)), step=step, integer=True)


@st.composite
def stepped_float_ranges(draw: st.DrawFn) -> Range:
    """Floats on a lattice, written as decimals in a file are (0.1 + 2 * 0.1 is 0.3 there)."""
    step = draw(st.sampled_from([0.1, 0.05, 0.25, 0.3, 1.0]))
    low = draw(st.integers(-30, 30)) / 10
    return Range(low=low, high=round(low + step * draw(st.integers(0, 12)), 6), step=step)


@st.composite
def continuous_ranges(draw: st.DrawFn) -> Range:
    """Floats without a step, linear or logarithmic."""
    if draw(st.booleans()):
        low = draw(st.sampled_from([1e-6, 1e-3, 0.1, 2.0]))
        return Range(low=low, high=low * draw(st.sampled_from([1.0, 1.5, 1e4])), log=True)
    low = draw(st.floats(-5, 5))
    return Range(low=low, high=low + draw(st.sampled_from([0.0, 0.1, 3.0])))


choices = st.sampled_from(
    [
        Choice((16, 32, 64)),
        Choice((False, True)),
        Choice(("relu", "gelu", None)),
        Choice(([64], [128, 64])),
        Choice((0.5,)),
        Choice(({"a": 1}, {"a": 2})),
    ]
)
fixed = st.sampled_from([Fixed(3), Fixed([1, 2]), Fixed(None)])


def groups(parameters: st.SearchStrategy[Node], depth: int) -> st.SearchStrategy[Group]:
    """Groups of up to three nodes, branches in them down to ``depth``."""
    nodes = st.one_of(fixed, parameters)
    if depth:
        inner = groups(parameters, depth - 1)
        branches = st.dictionaries(st.sampled_from(KEYS), inner, min_size=1, max_size=3)
        nodes = st.one_of(nodes, inner, branches.map(Branch))
    return st.dictionaries(st.sampled_from(KEYS), nodes, max_size=3).map(Group)


#: Spaces with every kind of node.
spaces = groups(
    st.one_of(int_ranges(), stepped_float_ranges(), continuous_ranges(), choices), 2
).map(Space)

#: Spaces with finitely many points.
finite_spaces = groups(st.one_of(int_ranges(), stepped_float_ranges(), choices), 2).map(Space)


def assert_inside(space: Space, drawn: Draw) -> None:
    """The draw has exactly the parameters that apply, each one a value that its range holds."""
    parameters = space.parameters()
    for path, value in drawn.params.items():
        assert is_inside(parameters[path], value), f"{path} = {value!r}: {parameters[path]}"
    # freeze raises where one is missing; equality shows that none is too many.
    assert space.freeze(drawn.params) == drawn
    assert_concrete(drawn.config)


def is_inside(parameter: Parameter, value: Any) -> bool:
    """Whether a trial may hold ``value``, types included (3.0 is no integer)."""
    if isinstance(parameter, Choice):
        return parameter.contains(value)
    if type(value) is not (int if parameter.integer else float):
        return False
    return parameter.contains(value)


def assert_concrete(config: Any) -> None:
    """No node of the space is left in ``config``."""
    assert not isinstance(config, Fixed | Range | Choice | Group | Branch)
    if isinstance(config, Mapping):
        for value in config.values():
            assert_concrete(value)
