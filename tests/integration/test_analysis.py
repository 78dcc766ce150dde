"""What analysis reads of a study, from each kind of database."""

from __future__ import annotations

import random

import pytest
from support.ledger import row
from support.searching import BRANCHED

from hpsearch.reporting.analysis.comparison import compare
from hpsearch.reporting.analysis.costs import read_costs
from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.failures import read_failures
from hpsearch.reporting.analysis.matrices import read_matrices, read_trial_matrices
from hpsearch.reporting.analysis.observations import read_analysis_data
from hpsearch.reporting.analysis.parameters import read_parameters
from hpsearch.reporting.analysis.table import columns, epoch_table, trial_table
from hpsearch.results import trial_attributes
from hpsearch.results.records import read_study
from hpsearch.search.samplers.enumerated import at_unit

TRIALS, EPOCHS = 30, 3


@pytest.fixture
def branched(search):
    """Trials of a branched space under ASHA; ticket 3 couldn't be built at first, 4 diverged."""
    opened = search(
        space=BRANCHED,
        trials=TRIALS,
        epochs=EPOCHS,
        pruner="asha",
        settings={"reduction_factor": 2, "min_epochs": 1, "stop": True},
    )
    hand, rng = opened.hand(), random.Random(0)
    for number in range(1, TRIALS + 1):
        drawn = BRANCHED.draw(lambda path, parameter: at_unit(parameter, rng.random()))
        params = dict(drawn.params)
        claim = hand.claim()
        if number == 3:
            refused = {**params, "batch_size": 128}
            hand.ledger.infeasible(claim, row(refused, BRANCHED), "128 > 64", nth=0)
        hand.ledger.start(claim, row(params, BRANCHED, parameters=number, multiply_adds=7))
        if number == 4:
            told = "Traceback ...\nhpsearch.errors.TrainingDiverged: the loss is nan"
            hand.ledger.fail(claim, told, retry=False)
            continue
        value = 0.7 + 0.1 * (params["optimizer"] == "sgd") + rng.random() / 50
        for epoch in range(1, EPOCHS + 1):
            if hand.report(claim, epoch, value - 0.1 / epoch) != "continue":
                break
    return opened


def test_parameters_are_read_back_with_their_branches(branched) -> None:
    found = read_parameters(branched.database, branched.study_id)
    assert found.keys() == BRANCHED.parameters().keys()
    assert found["optimizer.sgd.lr"].branch == {"optimizer": "sgd"}
    assert found["optimizer.sgd.lr"].is_log
    assert not found["batch_size"].branch


def test_the_table_holds_every_trial_with_what_was_noted(branched) -> None:
    record = read_study(branched.database, "line")
    rows = trial_table(branched.database, record)
    assert len(rows) == TRIALS
    assert all(list(each) == columns(branched.database, record) for each in rows)
    for each in rows:
        trial = record.trial(each["number"])
        assert {path: each[path] for path in trial.params} == dict(trial.params)
        assert (each["optimizer.adam.lr"] is None) == (each["optimizer"] == "sgd")
        assert (each["parameters"], each["multiply_adds"]) == (trial.ticket, 7)
    epochs = epoch_table(branched.database, record)
    assert len(epochs["epoch"]) == record.counts.epochs_run


def test_infeasible_draws_are_read_in_bulk_as_one_by_one(branched) -> None:
    (draw,) = trial_attributes.infeasible_draws(branched.database, branched.study_id)
    assert draw == trial_attributes.infeasible_draw(
        branched.database, branched.study_id, draw.number
    )
    assert (draw.ticket, draw.reason, draw.params["batch_size"]) == (3, "128 > 64", 128)
    assert read_failures(branched.database, read_study(branched.database, "line")).infeasible == 1


def test_evidence_holds_complete_pruned_and_diverged_trials(branched) -> None:
    record = read_study(branched.database, "line")
    found = read_analysis_data(branched.database, record)
    assert (len(found.trials), found.failed) == (TRIALS, 0)
    assert sum(each.diverged for each in found.trials) == 1
    complete = [each for each in found.trials if each.value is not None]
    assert len(complete) == record.counts.complete
    assert {len(each.curve) for each in complete} == {EPOCHS}
    assert all(each.curve[-1] == each.value for each in complete)
    pruned = [each for each in found.trials if each.value is None and not each.diverged]
    assert len(pruned) == record.counts.pruned > 3
    assert {len(each.curve) for each in pruned} <= {1, 2}


def test_effects_costs_and_comparisons_come_from_the_database(branched) -> None:
    record = read_study(branched.database, "line")
    told = effects(read_analysis_data(branched.database, record))
    assert (told.trials, told.complete, told.diverged) == (TRIALS, record.counts.complete, 1)
    assert told == effects(read_analysis_data(branched.database, record))
    bill = read_costs(branched.database, record)
    assert bill.epochs == record.counts.epochs_run == sum(s.epochs for s in bill.by_state.values())
    full = EPOCHS * (record.counts.complete + record.counts.pruned)
    assert bill.epochs_saved == full - bill.epochs
    assert bill.best_so_far[-1].value == max(
        t.value for t in record.trials if t.state == "complete"
    )
    found = compare(branched.database, [record])
    assert (found.leader, found.lines[0].confirmed) == (None, None), "nothing is confirmed"
    assert read_matrices(branched.database, record) is None
    assert read_trial_matrices(branched.database, record, [0]) == {}
