"""How tickets end other than by training: infeasible draws, errors, a grid that runs out."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from support.ledger import line_row

from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.types import Idle


def test_infeasible_draws_are_recorded_outside_the_budget(search):
    opened = search(trials=2)
    hand = opened.hand()
    claim = hand.claim()
    for nth in range(2):
        assert hand.ledger.infeasible(claim, line_row(0.1 * nth), "kernel 5 > 4", nth=nth) is None
    hand.ledger.start(claim, line_row(0.9))
    hand.finish(claim)
    second = hand.started()
    hand.finish(second)

    trials = opened.trials()
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert [trial.state.name for trial in trials] == ["PRUNED", "PRUNED", "COMPLETE", "COMPLETE"]
    first = trials[0]
    assert first.constraints == {"0": 1.0, "infeasible": 1.0}
    assert first.system_attrs == {"constraints": [1.0], "constraints:infeasible": 1.0}
    assert first.user_attrs == {"ticket": 1, "infeasible": "kernel 5 > 4"}
    assert (first.params, first.value) == ({"lr": 0.0}, None)
    counts = opened.counts()
    assert (counts.total, counts.infeasible, counts.complete, counts.pruned) == (2, 2, 2, 0)
    assert hand.idle() is Idle.FINISHED
    assert opened.ticket(1).number == 2


def test_an_infeasible_trial_is_never_the_best(search):
    opened = search(trials=1)
    hand = opened.hand()
    claim = hand.claim()
    hand.ledger.infeasible(claim, line_row(0.1), "too large", nth=0)
    study = opened.optuna_study()
    with pytest.raises(ValueError, match="Record does not exist"):
        _ = study.best_trial
    hand.ledger.start(claim, line_row(0.9))
    hand.finish(claim)
    assert opened.optuna_study().best_trial.number == 1


def test_infeasible_draws_of_a_grid_take_the_next_points(search):
    opened = search(trials=3, is_enumerated=True)
    one, two = opened.hand("one"), opened.hand("two")
    first, second = one.claim(), two.claim()
    assert (first.point, second.point) == (0, 1)
    assert one.ledger.infeasible(first, line_row(0.1), "too large", nth=0) == 2
    assert two.ledger.infeasible(second, line_row(0.2), "too large", nth=0) == 3
    assert one.ledger.infeasible(first, line_row(0.3), "too large", nth=1) == 4
    one.ledger.release(first, "SIGTERM")
    again = two.claim()
    assert (again.ticket, again.point, again.infeasible) == (1, 4, 2)
    assert two.claim().point == 5


def test_an_exhausted_grid_ends_the_study_below_its_budget(search):
    """Five points for a budget of nine; two of them can't be built."""
    opened = search(trials=9, is_enumerated=True)
    one, two = opened.hand("one"), opened.hand("two")
    for _ in range(3):
        one.finish(one.started())
    last, other = one.claim(), two.claim()
    assert (last.point, other.point) == (3, 4)
    assert one.ledger.infeasible(last, line_row(0.1), "too large", nth=0) == 5
    one.ledger.withdraw(last)
    assert studies.find(opened.database, "line").exhausted
    assert one.idle() is Idle.WAIT, "the other one's point may yet come back"
    assert two.ledger.infeasible(other, line_row(0.2), "too large", nth=0) == 6
    two.ledger.withdraw(other)
    assert one.idle() is Idle.FINISHED
    assert two.idle() is Idle.FINISHED
    counts = opened.counts()
    assert (counts.total, counts.complete, counts.infeasible) == (3, 3, 2)
    assert opened.events().count("withdrawn") == 2
    assert search(trials=20, is_enumerated=True).hand().idle() is Idle.FINISHED


def test_an_error_that_may_pass_is_tried_again_then_fails_with_its_reason(search):
    opened = search(trials=1, max_failures=3)
    errors = ["CUDA error", "out of memory", "out of memory again"]
    answers = []
    for number, error in enumerate(errors):
        hand = opened.hand(f"worker-{number}")
        claim = hand.claim() if number else hand.started()
        assert claim.attempt == number + 1
        answers.append(hand.ledger.fail(claim, error, retry=True))
    assert answers == [True, True, False]
    ticket = opened.ticket()
    assert (ticket.state, ticket.owner, ticket.failures) == (TicketState.FAILED, None, 3)
    assert ticket.last_error == "out of memory again"
    (trial,) = opened.trials()
    assert (trial.state, trial.value) == (TrialState.FAIL, None)
    assert trial.user_attrs["error"] == "out of memory again"
    assert trial.params == {"lr": 0.01}
    assert opened.events(1) == [
        "claimed", "started", "attempt_failed", "resumed", "attempt_failed", "resumed",
        "attempt_failed", "failed",
    ]  # fmt: skip
    assert opened.hand("next").idle() is Idle.FINISHED, "it counts toward the budget"


def test_an_error_that_will_not_pass_fails_at_once(search):
    opened = search(trials=1)
    hand = opened.hand()
    assert hand.ledger.fail(hand.started(), "NaN", retry=False) is False
    assert opened.counts().failed == 1


def test_progress_forgives_earlier_failures(search):
    """Failures count only without a new epoch in between: long trials may fail now and then."""
    opened = search(trials=1, epochs=20, max_failures=2)
    hand = opened.hand()
    claim = hand.started()
    for epoch in range(1, 6):
        hand.report(claim, epoch, 0.5)
        assert hand.ledger.fail(claim, "CUDA error", retry=True) is True
        claim = hand.claim()
    assert hand.ledger.fail(claim, "CUDA error", retry=True) is False


def test_a_trial_that_never_got_a_configuration_fails_as_one_of_n(search):
    """Drawing itself may fail (a plug-in sampler); the dashboard still shows N trials."""
    opened = search(trials=2)
    hand = opened.hand()
    claim = hand.claim()
    assert hand.ledger.fail(claim, "the sampler raised", retry=False) is False
    hand.finish(hand.started())
    failed, complete = opened.trials()
    assert (failed.state, failed.params) == (TrialState.FAIL, {})
    assert failed.user_attrs == {"ticket": 1, "error": "the sampler raised"}
    assert complete.number == 1
    assert opened.ticket(1).number == 0


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param("cut \x00 here", "cut \\x00 here", id="NUL, which Postgres can't store"),
        pytest.param("no file caf\udce9.png", "no file caf\\udce9.png", id="a name not in UTF-8"),
        pytest.param("naïve 模型 🎲\n" * 2000, "naïve 模型 🎲\n" * 2000, id="long, not ASCII"),
    ],
)
def test_any_text_is_a_reason(search, error, kept):
    """A reason that can't be stored would kill every worker that tries the trial."""
    opened = search(trials=1)
    hand = opened.hand()
    assert hand.ledger.fail(hand.started(), error, retry=False) is False
    stored = opened.ticket().last_error
    assert stored == kept
    (trial,) = opened.trials()
    assert trial.user_attrs["error"] == stored
    assert [event.detail["error"] for event in opened.event_log(1)[-2:]] == [stored] * 2
