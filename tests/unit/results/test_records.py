from __future__ import annotations

import pytest

from hpsearch.errors import UnknownName
from hpsearch.results.ranking import best, ranked
from hpsearch.results.records import read_study
from hpsearch.results.summary import summary
from hpsearch.results.trial_attributes import infeasible_draw, read
from hpsearch.search.ledger import studies


def test_a_record_joins_state_parameters_and_value(searched):
    record = read_study(searched.database, "made_up")
    first = record.trial(0)
    assert first.params == {"model.line.width": 8, "optimizer.walk.lr": 0.1}
    assert (first.value, first.last_value, first.best_value, first.best_epoch) == (0.7, 0.7, 0.9, 2)
    assert record.trial(2).infeasible == 1
    assert [trial.state for trial in record.trials] == [
        "complete",
        "complete",
        "pruned",
        "complete",
        "failed",
        "running",
    ]


def test_the_best_epoch_counts_where_the_study_says_so(searched, monkeypatch):
    stored = studies.find(searched.database, "made_up")
    document = {**stored.document, "objective": {"metric": "val_accuracy", "at": "best"}}
    changed = studies.StoredStudy(**{**vars(stored), "document": document})
    monkeypatch.setattr("hpsearch.search.ledger.studies.find", lambda database, name: changed)
    record = read_study(searched.database, "made_up")
    assert record.trial(0).value == 0.9
    assert best(record) == record.trial(0)


def test_only_complete_trials_are_ranked_and_ties_go_to_the_lower_number(searched):
    record = read_study(searched.database, "made_up")
    assert [trial.number for trial in ranked(record)] == [2, 4, 0]


def test_where_less_is_better_the_order_turns(searched, monkeypatch):
    stored = studies.find(searched.database, "made_up")
    document = {**stored.document, "objective": {"metric": "val_loss", "at": "last"}}
    changed = studies.StoredStudy(**{**vars(stored), "document": document})
    monkeypatch.setattr("hpsearch.search.ledger.studies.find", lambda database, name: changed)
    assert [trial.number for trial in ranked(read_study(searched.database, "made_up"))] == [0, 2, 4]


def test_nothing_wins_before_a_trial_is_complete(made_up):
    made_up.trial(0.1, 0.2)  # pruned
    record = read_study(made_up.database, "made_up")
    assert best(record) is None
    assert summary(record)["best"] is None


def test_the_summary_has_the_shape_that_was_promised(searched):
    best = {
        "number": 2,
        "value": 0.8,
        "params": {"model.line.width": 16, "optimizer.walk.lr": 0.25},
    }
    assert summary(read_study(searched.database, "made_up")) == {
        "study": "made_up",
        "trials": {
            "total": 6,
            "complete": 3,
            "pruned": 1,
            "failed": 1,
            "running": 1,
            "paused": 0,
            "infeasible": 1,
        },
        "budget": {"trials": 6, "epochs_per_trial": 3},
        "epochs_run": 12,
        "compute_seconds": 24.0,
        "best": {**best, "confirmed": False},
        "best_seen": best,
        "winner": "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed (one seed, "
        "the best of 3 complete trials: optimistic).",
        "against": "",
    }


def test_an_unknown_trial_lists_those_there_are(searched):
    record = read_study(searched.database, "made_up")
    with pytest.raises(UnknownName) as raised:
        record.trial(17)
    assert str(raised.value) == "unknown trial of study 'made_up' '17'. Known: 0, 2 to 6."


def test_an_infeasible_draw_is_found_by_its_number(searched):
    draw = infeasible_draw(searched.database, searched.stored.study_id, 1)
    assert draw is not None
    assert (draw.ticket, draw.reason) == (2, "64 > 8")
    assert draw.params == {"model.line.width": 64, "optimizer.walk.lr": 0.5}


@pytest.mark.parametrize("number", [pytest.param(0, id="a trial"), pytest.param(99, id="nothing")])
def test_other_numbers_are_no_infeasible_draws(searched, number):
    assert infeasible_draw(searched.database, searched.stored.study_id, number) is None


def test_attributes_are_what_the_worker_noted(searched):
    trial = read_study(searched.database, "made_up").trial(0)
    noted = read(searched.database, trial.trial_id)
    assert (noted["device"], noted["threads"], noted["ticket"]) == ("cpu", 1, 1)
