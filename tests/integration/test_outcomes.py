"""Several objectives and constraints in both databases, as the ledger writes and Optuna reads."""

from __future__ import annotations

import json

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from support.ledger import line_row
from support.old_schema import go_back_to_0001
from support.searching import LINE, study_file
from support.wsgi import ask

from hpsearch.dashboard.app import application
from hpsearch.errors import StorageError
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import Finding, findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.results.ranking import front, ranked, violators
from hpsearch.results.records import read_study
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.schema_version import ensure_tables, require_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import tickets
from hpsearch.search.history import TrialHistory, optuna_directions
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.types import TrialRow
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.suggest import draw_trial
from hpsearch.workers.launch import preview

OBJECTIVES = ("val_accuracy", "parameters", "epoch_seconds")
CONSTRAINTS = ("parameters <= 1000", "latency <= 5", "val_loss <= 0.8")


def broken_rules(database: Database, name: str) -> list[Finding]:
    """What `doctor` finds in the database."""
    facts = read_facts(database, name)
    return [finding for rule in RULES for finding in findings_of(rule, facts)]


@pytest.fixture
def several(search):
    """Open a study of three objectives and three constraints."""

    def make(**changes):
        return search(**{"objectives": OBJECTIVES, "constraints": CONSTRAINTS, **changes})

    return make


def run(hand, accuracies, *, parameters=500, latency=2.0, seconds=(1.0, 4.0, 2.0), loss=0.5):
    """Train one trial; returns its number and the last decision."""
    claim = hand.started()
    decision = ""
    for epoch, (accuracy, took) in enumerate(zip(accuracies, seconds, strict=False), start=1):
        measured = {"parameters": parameters}
        if epoch == 3:
            measured["latency"] = latency
        decision = hand.report(
            claim, epoch, accuracy, measured=measured, seconds=took, val_loss=loss
        )
    return claim.number, decision


def test_values_and_constraints_are_written_with_the_end(several):
    opened = several()
    hand = opened.hand()
    run(hand, [0.1, 0.9, 0.5])
    run(hand, [0.1, 0.2, 0.6], parameters=2000, latency=6.0, loss=0.7)
    study = opened.optuna_study()
    assert study.metric_names == list(OBJECTIVES)
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    kept, broke = study.get_trials()
    assert kept.values == [0.5, 500.0, 2.0], "the last epoch's accuracy, the median epoch"
    assert kept.intermediate_values == {1: 0.1, 2: 0.9, 3: 0.5}
    assert kept.user_attrs == {"ticket": 1, "latency": 2.0, "epoch_seconds": 2.0}
    assert all(value <= 0 for value in kept.constraints.values())
    assert broke.system_attrs["constraints"] == pytest.approx([0.5, 1 / 6, -0.1 / 0.9])
    assert broke.system_attrs["constraints:parameters <= 1000"] == 0.5
    assert broke.system_attrs["constraints:latency <= 5"] == pytest.approx(1 / 6)
    assert [each.number for each in study.best_trials] == [0]
    record = read_study(opened.database, "line")
    assert record.trial(1).metrics == {
        "val_accuracy": 0.6,
        "parameters": 2000.0,
        "epoch_seconds": 2.0,
        "latency": 6.0,
        "val_loss": 0.7,
    }
    assert [each.number for each in ranked(record)] == [0]
    assert [each.number for each in violators(record)] == [1]
    assert not broken_rules(opened.database, "line")


def test_the_figures_are_those_of_one_epoch(several):
    """`at: best` takes every metric from the best epoch by the objective that rules decide by."""
    opened = several(at="best", constraints=("val_loss <= 9",))
    hand = opened.hand()
    claim = hand.started()
    for epoch, (accuracy, loss) in enumerate([(0.4, 0.9), (0.7, 0.8), (0.6, 0.1)], start=1):
        hand.report(claim, epoch, accuracy, measured={"parameters": 7}, val_loss=loss)
    figures = read_study(opened.database, "line").trial(0).metrics
    assert (figures["val_accuracy"], figures["val_loss"]) == (0.7, 0.8)
    assert opened.trials()[0].values == [0.7, 7.0, 2.0]
    assert not broken_rules(opened.database, "line")


def test_a_pruned_trial_has_no_values_and_only_its_costs_are_judged(several):
    opened = several(
        pruner="percentile", settings={"keep": 1.0, "startup_trials": 1}, constraints=CONSTRAINTS
    )
    hand = opened.hand()
    run(hand, [0.5, 0.5, 0.9])
    number, decision = run(hand, [0.1], loss=2.0)
    assert decision == "pruned"
    row = opened.trials()[number]
    assert (row.state, row.values) == (TrialState.PRUNED, None)
    assert row.constraints == {
        "0": row.constraints["0"],
        "parameters <= 1000": pytest.approx(-1 / 3),
    }
    record = read_study(opened.database, "line")
    assert [each.number for each in front(record)] == [0]
    assert not broken_rules(opened.database, "line")


