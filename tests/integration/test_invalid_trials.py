"""A trial that was declared invalid: it counts for nothing, its row stays; and the way back."""

from __future__ import annotations

import json

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from support.ledger import LosesAnswers, Search, open_search
from support.searching import study_file

from hpsearch.errors import UserError
from hpsearch.results.confirmation.finalists import Candidate, finalists
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.results.kept_weights import weights_kept
from hpsearch.results.ranking import best, front, ranked
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.summary import summary
from hpsearch.search.database.tables import TicketState
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger import studies, validity
from hpsearch.search.ledger.types import Idle

WHY = "wrong labels in that run"


@pytest.fixture
def searched(search):
    """Tickets 1 to 3 complete with 0.5, 0.9 (after a better epoch) and 0.7, ticket 4 pruned."""
    opened = search(
        trials=4,
        epochs=2,
        pruner="asha",
        settings={"stop": True, "reduction_factor": 2, "min_epochs": 1},
    )
    hand = opened.hand()
    for values in ([0.5, 0.5], [0.95, 0.9], [0.96, 0.7]):
        hand.finish(hand.started(), values)
    assert hand.report(hand.started(), 1, 0.1) == "pruned"
    return opened


def record_of(opened: Search) -> StudyRecord:
    return read_study(opened.database, opened.stored.name)


def breaches(opened: Search) -> list:
    facts = read_facts(opened.database, opened.stored.name)
    return [finding for rule in RULES for finding in findings_of(rule, facts)]


def everything(opened: Search) -> tuple:
    """Both sides of the study, but for what is a sign of life or of time."""
    trials = [
        (each.number, each.state, each.values, each.params, each.intermediate_values)
        for each in opened.trials()
    ]
    return opened.tickets(), trials, [each.user_attrs for each in opened.trials()]


def test_the_winner_is_another_one(searched):
    assert best(record_of(searched)).ticket == 2
    declared = validity.invalidate(searched.database, searched.study_id, 2, f"  {WHY}\n")
    assert (declared.reason, declared.before) == (WHY, TicketState.COMPLETE)
    record = record_of(searched)
    assert [trial.ticket for trial in ranked(record)] == [3, 1]
    assert [trial.ticket for trial in front(record)] == [3]
    assert [trial.ticket for trial in weights_kept(record)] == [3]
    candidates = [
        Candidate(trial=each.number, value=each.value, params=each.params)
        for each in ranked(record)
    ]
    chosen = finalists(candidates, metric="val_accuracy", images=100)
    assert 1 not in chosen.trials
    assert record.trial(1).invalid == declared
    assert record.trial(1).value == 0.9  # its row stays
    told = summary(record)
    assert told["trials"]["invalid"] == 1
    assert told["trials"]["complete"] == 2
    assert told["invalid"][0] | {"at": ""} == {
        "number": 1, "reason": WHY, "at": "", "was": "complete"
    }  # fmt: skip
    assert breaches(searched) == []


@pytest.mark.parametrize("ticket", [2, 4], ids=["complete", "pruned"])
def test_there_and_back_changes_nothing(searched, ticket):
    before = everything(searched)
    validity.invalidate(searched.database, searched.study_id, ticket, WHY)
    assert everything(searched) != before
    assert breaches(searched) == []
    validity.reinstate(searched.database, searched.study_id, ticket, searched.file.goals)
    assert everything(searched) == before
    assert record_of(searched).trial(ticket - 1).invalid is None
    assert breaches(searched) == []
    validity.invalidate(searched.database, searched.study_id, ticket, "again")
    assert record_of(searched).trial(ticket - 1).invalid.reason == "again"
    assert breaches(searched) == []


@pytest.mark.parametrize("at", ["last", "best"])
def test_several_figures_come_back_too(search, at):
    opened = search(
        trials=1, epochs=2, at=at, objectives=("val_accuracy", "parameters"),
        constraints=("epoch_seconds <= 60",),
    )  # fmt: skip
    hand = opened.hand()
    claim = hand.started()
    hand.report(claim, 1, 0.9, measured={"parameters": 10})
    hand.report(claim, 2, 0.7, measured={"parameters": 10})
    before = everything(opened)
    assert before[1][0][2] == [0.7 if at == "last" else 0.9, 10.0]
    validity.invalidate(opened.database, opened.study_id, 1, WHY)
    assert (best(record_of(opened)), breaches(opened)) == (None, [])
    validity.reinstate(opened.database, opened.study_id, 1, opened.file.goals)
    assert everything(opened) == before


def test_optuna_sees_a_failed_trial_that_says_why(searched):
    validity.invalidate(searched.database, searched.study_id, 2, WHY)
    trial = searched.trials()[1]
    assert (trial.state, trial.value) == (TrialState.FAIL, None)
    assert trial.user_attrs["invalid"] == WHY
    assert trial.intermediate_values == {1: 0.95, 2: 0.9}
    assert searched.optuna_study().best_trial.number == 2
    assert len(optuna.importance.get_param_importances(searched.optuna_study())) == 1


def test_a_worker_that_is_under_way_learns_of_it(searched):
    """Ended trials are read once; what is declared later reaches the sampler all the same."""
    history = TrialHistory(searched.database, searched.study_id, StudyDirection.MAXIMIZE)
    assert [trial.value for trial in history.refresh()] == [0.5, 0.9, 0.7, 0.1]
    validity.invalidate(searched.database, searched.study_id, 2, WHY)
    seen = history.refresh()
    assert [trial.value for trial in seen] == [0.5, None, 0.7, 0.1]
    assert seen[1].state is TrialState.FAIL
    fresh = TrialHistory(searched.database, searched.study_id, StudyDirection.MAXIMIZE).refresh()
    assert [str(each) for each in fresh] == [str(each) for each in seen]
    validity.reinstate(searched.database, searched.study_id, 2, searched.file.goals)
    assert [trial.value for trial in history.refresh()] == [0.5, 0.9, 0.7, 0.1]


