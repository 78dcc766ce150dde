"""The pruner's audit: who is spared runs to the end, is written down, and changes nobody's fate."""

from __future__ import annotations

import json
from itertools import count

import pytest
from optuna.trial import TrialState
from scipy.stats import kendalltau, spearmanr
from support.ledger import open_search
from support.old_schema import go_back_to_0001
from support.searching import study_file

from hpsearch.cli.commands.status import _print_pruning
from hpsearch.reporting.pruning_audit import KeptTrial, read_pruning_audit
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.results.ranking import ranked
from hpsearch.results.records import read_study
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.decision import AuditSample
from hpsearch.search.ledger.events import EventKind

EPOCHS = 4
#: Rungs at epochs 1, 2 (and 4, the last, at which nothing is decided); the best half stays.
ASHA = {"reduction_factor": 2, "min_epochs": 1, "stop": True}


def sparing(*tickets: int, of: int) -> AuditSample:
    """Return an audit that spares just these of the first ``of`` tickets."""
    for seed in count():
        audit = AuditSample(0.25, seed)
        if [ticket for ticket in range(1, of + 1) if audit.keeps(ticket)] == list(tickets):
            return audit
    raise AssertionError


def curve(value: float) -> list[float]:
    return [value, value + 0.01, value + 0.02, value + 0.03]


def run_all(opened, values: list[float], *, finals: dict[int, float] | None = None) -> list[str]:
    """Train one trial after the other, each until it is told to end; returns how they ended."""
    hand = opened.hand()
    ends = []
    for number, value in enumerate(values, start=1):
        claim = hand.started()
        reported = curve(value)
        reported[-1] = (finals or {}).get(number, reported[-1])
        for epoch, each in enumerate(reported, start=1):
            if (decision := hand.report(claim, epoch, each)) != "continue":
                break
        ends.append(decision)
    return ends


def test_a_spared_trial_runs_to_its_end_and_the_decision_is_kept(search):
    opened = search(trials=4, epochs=EPOCHS, pruner="asha", settings=ASHA, audit=sparing(3, of=4))
    assert run_all(opened, [0.5, 0.6, 0.1, 0.2]) == ["complete", "complete", "complete", "pruned"]
    log = opened.event_log(3)
    (event,) = [event for event in log if event.kind == EventKind.KEPT_BY_AUDIT]
    assert event.detail == {"epoch": 1, "value": 0.1}
    assert event.attempt == 1
    ticket, trial = opened.ticket(3), opened.trials()[2]
    assert (ticket.state, ticket.epochs_done) == (TicketState.COMPLETE, EPOCHS)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, pytest.approx(0.13))
    assert [kind for kind in opened.events(4) if kind == EventKind.KEPT_BY_AUDIT] == [], (
        "it wasn't spared"
    )


def test_the_audit_changes_no_other_trials_fate(search):
    # After epoch 2 the spared trial's value lies between those of 2 and 4: were it counted there,
    # trial 4 would be in the better half
    values = [0.5, 0.6, 0.1, 0.55, 0.58, 0.3, 0.59]
    apart = run_all(
        search(name="with", trials=7, epochs=EPOCHS, pruner="asha", settings=ASHA),
        values,
    )
    audit = sparing(3, of=7)
    audited = run_all(
        search(name="without", trials=7, epochs=EPOCHS, pruner="asha", settings=ASHA, audit=audit),
        values,
    )
    assert apart[2] == "pruned"
    assert audited == [*apart[:2], "complete", *apart[3:]]


def test_a_rule_over_complete_trials_never_sees_the_spared(search):
    settings = {"startup_trials": 2}
    values = [0.5, 0.6, 0.1, 0.4, 0.52]
    audit = sparing(3, of=5)
    told = {"trials": 5, "epochs": EPOCHS, "pruner": "median", "settings": settings}
    apart, audited = search(name="with", **told), search(name="without", audit=audit, **told)
    ends = run_all(apart, values)
    assert ends == ["complete", "complete", "pruned", "pruned", "pruned"]
    assert run_all(audited, values) == [*ends[:2], "complete", *ends[3:]]
    # Were 0.1 among the complete ones, the median would be 0.5, and trial 5 above it for a while
    assert [each.epochs_done for each in apart.tickets()] == [4, 4, 1, 1, 1]
    assert [each.epochs_done for each in audited.tickets()] == [4, 4, 4, 1, 1]


def test_who_is_spared_is_written_down_once_however_often_the_rule_would_stop_it(search):
    told = {"trials": 3, "epochs": EPOCHS, "pruner": "median", "settings": {"startup_trials": 2}}
    opened = search(audit=sparing(3, of=3), **told)
    run_all(opened, [0.5, 0.6, 0.1])
    assert opened.events(3).count(EventKind.KEPT_BY_AUDIT) == 1


def test_a_lost_answer_repeats_neither_the_decision_nor_its_record(search):
    opened = search(trials=3, epochs=EPOCHS, pruner="asha", settings=ASHA, audit=sparing(3, of=3))
    run_all(opened, [0.5, 0.6])
    hand = opened.hand("late")
    claim = hand.started()
    assert [hand.report(claim, 1, 0.1) for _ in range(3)] == ["continue"] * 3
    hand.ledger.release(claim, "paused")
    heir = opened.hand("heir")
    assert heir.report(heir.claim(), 1, 0.1) == "continue", "an older checkpoint"
    assert opened.events(3).count(EventKind.KEPT_BY_AUDIT) == 1