def test_one_objective_with_a_constraint_keeps_its_value(search):
    opened = search(constraints=("val_loss <= 0.2",))
    hand = opened.hand()
    run(hand, [0.1, 0.9, 0.5], loss=0.4)
    (row,) = opened.trials()
    assert (row.value, row.constraints["val_loss <= 0.2"]) == (0.5, pytest.approx(0.5))
    with pytest.raises(ValueError, match="No feasible trials"):
        _ = opened.optuna_study().best_trial
    record = read_study(opened.database, "line")
    assert ranked(record) == []
    assert not broken_rules(opened.database, "line")


def test_a_plain_study_writes_what_it_always_wrote(search):
    opened = search()
    hand = opened.hand()
    run(hand, [0.1, 0.9, 0.5])
    (row,) = opened.trials()
    assert (row.values, row.system_attrs, row.user_attrs) == ([0.5], {}, {"ticket": 1})
    assert opened.ticket().figures is None


def test_the_end_is_written_once_where_an_epoch_is_done_again(several):
    """An heir repeats the last epoch from an older checkpoint, and it ends the trial there."""
    opened = several()
    one, two = opened.hand("one"), opened.hand("two")
    claim = one.started()
    for epoch in (1, 2):
        one.report(claim, epoch, 0.5, measured={"parameters": 9})
    one.ledger.release(claim, "told to leave")
    heir = two.claim()
    assert (
        two.report(heir, 2, 0.7, measured={"parameters": 9, "latency": 1.0}, last=True)
        == "complete"
    )
    (row,) = opened.trials()
    assert row.values == [0.5, 9.0, 2.0], "the figures that were reported first"
    assert row.user_attrs["latency"] == 1.0


def test_doctor_notices_values_that_differ(several):
    opened = several()
    run(opened.hand(), [0.1, 0.9, 0.5])
    assert not broken_rules(opened.database, "line")
    changed = {"val_accuracy": 0.5, "parameters": 501.0, "epoch_seconds": 2.0}
    opened.database.write(
        lambda connection: connection.execute(
            sa.update(tickets).values(figures=json.dumps(changed))
        )
    )
    (told,) = broken_rules(opened.database, "line")
    assert "0.5, 501.0, 2.0" in str(told)
    assert "0.5, 500.0, 2.0" in str(told)


def test_a_configuration_out_of_bounds_tells_how_far(several):
    opened = several()
    hand = opened.hand()
    claim = hand.claim()
    attrs = optuna_rows.constraint_attrs({"parameters <= 1000": 0.75})
    base = line_row(0.3)
    row = TrialRow(
        params=base.params, distributions=base.distributions, user_attrs={}, system_attrs=attrs
    )
    hand.ledger.infeasible(claim, row, "parameters <= 1000 doesn't hold", nth=0)
    (trial,) = opened.trials()
    assert (trial.state, trial.values) == (TrialState.PRUNED, None)
    assert trial.constraints == {"0": 0.75, "parameters <= 1000": 0.75}
    hand.ledger.start(claim, line_row(0.4))
    assert not broken_rules(opened.database, "line")


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "qmc"])
def test_every_sampler_draws_against_several_objectives(several, name):
    """Complete, pruned (with a curve), infeasible and running trials are all in its view."""
    opened = several(
        trials=20,
        pruner="percentile",
        settings={"keep": 40.0, "startup_trials": 2},
        is_enumerated=name == "qmc",
    )
    hand = opened.hand()
    settings = {} if name in ("random", "qmc") else {"startup_trials": 3}
    sampler = SAMPLERS[name].build(**settings)
    goals = opened.file.goals
    history = TrialHistory(opened.database, opened.study_id, *optuna_directions(goals))
    drawn = []
    with_infeasible = {3: 1, 6: 1}
    for ticket in range(1, 10):
        claim = hand.claim()
        for nth in range(with_infeasible.get(ticket, 0)):
            attrs = optuna_rows.constraint_attrs({"parameters <= 1000": 0.4})
            row = line_row(0.99)
            bad = TrialRow(
                params=row.params,
                distributions=row.distributions,
                user_attrs={},
                system_attrs=attrs,
            )
            hand.ledger.infeasible(claim, bad, "too many", nth=nth)
        made = draw_trial(
            sampler,
            LINE,
            history,
            study_seed=7,
            ticket=claim.ticket,
            infeasible=0,
            point=claim.ticket if name == "qmc" else None,
        )
        assert made is not None
        drawn.append(made.params["lr"])
        hand.ledger.start(claim, line_row(made.params["lr"]))
        if ticket == 5:
            continue  # still running when the others draw
        for epoch in (1, 2, 3):
            accuracy = 1 - abs(made.params["lr"] - 0.3) - (0.3 if ticket % 3 == 0 else 0.0)
            measured = {"parameters": 100 * ticket, "latency": 1.0}
            if hand.report(claim, epoch, accuracy, measured=measured) != "continue":
                break
    assert len(set(drawn)) == 9
    states = {trial.state.name for trial in opened.trials()}
    assert states == {"COMPLETE", "PRUNED", "RUNNING"}