def test_nobody_is_pruned_by_its_curve(search):
    """Two better ones stop the third; with one of them invalid it goes on."""
    settings = {"reduction_factor": 2, "min_epochs": 1, "stop": True}
    for invalid, decision in ((None, "pruned"), (1, "continue")):
        opened = search(name=f"n{invalid}", trials=3, epochs=2, pruner="asha", settings=settings)
        hand = opened.hand()
        hand.finish(hand.started(), [0.9, 0.9])
        if invalid is not None:
            validity.invalidate(opened.database, opened.study_id, invalid, WHY)
        assert hand.report(hand.started(), 1, 0.5) == decision


def test_its_ticket_stays_used(searched):
    validity.invalidate(searched.database, searched.study_id, 2, WHY)
    assert record_of(searched).is_finished
    assert searched.hand("two").idle() is Idle.FINISHED
    assert searched.counts().finished == 4


def test_again_gives_one_trial_that_launches_do_not_take_back(searched):
    validity.invalidate(searched.database, searched.study_id, 2, WHY, again=True)
    assert studies.find(searched.database, "line").trial_budget == 5
    studies.attach(searched.database, study_file(trials=4, epochs=2))  # the same launch again
    assert studies.find(searched.database, "line").trial_budget == 5
    hand = searched.hand("two")
    hand.finish(hand.started(), [0.97, 0.8])
    assert hand.idle() is Idle.FINISHED
    assert record_of(searched).is_finished
    assert breaches(searched) == []
    validity.reinstate(searched.database, searched.study_id, 2, searched.file.goals)
    assert studies.find(searched.database, "line").trial_budget == 4
    assert (searched.counts().total, breaches(searched)) == (5, [])
    changes = [event.detail for event in searched.event_log() if event.kind == "budget_changed"]
    assert changes == [{"before": 4, "now": 5}, {"before": 5, "now": 4}]


def test_what_has_no_number_is_refused(search):
    opened = search(trials=3)
    hand = opened.hand()
    claim = hand.started()
    refused = "only a trial with a value"
    with pytest.raises(UserError, match=f"{refused}.*this one is running. Stop it first"):
        validity.invalidate(opened.database, opened.study_id, 1, WHY)
    hand.ledger.release(claim, "told to leave")
    with pytest.raises(UserError, match=f"{refused}.*is paused. Launch the study again"):
        validity.invalidate(opened.database, opened.study_id, 1, WHY)
    hand.ledger.fail(hand.claim(), "broken", retry=False)
    with pytest.raises(UserError, match=f"{refused}.*is failed. It has no value"):
        validity.invalidate(opened.database, opened.study_id, 1, WHY)
    hand.finish(hand.started())
    with pytest.raises(UserError, match=r"only an invalid trial can be reinstated.*is complete"):
        validity.reinstate(opened.database, opened.study_id, 2, opened.file.goals)
    for reason, rule in ((" \n", "it is empty"), ("x" * 2001, "has 2001")):
        with pytest.raises(UserError, match=rule):
            validity.invalidate(opened.database, opened.study_id, 2, reason)
    validity.invalidate(opened.database, opened.study_id, 2, WHY)
    with pytest.raises(UserError, match=r"is invalid\. It was declared invalid before"):
        validity.invalidate(opened.database, opened.study_id, 2, WHY)
    assert breaches(opened) == []


def test_an_exhausted_space_has_no_trial_to_give(search):
    opened = search(trials=3, is_enumerated=True)
    one, two = opened.hand("one"), opened.hand("two")
    one.finish(one.started())
    two.ledger.withdraw(two.claim())
    with pytest.raises(UserError, match="every point has been used; leave --again out"):
        validity.invalidate(opened.database, opened.study_id, 1, WHY, again=True)
    assert opened.ticket(1).state is TicketState.COMPLETE


def test_a_lost_answer_declares_once(prepared_url):
    database = LosesAnswers(prepared_url)
    opened = open_search(database, study_file(trials=1))
    hand = opened.hand()
    hand.finish(hand.started())
    database.to_lose = 1
    validity.invalidate(database, opened.study_id, 1, WHY, again=True)
    assert opened.events(1).count("invalidated") == 1
    assert studies.find(database, "line").trial_budget == 2
    database.to_lose = 1
    validity.reinstate(database, opened.study_id, 1, opened.file.goals)
    assert opened.events(1).count("reinstated") == 1
    assert studies.find(database, "line").trial_budget == 1
    assert breaches(opened) == []
    database.close()


def test_a_reason_of_any_kind_is_stored(searched):
    """A NUL, half a surrogate and a formula: what Postgres can't store is written out."""
    reason = "=cmd|' /C calc'!A0 \0 \udcff <b>ü</b>"
    validity.invalidate(searched.database, searched.study_id, 2, reason)
    stored = record_of(searched).trial(1).invalid.reason
    assert stored == "=cmd|' /C calc'!A0 \\x00 \\udcff <b>ü</b>"
    assert json.loads(json.dumps(searched.trials()[1].user_attrs))["invalid"] == stored
