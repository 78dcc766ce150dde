"""``budget: {stop: auto}``: a search whose rest isn't worth its time ends, and says why."""

from __future__ import annotations

from dataclasses import replace

from support.ledger import line_row

from hpsearch.reporting.status import status_of
from hpsearch.results.records import read_study
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.types import Idle
from hpsearch.workers.trial.stop_rule import StopRule

EPOCHS, BUDGET = 3, 40


def searched(search, values):
    """Return a study whose trials have these values at their end, measured on 500 images."""
    opened = search(trials=BUDGET, epochs=EPOCHS, pruner="none")
    hand = opened.hand()
    for number, value in enumerate(values, start=1):
        row = replace(line_row(number / 100), user_attrs={"val_images": 500})
        hand.finish(hand.started(row), [value] * EPOCHS)
    return opened, hand


def apply(opened, *, is_on=True):
    StopRule(opened.database, opened.stored, is_on=is_on).apply()


def test_equal_trials_end_the_search(search):
    opened, hand = searched(search, [0.800, 0.802, 0.798, 0.804, 0.796, 0.8] * 2)
    apply(opened, is_on=False)
    assert studies.find(opened.database, opened.stored.name).trial_budget == BUDGET
    apply(opened)
    assert hand.idle() is Idle.FINISHED
    record = read_study(opened.database, opened.stored.name)
    assert record.is_finished
    assert record.study.trial_budget == 12
    reason = status_of(opened.database, record)["ended_by_itself"]
    assert reason.startswith("The search ended by itself: 28 more trials would bring about ")
    assert studies.end_reason(opened.database, opened.study_id) == reason
    # A larger budget continues it, until the rule is applied again
    studies.raise_budget(opened.database, opened.study_id, BUDGET)
    assert studies.end_reason(opened.database, opened.study_id) is None
    assert hand.claim().ticket == 13


def test_a_search_that_still_gains_continues(search):
    opened, hand = searched(search, [0.3 + 0.05 * number for number in range(12)])
    apply(opened)
    assert hand.claim().ticket == 13


def test_a_few_trials_know_too_little(search):
    opened, hand = searched(search, [0.8] * 9)
    apply(opened)
    assert hand.claim().ticket == 10