def test_the_view_is_what_optuna_reads_apart_from_curves(several):
    opened = several(pruner="percentile", settings={"keep": 1.0, "startup_trials": 1})
    hand = opened.hand()
    run(hand, [0.5, 0.5, 0.9])
    run(hand, [0.1])
    history = TrialHistory(opened.database, opened.study_id, *optuna_directions(opened.file.goals))
    ours, theirs = history.refresh(), opened.trials()
    assert [each.values for each in ours] == [each.values for each in theirs] != [None, None]
    assert [each.constraints for each in ours] == [each.constraints for each in theirs]
    assert [each.intermediate_values for each in ours] == [{}, {}], "TPE raises over one here"


def test_tpe_looks_where_several_objectives_are_good(several):
    """Both objectives are best at lr 0.3, so its model draws near it; random draws don't."""
    opened = several(
        trials=60, objectives=("val_accuracy", "parameters"), constraints=("latency <= 5",)
    )
    hand = opened.hand()
    tpe = SAMPLERS["tpe"].build(startup_trials=10)
    goals = opened.file.goals
    history = TrialHistory(opened.database, opened.study_id, *optuna_directions(goals))
    drawn = []
    for ticket in range(1, 41):
        claim = hand.claim()
        made = draw_trial(tpe, LINE, history, study_seed=7, ticket=ticket, infeasible=0, point=None)
        lr = made.params["lr"]
        drawn.append(lr)
        hand.ledger.start(claim, line_row(lr))
        miss = abs(lr - 0.3)
        for epoch in (1, 2, 3):
            measured = {"parameters": 1000 * miss, "latency": 1.0}
            hand.report(claim, epoch, 1 - miss, measured=measured)
    late = drawn[25:]
    assert sum(abs(lr - 0.3) < 0.1 for lr in late) >= 6, late  # of 15; 3 by chance


def test_a_database_from_before_is_upgraded_and_its_study_goes_on(storage_url):
    database = Database(storage_url)
    ensure_tables(database)
    file = study_file(trials=2)
    studies.attach(database, file)

    from support.ledger import open_search

    before = open_search(database, file)
    claim = before.hand().started()
    database.write(go_back_to_0001)
    with pytest.raises(StorageError, match=r"older schema 0001, .*`hpsearch studies --upgrade"):
        require_tables(database)
    # What a launch does first, before it shows what it will cost
    stored = preview._database_state(file, storage_url).stored
    assert stored is not None and stored.name == file.name
    require_tables(database)
    after = open_search(database, file)
    hand = after.hand()
    assert hand.finish(claim, [0.1, 0.2, 0.3]) == "complete"
    hand.finish(hand.started())
    record = read_study(database, "line")
    assert [each.metrics for each in record.trials] == [{}, {}]
    assert [each.number for each in ranked(record)] == [1, 0]
    assert not broken_rules(database, "line")
    database.close()


def test_optunas_own_front_is_ours(several):
    opened = several(trials=12, constraints=("latency <= 5",))
    hand = opened.hand()
    for index in range(12):
        accuracy = [0.3, 0.5, 0.7, 0.5][index % 4]
        run(
            hand,
            [accuracy] * 3,
            parameters=[10, 20, 30][index % 3],
            latency=6.0 if index == 2 else 1.0,
            seconds=(1.0 + index % 5,) * 3,
        )
    ours = sorted(each.number for each in front(read_study(opened.database, "line")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.logging, "set_verbosity", lambda _: None)
        theirs = sorted(each.number for each in opened.optuna_study().best_trials)
    assert ours == theirs
    assert 2 not in ours


def test_the_dashboard_says_who_is_on_the_front(several):
    opened = several(trials=5, constraints=("latency <= 5",))
    hand = opened.hand()
    for accuracy, parameters, latency in (
        (0.9, 900, 1.0),  # the most accurate
        (0.8, 100, 1.0),  # nearly as good and much smaller
        (0.7, 200, 1.0),  # worse than the one before in both
        (0.5, 50, 1.0),  # the smallest
        (0.95, 10, 6.0),  # would be the best, if it were fast enough
    ):
        run(hand, [accuracy] * 3, parameters=parameters, latency=latency)
    answer = ask(application(opened.database), f"/api/studies/{opened.study_id}").json
    assert [each["number"] for each in answer["best_trials"]] == [0, 1, 3]
    assert "trials 0, 1, 3; its knee is trial 1." in answer["note"]["body"].replace("\\", "")
    assert [each["note"]["body"].split("\n")[0].replace("\\", "") for each in answer["trials"]] == [
        "**Complete**, on the front.",
        "**Complete**, on the front, at its **knee**.",
        "**Complete**, not on the front.",
        "**Complete**, on the front.",
        "**Complete**, no rank: latency <= 5 is broken: latency is 6.",
    ]
