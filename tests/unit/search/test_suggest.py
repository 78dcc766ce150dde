"""One whole configuration for a ticket: given, new, reproducible."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import TrialState
from support.searching import BRANCHED, FixedHistory, past_trial
from support.spaces import choices, groups, spaces

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.search import suggest
from hpsearch.search.history import distribution_of
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.enumerated import covers, grid_point, grid_size
from hpsearch.search.suggest import MAX_REPEATS, DrawnTrial, draw_trial
from hpsearch.study_file.space import Choice, Draw, Group, Range, Scalar, Space

COLOURS = Space(Group({"colour": Choice(("red", "green", "blue")), "size": Choice((1, 2))}))


def draw_ticket(
    ticket: int,
    *,
    name: str = "random",
    space: Space = BRANCHED,
    history: FixedHistory | None = None,
    study_seed: int = 7,
    infeasible: int = 0,
    point: int | None = None,
    try_first: tuple[Mapping[str, Scalar], ...] = (),
) -> DrawnTrial | None:
    return draw_trial(
        SAMPLERS[name].build(),
        space,
        history or FixedHistory(),
        study_seed=study_seed,
        ticket=ticket,
        infeasible=infeasible,
        point=point,
        try_first=try_first,
    )


@pytest.mark.parametrize(
    "name",
    ["random", "tpe", pytest.param("gp", id="gp in its random start")],
)
def test_a_draw_follows_from_seed_and_ticket_alone(name):
    # Whichever process, on whichever host, makes it.
    assert draw_ticket(3, name=name) == draw_ticket(3, name=name)
    others = [
        draw_ticket(4, name=name),
        draw_ticket(3, name=name, study_seed=8),
        draw_ticket(3, name=name, infeasible=1),
    ]
    values = [dict(draw.params) for draw in [draw_ticket(3, name=name), *others]]
    assert all(values.count(value) == 1 for value in values)


def test_parallel_workers_start_at_different_points():
    """One seed in every process would give every process the same start-up points."""
    points = {
        tuple(sorted(map(str, draw_ticket(ticket).params.items()))) for ticket in range(1, 33)
    }
    assert len(points) == 32


def test_the_whole_configuration_is_in_optunas_terms_too():
    draw = draw_ticket(1)
    assert list(draw.distributions) == list(draw.params)
    for path, value in draw.params.items():
        distribution = draw.distributions[path]
        assert distribution._contains(distribution.to_internal_repr(value))
    assert draw.config == BRANCHED.freeze(draw.params).config
    assert not draw.from_try_first


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        pytest.param(
            Choice((16, None, [1, 2])), CategoricalDistribution((16, None, "[1,2]")), id="choice"
        ),
        pytest.param(Range(low=0.1, high=0.5), FloatDistribution(0.1, 0.5), id="float"),
        pytest.param(
            Range(low=1e-4, high=1.0, log=True), FloatDistribution(1e-4, 1.0, log=True), id="log"
        ),
        pytest.param(
            Range(low=0.1, high=0.7, step=0.3), FloatDistribution(0.1, 0.7, step=0.3), id="lattice"
        ),
        pytest.param(
            Range(low=2, high=8, step=3, integer=True), IntDistribution(2, 8, step=3), id="integer"
        ),
        pytest.param(Range(low=2, high=8, integer=True), IntDistribution(2, 8), id="no step"),
        pytest.param(
            Range(low=1, high=64, step=1, log=True, integer=True),
            IntDistribution(1, 64, log=True),
            id="log integer",
        ),
    ],
)
def test_distribution_of(parameter, expected):
    assert distribution_of(parameter) == expected


@given(space=spaces)
@settings(deadline=None, derandomize=True, max_examples=50)
def test_every_parameter_survives_the_database(space):
    for parameter in space.parameters().values():
        distribution = distribution_of(parameter)
        assert json_to_distribution(distribution_to_json(distribution)) == distribution


def test_the_first_tickets_take_what_was_given():
    try_first = ({"optimizer": "adam", "optimizer.adam.lr": 3e-3}, {"batch_size": 48})
    first, second, third = (draw_ticket(ticket, try_first=try_first) for ticket in (1, 2, 3))
    assert (first.params["optimizer"], first.params["optimizer.adam.lr"]) == ("adam", 3e-3)
    assert second.params["batch_size"] == 48
    assert (first.from_try_first, second.from_try_first, third.from_try_first) == (
        True,
        True,
        False,
    )
    # Missing keys are sampled, differently for each ticket.
    assert first.params["epochs_warmup"] != second.params["epochs_warmup"]


def test_a_given_configuration_that_cannot_be_built_is_not_tried_again():
    try_first = ({"optimizer": "adam", "optimizer.adam.lr": 3e-3},)
    again = draw_ticket(1, try_first=try_first, infeasible=1)
    assert not again.from_try_first
    assert again.params.get("optimizer.adam.lr") != 3e-3


def test_what_was_given_is_run_even_where_it_repeats_a_trial():
    history = FixedHistory([past_trial(0, {"colour": "red", "size": 1}, COLOURS, value=0.5)])
    given_again = draw_ticket(
        1, space=COLOURS, history=history, try_first=({"colour": "red", "size": 1},)
    )
    assert given_again.params == {"colour": "red", "size": 1}


@pytest.mark.parametrize(
    ("state", "infeasible"),
    [
        pytest.param(TrialState.COMPLETE, False, id="complete"),
        pytest.param(TrialState.RUNNING, False, id="running elsewhere"),
        pytest.param(TrialState.PRUNED, False, id="pruned"),
        pytest.param(TrialState.PRUNED, True, id="infeasible"),
    ],
)
def test_a_configuration_is_not_proposed_twice(state, infeasible):
    """Five of six points were tried: every ticket finds the sixth."""
    tried = [
        {"colour": colour, "size": size} for colour in ("red", "green", "blue") for size in (1, 2)
    ][:5]
    history = FixedHistory(
        [
            past_trial(
                number,
                params,
                COLOURS,
                value=0.5 if state is TrialState.COMPLETE else None,
                state=state,
                infeasible=infeasible,
            )
            for number, params in enumerate(tried)
        ]
    )
    points = [
        draw_ticket(ticket, space=COLOURS, history=history).params for ticket in range(10, 20)
    ]
    # A ticket misses it with probability (5/6) ** 20; with these seeds none does.
    assert points == [{"colour": "blue", "size": 2}] * 10


def test_a_failed_trial_may_be_proposed_again():
    # It says nothing about the configuration: the machine may have failed.
    space = Space(Group({"colour": Choice(("red",))}))
    history = FixedHistory([past_trial(0, {"colour": "red"}, space, state=TrialState.FAIL)])
    sampler = Counting()
    draw_trial(sampler, space, history, study_seed=1, ticket=2, infeasible=0, point=None)
    assert sampler.draws == 1


def test_a_sampler_that_finds_nothing_new_repeats_in_the_end():
    space = Space(Group({"colour": Choice(("red", "blue"))}))
    history = FixedHistory([past_trial(0, {"colour": "red"}, space, value=0.5)])
    sampler = Counting()
    draw = draw_trial(sampler, space, history, study_seed=1, ticket=2, infeasible=0, point=None)
    assert draw is not None
    assert draw.params == {"colour": "red"}
    assert sampler.draws == MAX_REPEATS
    assert len(sampler.seeds) == MAX_REPEATS, "each try has a seed of its own"


def test_a_space_that_is_used_up_is_drawn_from_twice():
    space = Space(Group({"colour": Choice(("red",))}))
    history = FixedHistory([past_trial(0, {"colour": "red"}, space, value=0.5)])
    sampler = Counting()
    draw_trial(sampler, space, history, study_seed=1, ticket=2, infeasible=0, point=None)
    assert sampler.draws == 2


@pytest.mark.parametrize("name", ["random", "tpe", "forest"])
def test_the_draw_from_a_used_up_space_is_the_one_that_twenty_tries_come_to(name, monkeypatch):
    space = Space(
        Group(
            {"colour": Choice(("red", "blue")), "size": Range(low=1, high=3, step=1, integer=True)}
        )
    )
    tried = [{"colour": colour, "size": size} for colour in ("red", "blue") for size in (1, 2, 3)]
    history = FixedHistory(
        [
            past_trial(number, params, space, value=number / 10)
            for number, params in enumerate(2 * tried)
        ]
    )
    quick = [draw_ticket(ticket, name=name, space=space, history=history) for ticket in (13, 14)]
    monkeypatch.setattr(suggest, "covers", lambda points, space: False)
    slow = [draw_ticket(ticket, name=name, space=space, history=history) for ticket in (13, 14)]
    assert quick == slow


few = st.integers(1, 4).map(lambda high: Range(low=1, high=high, step=1, integer=True))


@given(groups(few | choices, 1).map(Space), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_finite_space_is_covered_by_all_of_its_points_and_by_no_fewer(space, random):
    assume(grid_size(space) <= 300)
    points = [grid_point(space, index).params for index in range(grid_size(space))]
    assert covers([*points, points[0]], space)
    points.remove(random.choice(points))
    assert not covers([*points, *points[:1]], space)


def test_what_was_trained_and_broke_a_constraint_may_come_again():
    """It is no worse than any repeat; a space where all do must not fail its tickets."""
    space = Space(Group({"colour": Choice(("red",))}))
    history = FixedHistory([past_trial(0, {"colour": "red"}, space, value=0.5, infeasible=True)])
    chance = SAMPLERS.build(Component("random"))
    draw = draw_trial(
        Counting(), space, history, study_seed=1, ticket=2, infeasible=0, point=None, chance=chance
    )
    assert draw is not None
    assert draw.params == {"colour": "red"}


def test_what_cannot_be_built_is_never_repeated_however_the_sampler_insists():
    space = Space(Group({"colour": Choice(("red", *map(str, range(40))))}))
    marked = [{"colour": "red"}, *({"colour": str(number)} for number in range(39))]
    history = FixedHistory(
        [
            past_trial(number, params, space, state=TrialState.PRUNED, infeasible=True)
            for number, params in enumerate(marked)
        ]
    )
    sampler, chance = Counting(), SAMPLERS.build(Component("random"))
    for ticket in range(2, 12):
        draw = draw_trial(
            sampler,
            space,
            history,
            study_seed=1,
            ticket=ticket,
            infeasible=0,
            point=None,
            chance=chance,
        )
        assert draw is not None
        assert draw.params == {"colour": "39"}


def test_a_space_in_which_nothing_can_be_built_is_told():
    space = Space(Group({"colour": Choice(("red",))}))
    trial = past_trial(0, {"colour": "red"}, space, state=TrialState.PRUNED, infeasible=True)
    with pytest.raises(InfeasibleConfig, match="only configurations that are known not to be"):
        draw_trial(
            Counting(),
            space,
            FixedHistory([trial]),
            study_seed=1,
            ticket=2,
            infeasible=0,
            point=None,
            chance=Counting(),
        )


class Counting:
    """A sampler that always proposes red."""

    is_enumerated = False

    def __init__(self) -> None:
        self.draws = 0
        self.seeds: set[int] = set()

    def check(self, space: Space) -> None:
        pass

    def draw(self, request) -> Draw:
        self.draws += 1
        self.seeds.add(request.seed)
        return request.space.freeze({"colour": "red"})


def test_an_exhausted_grid_draws_nothing():
    assert draw_ticket(7, name="grid", space=COLOURS, point=5) is not None
    assert draw_ticket(7, name="grid", space=COLOURS, point=6) is None


@pytest.mark.parametrize("name", ["grid", "qmc"])
def test_enumerating_samplers_take_the_given_without_a_point(name):
    draws = [
        draw_ticket(ticket, name=name, space=COLOURS, try_first=({"colour": "red"},) * 8)
        for ticket in range(1, 9)
    ]
    assert all(draw is not None and draw.from_try_first for draw in draws)
    assert {draw.params["colour"] for draw in draws} == {"red"}
    assert {draw.params["size"] for draw in draws} == {1, 2}, "the rest is sampled"
