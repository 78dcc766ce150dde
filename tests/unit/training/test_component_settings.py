"""Settings as a study file holds them become what a component's function receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from hpsearch.registry import Component, Registry

SHAPES: Registry[Any] = Registry("shape")
THINGS: Registry[Any] = Registry("thing")
ROUND = Component("round")


@SHAPES.register("round")
def round_shape(*, radius: float = 1.0) -> float:
    return radius


@dataclass(frozen=True, kw_only=True)
class Group:
    width: int = 1
    height: int = 2
    shape: Annotated[Component, SHAPES] = ROUND


@THINGS.register("thing")
def thing(
    *,
    group: Group = Group(height=7),
    other: Group | None = None,
    shape: Annotated[Component, SHAPES] = ROUND,
    sizes: list[int] | None = None,
) -> tuple[Any, ...]:
    return group, other, shape, sizes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, (Group(height=7), None, ROUND, None), id="nothing given"),
        pytest.param(
            {"group": {"width": 5}},
            (Group(width=5, height=7), None, ROUND, None),
            id="part of a group: the rest is the default instance's",
        ),
        pytest.param(
            {"other": {"width": 5}},
            (Group(height=7), Group(width=5, height=2), ROUND, None),
            id="part of an optional group: the rest is the class's",
        ),
        pytest.param(
            {"group": Group(width=9)}, (Group(width=9), None, ROUND, None), id="a group as it is"
        ),
        pytest.param(
            {"shape": {"round": {"radius": 3}}},
            (Group(height=7), None, Component("round", {"radius": 3}), None),
            id="a component with settings",
        ),
        pytest.param(
            {"shape": "round"}, (Group(height=7), None, ROUND, None), id="a component by name"
        ),
        pytest.param(
            {"group": {"shape": {"round": {"radius": 4}}}},
            (Group(height=7, shape=Component("round", {"radius": 4})), None, ROUND, None),
            id="a component inside a group",
        ),
        pytest.param({"sizes": [1, 2]}, (Group(height=7), None, ROUND, [1, 2]), id="a list"),
    ],
)
def test_settings(settings: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert THINGS.build(Component("thing", settings)) == expected


def test_a_key_that_the_function_lacks() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        THINGS.build(Component("thing", {"colour": 1}))
