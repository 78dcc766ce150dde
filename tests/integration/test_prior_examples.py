"""A configuration that asks too much of the machine fails, and the sampler learns from it."""

from __future__ import annotations

from optuna.study import StudyDirection
from optuna.trial import TrialState
from support.ledger import Hand, line_row, open_search
from support.searching import LINE, study_file

from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger.types import Claim, Idle
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.sampler import Request

LESSON = {"out_of_memory": "out of memory on cuda:0", "memory_peak_mb": 812.5}


def test_a_lesson_fails_the_ticket_and_marks_its_row_as_infeasible(search):
    opened = search(trials=2)
    hand = opened.hand()
    assert hand.ledger.fail(
        hand.started(), "out of memory", retry=True, at_most=2, infeasible_attrs=LESSON
    )
    # Nothing is learnt before it has ended: another machine may have the memory.
    (row,) = opened.trials()
    assert (row.state, row.constraints) == (TrialState.RUNNING, {})
    again = hand.claim()
    assert not hand.ledger.fail(
        again, "out of memory", retry=True, at_most=2, infeasible_attrs=LESSON
    )

    ticket = opened.ticket()
    assert (ticket.state, ticket.failures, ticket.attempt) == (TicketState.FAILED, 2, 2)
    (row,) = opened.trials()
    assert (row.state, row.value, row.params) == (TrialState.PRUNED, None, {"lr": 0.01})
    assert row.constraints == {"0": 1.0, "infeasible": 1.0}
    assert row.system_attrs == {"constraints": [1.0], "constraints:infeasible": 1.0}
    assert row.user_attrs == {"ticket": 1, "error": "out of memory", **LESSON}
    counts = opened.counts()
    # It is one of N, and no infeasible draw.
    assert (counts.total, counts.failed, counts.pruned, counts.infeasible) == (1, 1, 0, 0)
    hand.finish(hand.started())
    assert hand.idle() is Idle.FINISHED
    assert opened.optuna_study().best_trial.number == 1


def test_at_most_never_adds_attempts(search):
    opened = search(trials=1, max_failures=1)
    hand = opened.hand()
    assert not hand.ledger.fail(hand.started(), "out of memory", retry=True, at_most=2)
    assert opened.trials()[0].state is TrialState.FAIL


def test_without_a_configuration_there_is_nothing_to_learn(search):
    opened = search(trials=1)
    hand = opened.hand()
    assert not hand.ledger.fail(hand.claim(), "out of memory", retry=False, infeasible_attrs=LESSON)
    (row,) = opened.trials()
    assert (row.state, row.params, row.constraints) == (TrialState.FAIL, {}, {})
    assert row.user_attrs["out_of_memory"] == "out of memory on cuda:0"


def pruned(hand: Hand, claim: Claim, number: int) -> None:
    """Report an epoch that is worse than all before."""
    assert hand.report(claim, 1, 0.5 - number / 100) == "pruned"


def test_tpe_stays_away_from_what_ran_out_of_memory(database: Database) -> None:
    """Everything above 0.5 ran out of memory, after an epoch that looked better than any other.

    Below it trials are pruned in epoch 1: of rows that are only pruned, TPE would take the former.
    """
    opened = open_search(
        database,
        study_file(trials=40),
        pruner="asha",
        settings={"stop": True, "reduction_factor": 2},
    )
    hand = opened.hand()
    for number in range(40):
        claim = hand.started(line_row(number / 39))
        if number < 20:
            hand.finish(claim, [0.5] * 3) if number == 0 else pruned(hand, claim, number)
        else:
            assert hand.report(claim, 1, 0.99) == "continue"
            hand.ledger.fail(claim, "out of memory", retry=False, infeasible_attrs=LESSON)
    history = TrialHistory(database, opened.study_id, StudyDirection.MAXIMIZE)
    tpe = SAMPLERS["tpe"].build()
    drawn = [
        tpe.draw(
            Request(space=LINE, history=history, seed=seed, study_seed=7, fixed={}, point=None)
        ).params["lr"]
        for seed in range(30)
    ]
    below = sum(lr < 0.5 for lr in drawn)
    assert below >= 27, below
