"""Training that stops early completes its trial, whoever reports the epoch and however often."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from support.ledger import LEASE, LosesAnswers, Search, open_search
from support.searching import study_file

from hpsearch.errors import LeaseLost
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.types import Idle


@pytest.mark.parametrize(("at", "value"), [("last", 0.6), ("best", 0.9)])
def test_the_epoch_at_which_training_stops_completes_the_trial(search, at, value):
    opened = search(trials=1, epochs=9, at=at)
    hand = opened.hand()
    claim = hand.started()
    hand.report(claim, 1, 0.9)
    assert hand.report(claim, 2, 0.6, last=True) == "complete"
    ticket = opened.ticket()
    assert (ticket.state, ticket.owner, ticket.epochs_done) == (TicketState.COMPLETE, None, 2)
    (trial,) = opened.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, value)
    assert hand.idle() is Idle.FINISHED


def test_what_stops_by_itself_is_not_pruned(search):
    """The worst at a rung, but it had already come to its end: complete, as its figures say."""
    opened = search(trials=3, epochs=9, pruner="asha", settings={"stop": True})
    for number in range(2):
        good = opened.hand(f"good-{number}")
        good.report(good.started(), 1, 0.9)
    hand = opened.hand()
    assert hand.report(hand.started(), 1, 0.1, last=True) == "complete"


def with_an_heir(opened: Search):
    """A worker that reported three epochs and died, and the one that starts the trial again."""
    dead, heir = opened.hand("dead"), opened.hand("heir")
    old = dead.started()
    for epoch, value in ((1, 0.5), (2, 0.8), (3, 0.7)):
        dead.report(old, epoch, value)
    heir.claims.claim()
    heir.look(LEASE)
    return dead, old, heir, heir.claim()


@pytest.mark.parametrize(("at", "value"), [("last", 0.7), ("best", 0.8)])
def test_an_heir_that_stops_at_an_epoch_done_before_ends_with_the_first_figures(search, at, value):
    """On another device the digits differ, and so may the epoch at which training stops."""
    opened = search(trials=1, epochs=9, at=at)
    dead, old, heir, claim = with_an_heir(opened)
    assert heir.report(claim, 1, 0.99) == "continue"
    assert heir.report(claim, 2, 0.99, last=True) == "complete"
    ticket = opened.ticket()
    assert (ticket.state, ticket.epochs_done) == (TicketState.COMPLETE, 3)
    (trial,) = opened.trials()
    assert (trial.value, trial.intermediate_values) == (value, {1: 0.5, 2: 0.8, 3: 0.7})
    with pytest.raises(LeaseLost):
        dead.report(old, 4, 0.9, last=True)
    assert opened.trials()[0].value == value


@pytest.mark.parametrize("again", [False, True], ids=["a new epoch", "an epoch done before"])
def test_its_end_is_written_once_where_the_answer_is_lost(prepared_url, again):
    database = LosesAnswers(prepared_url)
    opened = open_search(database, study_file(trials=1, epochs=9))
    _, _, heir, claim = with_an_heir(opened)
    database.to_lose = 2
    assert heir.report(claim, 2 if again else 4, 0.6, last=True) == "complete"
    assert database.to_lose == 0
    assert opened.events().count("complete") == 1
    assert opened.events().count("write_refused") == 0
    assert opened.trials()[0].value == (0.7 if again else 0.6)
    database.close()


@pytest.mark.parametrize("confusion", [None, [[3, 1], [0, 4]]])
def test_the_confusion_matrix_of_the_end_is_kept(search, confusion):
    opened = search(trials=1, epochs=2)
    hand = opened.hand()
    claim = hand.started()
    hand.report(claim, 1, 0.5, val_confusion=[[9, 9], [9, 9]])
    hand.report(claim, 2, 0.6, val_confusion=confusion)
    (trial,) = opened.trials()
    assert trial.user_attrs.get("val_confusion") == confusion
