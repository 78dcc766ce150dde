"""Starts that a prior chooses: when, which tickets, how much it is trusted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from optuna.trial import TrialState
from support.searching import BRANCHED, FixedHistory, past_trial

from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.starts import CANDIDATES, MAX_INFEASIBLE, RANDOM_EVERY, Starts
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.search.trust import LEAST_COMPARED, RANDOM, Start, trust_in
from hpsearch.study_file.space import Draw, Space


class Lowest:
    """Chooses the smallest batch; has no say if the first point's epochs_warmup is odd."""

    name = "lowest"

    def __init__(self, *, always: bool = True) -> None:
        self.always = always
        self.asked: list[int] = []

    def choose(self, candidates: Sequence[Draw]) -> tuple[int, bool]:
        self.asked.append(len(candidates))
        if not self.always and candidates[0].params["epochs_warmup"] % 2:
            return 0, False
        sizes = [candidate.params["batch_size"] for candidate in candidates]
        return sizes.index(min(sizes)), True


class History(FixedHistory):
    """Has starts as well."""

    past_starts: tuple[Start, ...] = ()

    def starts(self, *, maximize: bool) -> list[Start]:
        assert maximize
        return list(self.past_starts)


def draw(
    ticket: int,
    *,
    prior: Lowest | None = None,
    sampler: str = "random",
    history: History | None = None,
    infeasible: int = 0,
    space: Space = BRANCHED,
    **others: object,
) -> DrawnTrial:
    trial = draw_trial(
        SAMPLERS[sampler].build(),
        space,
        history or History(),
        study_seed=7,
        ticket=ticket,
        infeasible=infeasible,
        point=0 if sampler in ("grid", "qmc") else None,
        starts=Starts(prior or Lowest(), maximize=True),
        **others,  # type: ignore[arg-type]
    )
    assert trial is not None
    return trial


def plain(ticket: int) -> DrawnTrial:
    trial = draw_trial(
        SAMPLERS["random"].build(), BRANCHED, History(), study_seed=7, ticket=ticket, infeasible=0,
        point=None,
    )  # fmt: skip
    assert trial is not None
    return trial


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_starts_are_the_priors_choice_but_for_every_fifth(sampler):
    prior = Lowest()
    trials = [draw(ticket, prior=prior, sampler=sampler) for ticket in range(1, 21)]
    by_prior = [trial.start == "lowest" for trial in trials]
    assert by_prior == [ticket % RANDOM_EVERY != 0 for ticket in range(1, 21)]
    assert all(trial.params["batch_size"] == 16 for trial in trials if trial.start == "lowest")
    assert {trial.start for trial in trials} == {"lowest", RANDOM}
    assert set(prior.asked) == {CANDIDATES}
    # Points differ, and a ticket's is what a random search would draw where the prior has no say
    assert len({tuple(trial.params.items()) for trial in trials}) == 20
    if sampler == "random":
        assert trials[4].params == plain(5).params


def test_a_start_follows_from_seed_ticket_and_history_alone():
    assert draw(3) == draw(3)
    assert draw(3).params not in (draw(4).params, draw(3, infeasible=1).params)


def test_points_that_the_prior_cannot_judge_stay_random():
    prior = Lowest(always=False)
    trials = [draw(ticket, prior=prior) for ticket in range(1, 60) if ticket % RANDOM_EVERY]
    unjudged = [
        trial for trial in trials if trial.params["epochs_warmup"] % 2 and trial.start == RANDOM
    ]
    assert 5 < len(unjudged) < len(trials) - 5
    assert {trial.params["batch_size"] for trial in unjudged} > {16}


def test_once_the_sampler_has_something_to_learn_from_it_decides():
    trials = [past_trial(number, plain(number + 1).params, BRANCHED, value=0.1 * number)
              for number in range(9)]  # fmt: skip
    history = History(trials)
    assert draw(11, sampler="tpe", history=history).start == "lowest"
    history.given.append(past_trial(9, plain(10).params, BRANCHED, value=0.5))
    trial = draw(11, sampler="tpe", history=history)
    assert trial.start is None
    # A random search never has
    assert draw(11, history=history).start == "lowest"
    # The Gaussian process learns from complete trials alone
    history.given[-1] = past_trial(
        9, plain(10).params, BRANCHED, value=0.5, state=TrialState.PRUNED
    )
    assert draw(11, sampler="tpe", history=history).start is None
    assert draw(11, sampler="gp", history=history).start == "lowest"


def test_what_is_given_or_enumerated_is_no_start():
    first_point = {"batch_size": 64}
    trial = draw(1, try_first=(first_point,))
    assert trial.params["batch_size"] == 64 and trial.start is None
    assert draw(1, sampler="qmc").start is None


def test_after_some_draws_that_cannot_be_built_chance_decides():
    for infeasible in range(MAX_INFEASIBLE):
        assert draw(1, infeasible=infeasible).start == "lowest"
    assert draw(1, infeasible=MAX_INFEASIBLE).start == RANDOM


def start(by_prior: bool, *scores: float, failed: bool = False) -> Start:
    return Start(by_prior=by_prior, scores=dict(enumerate(scores, 1)), failed=failed)


def test_trust_is_the_share_of_pairs_that_the_prior_wins_at_equal_epochs():
    ours = [start(True, 0.5), start(True, 0.1, 0.9), start(True, 0.3)]
    others = [start(False, 0.3, 0.4), start(False, 0.2), start(False, 0.9)]
    # 0.5 beats two at epoch 1; 0.9 at epoch 2 beats 0.4, 0.1 at epoch 1 nobody; 0.3 is equal once
    trust = trust_in([*ours, *others])
    assert (trust.by_prior, trust.random) == (3, 3)
    assert trust.share == pytest.approx((2 + 1 + 1.5) / 9)
    assert not trust_in([*ours, *others[:2]]).is_lost  # too few to say
    assert trust_in([*ours, *others[:2]]).share is None


def test_a_trial_that_failed_is_worse_than_any_and_one_without_a_value_counts_nowhere():
    failed = [start(True, 0.9, failed=True), start(True, failed=True), start(True)]
    others = [start(False, 0.1), start(False, failed=True), start(False, 0.2), start(False)]
    trust = trust_in([*failed, *others, start(True, 0.15)])
    assert (trust.by_prior, trust.random) == (3, 3)
    # Two failed ones equal the failed one; the third beats it and 0.1
    assert trust.share == pytest.approx((0.5 + 0.5 + 2) / 9)


def test_a_prior_whose_starts_are_worse_is_off_until_they_are_not():
    history = History()
    bad = [start(True, 0.1)] * LEAST_COMPARED
    history.past_starts = (*bad, *[start(False, 0.5)] * LEAST_COMPARED)
    assert draw(1, history=history).start == RANDOM
    assert draw(1, history=history).params == plain(1).params
    history.past_starts += (start(False, 0.05),) * 5
    assert draw(1, history=history).start == "lowest"


@pytest.mark.parametrize(
    ("wins", "lost"),
    # Of 16 pairs of four and four: a standard deviation is sqrt(9 / 192) = 0.217, 3.5 pairs
    [(8, False), (5, False), (4, True), (0, True)],
)
def test_an_unlucky_handful_switches_no_prior_off(wins, lost):
    others = [start(False, 0.1 + 0.2 * place) for place in range(4)]
    full, rest = divmod(wins, 4)
    ours = [start(True, 0.9)] * full + [start(True, 0.2 * rest)] + [start(True, 0.0)] * (3 - full)
    trust = trust_in([*ours[:4], *others])
    assert trust.share == pytest.approx(wins / 16)
    assert trust.is_lost == lost
