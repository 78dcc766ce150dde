"""A trial that stops early is complete; what a trial's row gets at its end."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from support.ledger import LEASE, Hand, LosesAnswers, Search, line_row, open_search
from support.searching import epoch_metrics, study_file

from hpsearch.errors import LeaseLost
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.types import CheckpointRef, Claim

MATRIX = [[7, 1], [2, 5]]
CHECKPOINT = CheckpointRef(key="line/1/epoch_1.pt", sha256="0" * 64, epoch=1)


@pytest.mark.parametrize(("at", "value"), [("last", 0.7), ("best", 0.9)])
def test_stopped_early_is_complete(search, at, value):
    opened = search(trials=2, epochs=50, at=at)
    hand = opened.hand()
    claim = hand.started()
    assert hand.report(claim, 1, 0.9) == "continue"
    assert hand.report(claim, 2, 0.7, last=True) == "complete"
    ticket = opened.ticket()
    assert (ticket.state, ticket.owner, ticket.epochs_done) == (TicketState.COMPLETE, None, 2)
    assert (ticket.value, ticket.best_value, ticket.best_epoch) == (0.7, 0.9, 1)
    (trial,) = opened.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, value)
    assert trial.intermediate_values == {1: 0.9, 2: 0.7}
    assert opened.event_log(1)[-1].detail == {"epoch": 2, "value": value}
    assert [each.epoch for each in queries.curve(opened.database, opened.study_id, 1)] == [1, 2]
    assert hand.claim().ticket == 2


def test_what_stopped_early_is_not_pruned(search):
    """As the last epoch isn't: nothing would be saved by it."""
    opened = search(trials=4, epochs=9, pruner="asha", settings={"stop": True})
    hands = [opened.hand(f"worker-{number}") for number in range(4)]
    claims = [hand.started() for hand in hands]
    for hand, claim in zip(hands[:3], claims[:3], strict=True):
        hand.report(claim, 1, 0.9)
    assert hands[3].report(claims[3], 1, 0.1, last=True) == "complete"
    assert opened.ticket(4).state == TicketState.COMPLETE


def heir_of_a_dead_worker(opened: Search) -> tuple[Hand, Claim]:
    """The dead one reported three epochs; its checkpoint is that of the first."""
    dead, heir = opened.hand("dead"), opened.hand("heir")
    claim = dead.started()
    dead.report(claim, 1, 0.5, CHECKPOINT)
    dead.report(claim, 2, 0.9)
    dead.report(claim, 3, 0.6)
    heir.claims.claim()
    heir.look(LEASE)
    return heir, heir.claim()


@pytest.mark.parametrize(("at", "value"), [("last", 0.6), ("best", 0.9)])
def test_an_heir_may_stop_at_an_epoch_that_was_reported_already(search, at, value):
    """On another device the digits differ: the trial ends with the figures that the ledger has."""
    opened = search(trials=1, epochs=50, at=at)
    heir, claim = heir_of_a_dead_worker(opened)
    assert claim.epochs_done == 3
    assert heir.report(claim, 2, 0.8, last=True, val_confusion=MATRIX) == "complete"
    ticket = opened.ticket()
    assert (ticket.state, ticket.owner, ticket.epochs_done) == (TicketState.COMPLETE, None, 3)
    (trial,) = opened.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, value)
    assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.6}
    assert trial.user_attrs["val_confusion"] == MATRIX
    assert opened.events(1)[-2:] == ["epoch_redone", "complete"]


@pytest.fixture
def lossy(prepared_url):
    database = LosesAnswers(prepared_url)
    yield database
    database.close()


def test_an_answer_that_got_lost_there_is_given_again(lossy):
    opened = open_search(lossy, study_file(trials=1, epochs=50))
    heir, claim = heir_of_a_dead_worker(opened)
    lossy.to_lose = 1
    assert heir.report(claim, 2, 0.8, last=True, val_confusion=MATRIX) == "complete"
    assert lossy.to_lose == 0
    assert opened.events(1).count("complete") == 1
    assert "write_refused" not in opened.events()


def test_a_late_worker_isnt_told_of_its_heirs_end(search):
    """The ticket is complete, but not by this attempt: its reports stay refused."""
    opened = search(trials=1, epochs=50)
    late, heir = opened.hand("late"), opened.hand("heir")
    claim = late.started()
    heir.claims.claim()
    heir.look(LEASE)
    heir.report(heir.claim(), 1, 0.5, last=True)
    with pytest.raises(LeaseLost):
        late.report(claim, 1, 0.5, last=True)


class TestConfusionMatrix:
    @pytest.mark.parametrize(
        ("last", "state"), [(True, TrialState.COMPLETE), (False, TrialState.PRUNED)]
    )
    def test_with_the_row_of_an_ended_trial(self, search, last, state):
        opened = search(trials=4, epochs=9, pruner="asha", settings={"stop": True})
        for number in range(3):
            good = opened.hand(f"good-{number}")
            good.report(good.started(), 1, 0.9, val_confusion=[[9, 9], [9, 9]])
        hand = opened.hand()
        hand.report(hand.started(), 1, 0.1, val_confusion=MATRIX, last=last)
        *running, ended = opened.trials()
        assert ended.state == state
        assert ended.user_attrs["val_confusion"] == MATRIX
        assert all("val_confusion" not in trial.user_attrs for trial in running)

    def test_once_where_the_answer_got_lost(self, lossy):
        opened = open_search(lossy, study_file(trials=1, epochs=1))
        hand = opened.hand()
        claim = hand.started()
        lossy.to_lose = 2
        assert hand.report(claim, 1, 0.5, val_confusion=MATRIX) == "complete"
        assert lossy.to_lose == 0
        assert opened.trials()[0].user_attrs["val_confusion"] == MATRIX

    def test_none_where_none_was_kept(self, search):
        opened = search(trials=1, epochs=1)
        hand = opened.hand()
        hand.finish(hand.started(line_row(0.5)), [0.5])
        assert "val_confusion" not in opened.trials()[0].user_attrs


@pytest.mark.parametrize("metric", ["val_macro_f1", "val_balanced_accuracy"])
def test_the_objectives_for_uneven_classes(search, metric):
    opened = search(trials=1, epochs=2, metric=metric)
    hand = opened.hand()
    claim = hand.started()
    figures = {"val_accuracy": 0.99, "val_macro_f1": 0.5, "val_balanced_accuracy": 0.5}
    first = {**figures, metric: 0.25}
    hand.report(claim, 1, 0.1, **first)
    hand.report(claim, 2, 0.1, **{**figures, metric: 0.75})
    (trial,) = opened.trials()
    assert (trial.value, trial.intermediate_values) == (0.75, {1: 0.25, 2: 0.75})
    assert opened.optuna_study().best_value == 0.75
    assert queries.curve(opened.database, opened.study_id, 1)[0] == epoch_metrics(1, 0.1, **first)