def test_the_bill(search, database, capsys):
    # 3, 5 and 6 are spared after epoch 1; 5 ends as the best of all, 3 and 6 end badly
    audit = sparing(3, 5, 6, of=8)
    opened = search(trials=8, epochs=EPOCHS, pruner="asha", settings=ASHA, audit=audit)
    values = [0.5, 0.6, 0.1, 0.2, 0.15, 0.12, 0.7, 0.01]
    ends = run_all(opened, values, finals={5: 0.83, 6: 0.05})
    assert ends == [
        *["complete"] * 3, "pruned", "complete", "complete", "complete", "pruned",
    ]  # fmt: skip
    record = read_study(database, opened.stored.name)
    bill = read_pruning_audit(database, record)
    assert bill is not None
    assert (bill.pruned, bill.epochs_saved, bill.epochs_paid) == (2, 6, 9)
    assert bill.spared[1] == KeptTrial(number=4, epoch=1, value=0.83, epochs_run=EPOCHS)
    # The others that ended: 0.53, 0.63, 0.73
    assert (bill.falsely_pruned, bill.false_rate) == (1, pytest.approx(1 / 3))
    assert bill.false_interval == pytest.approx((0.0615, 0.7923), abs=1e-4)
    assert bill.regret == pytest.approx(0.83 - 0.73)
    there = [0.5, 0.6, 0.1, 0.15, 0.12, 0.7]
    end = [0.53, 0.63, 0.13, 0.83, 0.05, 0.73]
    (rung,) = bill.rungs
    assert (rung.epoch, rung.trials) == (1, 6)
    assert rung.spearman == pytest.approx(spearmanr(there, end).statistic)
    assert rung.kendall == pytest.approx(kendalltau(there, end).statistic)
    told = json.loads(json.dumps(bill.as_json()))
    assert told["rungs"][0]["trials"] == 6
    _print_pruning(told, "val_accuracy")
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(
        "pruning saved up to 6 epochs; of 3 trials kept by the audit 1 would have been stopped "
        "falsely (33 %; 95 %: 6 to 79 %), regret 10.00 points, for 9 epochs rank correlation with "
        "the end: "
    )
    assert ranked(record)[0].number == 4, "a spared trial is complete, and may win"
    facts = read_facts(database, opened.stored.name)
    assert [found for rule in RULES for found in findings_of(rule, facts)] == []


def test_without_pruning_there_is_no_bill(search, database):
    opened = search(trials=2, epochs=EPOCHS)
    run_all(opened, [0.5, 0.6])
    assert read_pruning_audit(database, read_study(database, opened.stored.name)) is None


def test_a_bill_without_spared_trials_claims_no_rate(search, database):
    opened = search(trials=3, epochs=EPOCHS, pruner="asha", settings=ASHA)
    run_all(opened, [0.5, 0.6, 0.1])
    bill = read_pruning_audit(database, read_study(database, opened.stored.name))
    assert bill is not None
    assert (bill.pruned, bill.epochs_saved, bill.false_rate, bill.regret) == (1, 3, None, None)


def test_less_is_better_in_the_bill_too(search, database):
    told = {"trials": 4, "epochs": EPOCHS, "metric": "val_loss", "pruner": "asha"}
    opened = search(settings=ASHA, audit=sparing(3, 4, of=4), **told)
    # The spared ones end at 0.2, the best of all, and at 0.98, the worst
    assert run_all(opened, [0.5, 0.4, 0.9, 0.95], finals={3: 0.2}) == ["complete"] * 4
    bill = read_pruning_audit(database, read_study(database, opened.stored.name))
    assert bill is not None
    assert (bill.falsely_pruned, bill.false_rate) == (1, 0.5)
    assert bill.regret == pytest.approx(0.43 - 0.2)


def test_more_than_ten_stopped_trials_have_an_audited_one(search):
    """In so small a search the share comes to none; then it is the next that would be stopped."""
    audit = next(
        AuditSample(0.001, seed)
        for seed in range(999)
        if not any(map(AuditSample(0.001, seed).keeps, range(1, 21)))
    )
    opened = search(trials=20, epochs=EPOCHS, pruner="asha", settings=ASHA, audit=audit)
    falling = [0.9 - number / 100 for number in range(20)]
    ends = run_all(opened, falling)
    audited = [t for t in opened.tickets() if t.audited_from is not None]
    assert [ends[t.ticket - 1] for t in audited] == ["complete"]
    assert ends[: audited[0].ticket - 1].count("pruned") == 11
    assert [e.ticket for e in opened.event_log() if e.kind == EventKind.KEPT_BY_AUDIT] == [
        audited[0].ticket
    ]


def test_trials_that_an_earlier_version_spared_stay_so(storage_url):
    database = Database(storage_url)
    ensure_tables(database)
    opened = open_search(
        database,
        study_file(trials=4, epochs=EPOCHS),
        pruner="asha",
        settings=ASHA,
        audit=sparing(3, of=4),
    )
    run_all(opened, [0.5, 0.6, 0.1, 0.2])
    assert [t.audited_from for t in opened.tickets()] == [None, None, 1, None]
    database.write(go_back_to_0001)
    ensure_tables(database)
    assert [t.audited_from for t in opened.tickets()] == [None, None, 1, None]
    database.close()


def test_a_bill_leaves_out_trials_that_began_after_the_record_was_read(search, database):
    opened = search(
        trials=4, epochs=EPOCHS, pruner="asha", settings={**ASHA, "stop": False},
        audit=sparing(3, of=4),
    )  # fmt: skip
    before = read_study(database, opened.stored.name)
    run_all(opened, [0.5, 0.4, 0.1, 0.2])
    assert [kind for kind in opened.events(3) if kind == EventKind.KEPT_BY_AUDIT]
    assert read_pruning_audit(database, before) is None
