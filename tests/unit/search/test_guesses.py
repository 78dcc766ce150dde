"""Draws near the priors of parameters: how many, how near, and that wrong ones fade out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.searching import FixedHistory, past_trial

from hpsearch.errors import UserError
from hpsearch.search.guesses import (
    HALVED_AFTER,
    MAX_INFEASIBLE,
    SHARE,
    WEIGHT,
    near,
    share_of_draws,
)
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.enumerated import at_unit, unit_of
from hpsearch.search.starts import Starts
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.search.trust import Start
from hpsearch.study_file.space import Branch, Choice, Draw, Group, Guess, Range, Space

LR = Range(low=1e-4, high=1.0, log=True, guess=Guess(0.05, "high"))
SPACE = Space(
    Group(
        {
            "optimizer": Branch(
                {
                    "sgd": Group({"lr": LR, "momentum": Range(low=0.0, high=0.95)}),
                    "adam": Group({"lr": Range(low=1e-4, high=1e-2, log=True)}),
                }
            ),
            "batch_size": Choice((16, 32, 64, 128), guess=Guess(64)),
            "warmup": Range(low=0, high=10, step=1, integer=True, guess=Guess(2, "low")),
        }
    )
)


class History(FixedHistory):
    """Has trials near the priors and others as well."""

    compared: tuple[Start, ...] = ()

    def guessed(self, *, maximize: bool) -> list[Start]:
        assert maximize
        return list(self.compared)


def draw(
    ticket: int,
    *,
    sampler: str = "random",
    history: History | None = None,
    infeasible: int = 0,
    space: Space = SPACE,
    **others: object,
) -> DrawnTrial:
    trial = draw_trial(
        SAMPLERS[sampler].build(),
        space,
        history or History(),
        study_seed=7,
        ticket=ticket,
        infeasible=infeasible,
        point=ticket - 1 if sampler == "qmc" else None,
        **others,  # type: ignore[arg-type]
    )
    assert trial is not None
    return trial


def learned(count: int = 15) -> History:
    return History(
        [
            past_trial(n, draw(n + 1, space=plain(SPACE)).params, SPACE, value=n % 5 / 5)
            for n in range(count)
        ]
    )


def plain(space: Space) -> Space:
    """Return the space without priors."""

    def strip(node):
        match node:
            case Group(children):
                return Group({key: strip(child) for key, child in children.items()})
            case Branch(options):
                return Branch({name: strip(option) for name, option in options.items()})
        return replace(node, guess=None)

    return Space(strip(space.root))


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "forest", "qmc"])
def test_the_first_free_ticket_takes_the_priors_in_every_sampler(sampler):
    first = draw(1, sampler=sampler)
    assert first.guessed
    assert (first.params["batch_size"], first.params["warmup"]) == (64, 2)
    first_points = ({"optimizer": "sgd"}, {"batch_size": 16})
    trial = draw(2, sampler=sampler, try_first=first_points)
    assert trial.from_try_first and trial.guessed is None and trial.params["batch_size"] == 16
    later = draw(3, sampler=sampler, try_first=first_points)
    assert later.guessed and (later.params["batch_size"], later.params["warmup"]) == (64, 2)
    # If it can't be built, the next draw isn't the same again
    assert draw(1, sampler=sampler, infeasible=1).params != first.params


def test_a_prior_of_a_branch_applies_if_the_branch_is_drawn():
    for name in ("sgd", "adam"):
        only = Space(Group({**SPACE.root.children, "optimizer": Choice((name,))}))
        assert "optimizer.sgd.lr" not in draw(1, space=only).params
    points = [draw(1, sampler=sampler).params for sampler in ("random", "gp", "forest", "qmc")]
    assert {point["optimizer"] for point in points} == {"sgd", "adam"}
    for point in points:
        assert point.get("optimizer.sgd.lr", 0.05) == 0.05
        assert ("optimizer.sgd.lr" in point) == (point["optimizer"] == "sgd")


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "forest", "qmc"])
def test_a_branch_is_drawn_near_its_prior_too(sampler):
    branch = replace(SPACE.root.children["optimizer"], guess=Guess("adam", "high"))
    space = Space(Group({**SPACE.root.children, "optimizer": branch}))
    first = draw(1, sampler=sampler, space=space)
    assert first.params["optimizer"] == "adam" and "optimizer.sgd.lr" not in first.params
    near_it = [
        trial for n in range(2, 30) if (trial := draw(n, sampler=sampler, space=space)).guessed
    ]
    counts = Counter(trial.params["optimizer"] for trial in near_it)
    assert counts["adam"] > 2 * counts["sgd"] and all(
        ("optimizer.sgd.lr" in trial.params) == (trial.params["optimizer"] == "sgd")
        for trial in near_it
    )


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "forest", "qmc"])
def test_half_of_the_draws_are_near_the_priors_and_the_others_the_samplers_own(sampler):
    history = learned() if sampler in ("tpe", "forest") else History()
    trials = {ticket: draw(ticket, sampler=sampler, history=history) for ticket in range(2, 14)}
    guessed = [ticket for ticket, trial in trials.items() if trial.guessed]
    assert 0 < len(guessed) < len(trials)
    for ticket in trials.keys() - guessed:
        same = draw(ticket, sampler=sampler, history=history, space=plain(SPACE))
        assert (trials[ticket].params, trials[ticket].guessed) == (same.params, False)
        assert same.guessed is None


@pytest.mark.parametrize("sampler", ["random", "forest"])
def test_a_draw_follows_from_seed_ticket_and_history_alone(sampler):
    history = learned()
    for ticket in range(1, 12):
        assert draw(ticket, sampler=sampler, history=history) == draw(
            ticket, sampler=sampler, history=history
        )


def start(by_prior: bool, score: float) -> Start:
    return Start(by_prior=by_prior, scores={1: score})


def share(history: History, *, tickets: Sequence[int] = range(100, 300)) -> float:
    return sum(bool(draw(ticket, history=history).guessed) for ticket in tickets) / len(tickets)


def test_priors_fade_out_as_results_disagree():
    history = History()
    assert share(history) == pytest.approx(SHARE, abs=0.1)
    good = [start(True, 0.9)] * 3 + [start(False, 0.5)] * 3
    history.compared = tuple(good)
    assert share(history) == pytest.approx(SHARE, abs=0.1)
    # Two of ten pairs are won
    history.compared = tuple([start(True, 0.5)] * 5 + [start(False, 0.9)] * 4 + [start(False, 0.1)])
    assert share(history) == pytest.approx(SHARE * 0.16, abs=0.06)
    history.compared = tuple([start(True, 0.1)] * 3 + [start(False, 0.5)] * 3)
    assert share(history) == 0


def test_priors_fade_out_as_the_sampler_learns_and_stay_if_it_does_not():
    assert share_of_draws(None, tickets=0) == SHARE
    assert share_of_draws(None, tickets=HALVED_AFTER) == SHARE / 2
    assert share_of_draws(0.9, tickets=0) == SHARE
    assert share_of_draws(0.25, tickets=0) == SHARE / 4
    history = learned()
    late = [draw(ticket, sampler="tpe", history=history).guessed for ticket in range(500, 530)]
    assert sum(map(bool, late)) <= 3
    assert share(History(), tickets=range(500, 600)) == pytest.approx(SHARE, abs=0.12)


def test_after_some_draws_that_cannot_be_built_the_sampler_draws_alone():
    for ticket in range(1, 10):
        trial = draw(ticket, infeasible=MAX_INFEASIBLE)
        alone = draw(ticket, infeasible=MAX_INFEASIBLE, space=plain(SPACE))
        assert trial.guessed is False and trial.params == alone.params


def test_what_was_tried_is_drawn_again():
    space = Space(Group({"a": Choice((1, 2, 3), guess=Guess(2, "high"))}))
    first = draw(1, space=space)
    history = History([past_trial(0, first.params, space, value=0.5)])
    assert all(
        draw(ticket, space=space, history=history).params["a"] != 2 for ticket in range(2, 9)
    )


@pytest.mark.parametrize(
    "parameter",
    [
        LR,
        Range(low=0.0, high=0.95, guess=Guess(0.9, "high")),
        Range(low=0.0, high=1.0, step=0.1, guess=Guess(0.1, "high")),
        Range(low=1, high=64, log=True, integer=True, guess=Guess(60, "high")),
        Range(low=16, high=128, step=16, integer=True, guess=Guess(16, "high")),
    ],
)
def test_numbers_are_near_their_prior_by_confidence(parameter):
    guess = parameter.guess
    assert at_unit(parameter, unit_of(parameter, guess.value)) == pytest.approx(guess.value)
    distances = []
    for confidence in ("high", "medium", "low"):
        rng = np.random.default_rng(3)
        values = [near(parameter, Guess(guess.value, confidence), rng) for _ in range(300)]
        assert all(parameter.contains(value) for value in values)
        middle = unit_of(parameter, guess.value)
        distances.append(np.mean([abs(unit_of(parameter, value) - middle) for value in values]))
    assert distances[0] < 0.15 and distances == sorted(distances)


@pytest.mark.parametrize("confidence", ["low", "medium", "high"])
def test_a_choice_takes_its_prior_by_its_weight_and_the_others_alike(confidence):
    values = (None, [1, 2], "b", False)
    guess = Guess([1, 2], confidence)
    rng = np.random.default_rng(3)
    counts = Counter(near(Choice(values, guess=guess), guess, rng) for _ in range(3000))
    weight = WEIGHT[confidence]
    assert counts.keys() == {None, "[1,2]", "b", False}
    assert counts["[1,2]"] / 3000 == pytest.approx(weight / (weight + 3), abs=0.04)
    assert max(counts[None], counts["b"], counts[False]) < 1.3 * min(
        counts[None], counts["b"], counts[False]
    )


class Smallest:
    """A learned prior: takes the smallest warm-up."""

    name = "smallest"

    def choose(self, candidates: Sequence[Draw]) -> tuple[int, bool]:
        warmups = [candidate.params["warmup"] for candidate in candidates]
        return warmups.index(min(warmups)), True


def test_the_studys_learned_prior_chooses_the_rest_and_is_not_judged_by_it():
    space = Space(
        Group(
            {
                "batch_size": SPACE.root.children["batch_size"],
                "warmup": Range(low=0, high=10, step=1, integer=True),
            }
        )
    )
    starts = Starts(Smallest(), maximize=True)
    history = History()
    history.starts = lambda *, maximize: []  # type: ignore[method-assign]
    trials = [draw(ticket, space=space, history=history, starts=starts) for ticket in range(1, 9)]
    assert (trials[0].params, trials[0].start) == ({"batch_size": 64, "warmup": 0}, None)
    for trial in trials:
        assert (trial.start is None) == trial.guessed
    assert any(trial.start == "smallest" for trial in trials)


def test_a_grid_refuses_priors():
    space = Space(Group({"batch_size": Choice((16, 32), guess=Guess(16))}))
    with pytest.raises(UserError, match="once, so that a prior has no effect, but batch_size has"):
        SAMPLERS["grid"].build().check(space)
    SAMPLERS["grid"].build().check(plain(space))
