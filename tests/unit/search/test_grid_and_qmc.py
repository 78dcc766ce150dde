"""The samplers that walk one shared sequence of points."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import qmc as scipy_qmc
from support.searching import BRANCHED, FixedHistory
from support.spaces import assert_inside, continuous_ranges, finite_spaces, int_ranges, is_inside

from hpsearch.errors import UserError
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.enumerated import at_unit, grid_size
from hpsearch.search.samplers.sampler import Request
from hpsearch.study_file.space import Branch, Choice, Fixed, Group, Range, Space

FINITE = Space(
    Group(
        {
            "model": Branch(
                {
                    "cnn": Group(
                        {
                            "kernel": Range(low=2, high=5, step=1, integer=True),
                            "pool": Branch(
                                {
                                    "max": Group({"size": Choice((2, 3))}),
                                    "none": Group({}),
                                }
                            ),
                        }
                    ),
                    "mlp": Group({"hidden": Choice(([64], [128, 64]))}),
                }
            ),
            "dropout": Range(low=0.0, high=0.3, step=0.1),
            "fixed": Fixed(1),
        }
    )
)


def draw(
    name: str, space: Space, point: int | None, *, seed: int = 0, study_seed: int = 7, **fixed
):
    request = Request(
        space=space,
        history=FixedHistory(),
        seed=seed,
        study_seed=study_seed,
        fixed=fixed,
        point=point,
    )
    return SAMPLERS[name].build().draw(request)


def walk(space: Space, *, study_seed: int = 7) -> list[frozenset]:
    """Every point of the grid in its order."""
    points = []
    while (point := draw("grid", space, len(points), study_seed=study_seed)) is not None:
        assert_inside(space, point)
        points.append(frozenset(point.params.items()))
    return points


def test_grid_size_multiplies_groups_and_adds_branches():
    # cnn: 4 kernels x (2 sizes + 1) = 12; mlp: 2; together 14, times 4 dropouts
    assert grid_size(FINITE) == 56


def test_grid_enumerates_a_branched_space_once():
    points = walk(FINITE)
    assert len(points) == len(set(points)) == 56
    # Counted by hand: 4 kernels x 4 dropouts without pooling.
    without = [point for point in points if ("model.cnn.pool", "none") in point]
    assert len(without) == 16
    assert all(("model", "cnn") in point for point in without)


@given(space=finite_spaces)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_grid_enumerates_every_finite_space_once(space):
    size = grid_size(space)
    assume(size <= 300)
    points = walk(space)
    assert len(points) == len(set(points)) == size


def test_grid_order_is_seeded_and_shuffled():
    assert walk(FINITE) == walk(FINITE)
    assert walk(FINITE, study_seed=8) != walk(FINITE)
    # A budget below the size takes a random part: not one branch first.
    models = Counter(dict(point)["model"] for point in walk(FINITE)[:14])
    assert set(models) == {"cnn", "mlp"}


def test_grid_of_a_fixed_space_has_one_point():
    space = Space(Group({"lr": Fixed(0.1)}))
    assert draw("grid", space, 0).params == {}
    assert draw("grid", space, 1) is None


@pytest.mark.parametrize(
    ("space", "message"),
    [
        pytest.param(
            BRANCHED,
            "optimizer.sgd.lr, optimizer.sgd.momentum, optimizer.adam.lr is a range without a step",
            id="continuous ranges",
        ),
        pytest.param(
            Space(Group({f"p{n}": Range(low=1, high=100, step=1, integer=True) for n in range(4)})),
            "at most 10,000,000 points, but this one has 100,000,000",
            id="too large",
        ),
    ],
)
def test_grid_refuses(space, message):
    with pytest.raises(UserError) as caught:
        SAMPLERS["grid"].build().check(space)
    assert message in str(caught.value)


def test_grid_accepts_finite_spaces():
    SAMPLERS["grid"].build().check(FINITE)


@pytest.mark.parametrize(
    ("parameter", "unit", "expected"),
    [
        pytest.param(Choice(("a", "b", "c")), 0.0, "a", id="first choice"),
        pytest.param(Choice(("a", "b", "c")), 0.34, "b", id="second choice"),
        pytest.param(Choice(("a", "b", "c")), 0.999999, "c", id="last choice"),
        pytest.param(
            Range(low=1, high=4, step=1, integer=True), 0.25, 2, id="integers share alike"
        ),
        pytest.param(Range(low=1, high=4, step=1, integer=True), 0.999, 4, id="the last integer"),
        pytest.param(Range(low=0.0, high=0.3, step=0.1), 0.99, 0.3, id="the last step"),
        pytest.param(Range(low=0.0, high=10.0), 0.25, 2.5, id="linear"),
        pytest.param(Range(low=1e-4, high=1.0, log=True), 0.5, 1e-2, id="logarithmic"),
        pytest.param(Range(low=1, high=64, log=True, integer=True), 0.0, 1, id="log integer low"),
        pytest.param(
            Range(low=1, high=64, log=True, integer=True), 0.9999999, 64, id="log integer high"
        ),
    ],
)
def test_at_unit(parameter, unit, expected):
    value = at_unit(parameter, unit)
    assert value == pytest.approx(expected)
    assert type(value) is type(expected)


@given(
    parameter=st.one_of(continuous_ranges(), int_ranges()),
    unit=st.one_of(
        st.just(0.0), st.just(math.nextafter(1.0, 0.0)), st.floats(0, 1, exclude_max=True)
    ),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_at_unit_never_leaves_the_range(parameter, unit):
    assert is_inside(parameter, at_unit(parameter, unit))


def test_log_integers_have_their_share_of_the_scale():
    parameter = Range(low=1, high=8, log=True, integer=True)
    count = 20_000
    counts = Counter(at_unit(parameter, (n + 0.5) / count) for n in range(count))
    whole = math.log(8.5 / 0.5)
    for value in range(1, 9):
        share = math.log((value + 0.5) / (value - 0.5)) / whole
        assert counts[value] / count == pytest.approx(share, abs=0.001)


def plane(count: int, *, study_seed: int = 7) -> list[tuple[float, float]]:
    space = Space(Group({"x": Range(low=0.0, high=1.0), "y": Range(low=0.0, high=1.0)}))
    draws = [draw("qmc", space, point, study_seed=study_seed).params for point in range(count)]
    return [(point["x"], point["y"]) for point in draws]


def test_qmc_points_are_spread_out():
    """A Sobol net: 64 points put exactly one into each cell of every 64-cell partition."""
    points = plane(64)
    for columns, rows in ((64, 1), (16, 4), (8, 8), (4, 16), (1, 64)):
        cells = Counter((int(x * columns), int(y * rows)) for x, y in points)
        assert set(cells.values()) == {1}
    assert len(cells) == 64


def test_qmc_is_scipys_sequence():
    expected = scipy_qmc.Sobol(d=2, rng=7).random(16)
    assert plane(16) == [tuple(point) for point in expected]


def test_qmc_sequences_differ_between_studies():
    assert plane(4) != plane(4, study_seed=8)


def test_qmc_points_lie_inside_a_branched_space():
    for point in range(64):
        assert_inside(BRANCHED, draw("qmc", BRANCHED, point))


def test_qmc_of_a_fixed_space():
    assert draw("qmc", Space(Group({"lr": Fixed(0.1)})), 5).params == {}


def test_qmc_refuses_more_parameters_than_sobol_directions(monkeypatch):
    monkeypatch.setattr(scipy_qmc.Sobol, "MAXDIM", 3)
    with pytest.raises(UserError, match="at most 3 parameters, but there are 10"):
        SAMPLERS["qmc"].build().check(BRANCHED)
