"""One epoch is one transaction: figures, decision, checkpoint, and the end of the trial."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from support.ledger import LEASE
from support.searching import epoch_metrics

from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.events import EventKind, event_log
from hpsearch.search.ledger.types import CheckpointRef


def checkpoint(epoch: int) -> CheckpointRef:
    return CheckpointRef(key=f"line/1/epoch_{epoch}.pt", sha256=f"{epoch:064d}", epoch=epoch)


def test_the_last_epoch_completes_the_trial(search):
    opened = search(trials=1, epochs=3)
    hand = opened.hand()
    claim = hand.started()
    decisions = [hand.report(claim, epoch, value) for epoch, value in [(1, 0.5), (2, 0.9)]]
    assert decisions == ["continue", "continue"]
    assert hand.report(claim, 3, 0.7) == "complete"
    ticket = opened.ticket()
    assert (ticket.state, ticket.owner, ticket.epochs_done) == (TicketState.COMPLETE, None, 3)
    assert (ticket.value, ticket.best_value, ticket.best_epoch) == (0.7, 0.9, 2)
    assert ticket.compute_seconds == 6.0
    (trial,) = opened.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.7)
    assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}
    assert trial.datetime_complete >= trial.datetime_start


def test_every_figure_of_an_epoch_is_kept(search):
    opened = search()
    hand = opened.hand()
    claim = hand.started()
    hand.report(claim, 1, 0.5, train_loss=1.25, train_accuracy=0.4, lr=1e-3, seconds=3.5)
    expected = epoch_metrics(1, 0.5, train_loss=1.25, train_accuracy=0.4, lr=1e-3, seconds=3.5)
    assert queries.curve(opened.database, opened.study_id, 1) == [expected]


@pytest.mark.parametrize(
    ("metric", "at", "values", "value", "best", "best_epoch"),
    [
        pytest.param("val_accuracy", "last", [0.5, 0.9, 0.7], 0.7, 0.9, 2, id="last"),
        pytest.param("val_accuracy", "best", [0.5, 0.9, 0.7], 0.9, 0.9, 2, id="best"),
        pytest.param("val_loss", "last", [0.5, 0.2, 0.3], 0.3, 0.2, 2, id="last, less is better"),
        pytest.param("val_loss", "best", [0.5, 0.2, 0.3], 0.2, 0.2, 2, id="best, less is better"),
        pytest.param("val_accuracy", "best", [0.9, 0.9, 0.9], 0.9, 0.9, 1, id="a tie: the first"),
    ],
)
def test_a_trials_value(search, metric, at, values, value, best, best_epoch):
    opened = search(metric=metric, at=at)
    hand = opened.hand()
    hand.finish(hand.started(), values)
    ticket = opened.ticket()
    assert (ticket.value, ticket.best_value, ticket.best_epoch) == (values[-1], best, best_epoch)
    (trial,) = opened.trials()
    assert trial.value == value
    assert opened.optuna_study().best_value == value


@pytest.mark.parametrize(
    ("metric", "good", "bad"), [("val_accuracy", 0.9, 0.1), ("val_loss", 0.1, 0.9)]
)
@pytest.mark.parametrize("at", ["last", "best"])
def test_pruning_ends_the_trial_with_its_value(search, metric, good, bad, at):
    opened = search(
        trials=4, epochs=9, metric=metric, at=at, pruner="asha", settings={"stop": True}
    )
    hand = opened.hand()
    for _ in range(3):
        hand.report(hand.started(), 1, good)
    late = opened.hand("late")
    claim = late.started()
    assert claim.ticket == 4
    assert late.report(claim, 1, bad) == "pruned"
    ticket = opened.ticket(4)
    assert (ticket.state, ticket.owner, ticket.epochs_done) == (TicketState.PRUNED, None, 1)
    trial = opened.trials()[3]
    assert (trial.state, trial.value) == (TrialState.PRUNED, bad)
    assert opened.events(4)[-1] == "pruned"


def test_the_rules_see_other_trials_at_the_same_epoch_only(search):
    opened = search(trials=4, epochs=9, pruner="asha", settings={"stop": True})
    hands = [opened.hand(f"worker-{number}") for number in range(4)]
    claims = [hand.started() for hand in hands]
    for hand, claim in zip(hands[:3], claims[:3], strict=True):
        hand.report(claim, 1, 0.9)
    # Worse than all three at epoch 1, but at its own epoch 2, which is no rung.
    hands[0].report(claims[0], 2, 0.1)
    assert hands[0].report(claims[0], 3, 0.1) == "continue", "alone at rung 3"
    assert hands[1].report(claims[1], 2, 0.9) == "continue"
    assert hands[3].report(claims[3], 1, 0.1) == "pruned"


def test_median_compares_with_completed_trials_only(search):
    opened = search(trials=9, epochs=2, pruner="median", settings={"startup_trials": 2})
    hand = opened.hand()
    for value in (0.5, 0.6):
        hand.finish(hand.started(), [value, value])
    for number in range(4):
        good = opened.hand(f"good-{number}")
        assert good.report(good.started(), 1, 0.9) == "continue"
    other = opened.hand("other")
    assert other.report(other.started(), 1, 0.56) == "continue", "the median is 0.55, not 0.9"
    assert hand.report(hand.started(), 1, 0.54) == "pruned"


def test_the_last_epoch_is_never_pruned(search):
    opened = search(trials=4, epochs=1, pruner="asha", settings={"stop": True})
    hand = opened.hand()
    decisions = [hand.finish(hand.started(), [value]) for value in (0.9, 0.8, 0.7, 0.1)]
    assert decisions == ["complete"] * 4


def test_reporting_an_epoch_again_changes_nothing(search):
    """The same attempt, after a commit whose answer was lost: the first answer, once."""
    opened = search(trials=4, epochs=9, pruner="asha", settings={"stop": True})
    last = opened.hand("last")
    for number in range(3):
        good = opened.hand(f"good-{number}")
        good.report(good.started(), 1, 0.9)
    claim = last.started()
    assert last.report(claim, 1, 0.1) == "pruned"
    events, ticket = opened.events(), opened.ticket(claim.ticket)
    # Even with other figures, even after the trial has ended.
    assert last.report(claim, 1, 0.99) == "pruned"
    assert opened.events() == events
    assert opened.ticket(claim.ticket) == ticket
    assert opened.trials()[3].intermediate_values == {1: 0.1}


def test_an_epoch_done_again_by_an_heir_keeps_the_first_figures(search):
    """Its checkpoint was older than its last report: epoch 2 is trained twice, counted once."""
    opened = search(trials=1, epochs=3)
    dead, heir = opened.hand("dead"), opened.hand("heir")
    claim = dead.started()
    dead.report(claim, 1, 0.5, checkpoint(1))
    dead.report(claim, 2, 0.6)
    heir.claims.claim()
    heir.look(LEASE)
    taken = heir.claim()
    assert (taken.epochs_done, taken.checkpoint) == (2, checkpoint(1))

    assert heir.report(taken, 2, 0.99, checkpoint(2)) == "continue"
    ticket = opened.ticket()
    assert (ticket.epochs_done, ticket.value, ticket.best_value) == (2, 0.6, 0.6)
    assert ticket.compute_seconds == 4.0
    assert (ticket.checkpoint_epoch, ticket.checkpoint) == (2, "line/1/epoch_2.pt")
    (redone,) = [event for event in opened.event_log(1) if event.kind == "epoch_redone"]
    assert (redone.attempt, redone.detail) == (2, {"epoch": 2})

    assert heir.report(taken, 3, 0.7) == "complete"
    curve = queries.curve(opened.database, opened.study_id, 1)
    assert [epoch.val_accuracy for epoch in curve] == [0.5, 0.6, 0.7]
    assert opened.trials()[0].intermediate_values == {1: 0.5, 2: 0.6, 3: 0.7}


def test_a_decision_is_made_once(search):
    """Asked again later, with better company, the rule would prune: the first answer stands."""
    opened = search(trials=9, epochs=9, pruner="asha", settings={"stop": True})
    early, heir = opened.hand("early"), opened.hand("heir")
    claim = early.started()
    assert early.report(claim, 1, 0.1) == "continue", "alone at the rung"
    for number in range(4):
        good = opened.hand(f"good-{number}")
        good.report(good.started(), 1, 0.9)
    assert early.report(claim, 1, 0.1) == "continue"
    early.ledger.release(claim, "paused")
    again = heir.claim()
    assert again.ticket == claim.ticket
    assert heir.report(again, 1, 0.1) == "continue"


def test_checkpoints_are_remembered_newest_first(search):
    opened = search(epochs=5)
    hand = opened.hand()
    claim = hand.started()
    for epoch in (1, 2):
        hand.report(claim, epoch, 0.5, checkpoint(epoch))
    hand.report(claim, 3, 0.5)
    assert opened.ticket().checkpoint_epoch == 2
    hand.ledger.release(claim, "SIGTERM", checkpoint(3))
    assert opened.ticket().checkpoint_epoch == 3
    listed = queries.checkpoints(opened.database, opened.study_id, 1)
    assert listed == [checkpoint(3), checkpoint(2), checkpoint(1)]


def test_counts(search):
    opened = search(
        trials=6, epochs=2, pruner="asha", settings={"stop": True, "reduction_factor": 2}
    )
    one, two = opened.hand("one"), opened.hand("two")
    one.finish(one.started(), [0.9, 0.9])
    assert one.report(one.started(), 1, 0.1) == "pruned"
    one.ledger.fail(one.started(), "broken", retry=False)
    paused, running = one.started(), two.started()
    two.report(running, 1, 0.95)
    one.ledger.release(paused, "SIGTERM")
    counts = opened.counts()
    assert counts == queries.Counts(
        total=5,
        complete=1,
        pruned=1,
        failed=1,
        running=1,
        paused=1,
        infeasible=0,
        epochs_run=4,
        compute_seconds=8.0,
    )
    assert counts.finished == 3


def test_counts_of_a_study_without_tickets(search):
    assert search().counts().total == 0


def test_events_are_read_from_where_one_left_off(search):
    opened = search(trials=2)
    hand = opened.hand()
    first = hand.started()
    last = opened.event_log()[-1].event_id
    hand.ledger.note(first, EventKind.CHECKPOINT_UNUSABLE, {"key": "gone.pt"})
    hand.claim()
    log = event_log(opened.database, opened.study_id, after=last)
    assert [(event.kind, event.ticket) for event in log] == [
        (EventKind.CHECKPOINT_UNUSABLE, 1),
        ("claimed", 2),
    ]
    assert log[0].detail == {"key": "gone.pt"}
    only = event_log(opened.database, opened.study_id, 2, after=last)
    assert [event.kind for event in only] == ["claimed"]
