"""Trials that pause at rungs and are promoted: claims, reports, ends, and more budget."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState
from support.ledger import LosesAnswers, Search, line_row, open_search
from support.searching import study_file

from hpsearch.reporting.pruning_audit import read_pruning_audit
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.results.ranking import best, contenders, leader
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import read_snapshot
from hpsearch.search.database.tables import TicketState
from hpsearch.search.database.tables import studies as studies_table
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger import ledger as ledger_module
from hpsearch.search.ledger import rungs, studies
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.decision import AuditSample
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.ledger.types import CheckpointRef, Idle
from hpsearch.search.pruning.forecast import expected_complete
from hpsearch.search.pruning.promotion import Promotion

EPOCHS = 9


def sound(opened: Search) -> None:
    """Check every rule of `hpsearch doctor` about rows."""
    facts = read_snapshot(opened.database, lambda c: read_facts(c, opened.stored.name))
    assert not [finding for rule in RULES for finding in findings_of(rule, facts)]


def checkpoint(ticket: int, epoch: int) -> CheckpointRef:
    return CheckpointRef(key=f"line/{ticket}/epoch-{epoch}.pt", sha256="a" * 64, epoch=epoch)


def tried(hand, *values: float) -> list[str]:
    """Start one trial for each value and report its first epoch."""
    return [hand.report(hand.started(), 1, value) for value in values]


def states(opened: Search) -> list[str]:
    return [ticket.state.value for ticket in opened.tickets()]


def test_a_trial_waits_at_the_first_rung_and_the_best_third_goes_on(search):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    assert tried(hand, 0.5, 0.3) == ["paused", "paused"]
    assert [(t.state, t.rung, t.owner) for t in opened.tickets()] == [("paused", 1, None)] * 2
    # The third makes one promotion due, and the first is the one to go on
    assert tried(hand, 0.4) == ["paused"]
    claim = hand.claim()
    assert (claim.ticket, claim.attempt, claim.epochs_done) == (1, 2, 1)
    assert opened.ticket(1).rung is None
    # One of three is promoted: the next work is a new trial
    assert hand.started().ticket == 4
    sound(opened)


def test_the_trial_that_would_be_claimed_next_goes_on_at_once(search):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    assert tried(hand, 0.3, 0.4, 0.5) == ["paused", "paused", "continue"]
    third = opened.ticket(3)
    assert (third.state, third.attempt, third.owner, third.rung) == ("running", 1, "one", None)
    assert [e.kind for e in opened.event_log(3)] == ["claimed", "started"]
    sound(opened)


def test_less_is_better_for_a_loss(search):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha", metric="val_loss")
    hand = opened.hand()
    assert tried(hand, 0.5, 0.3, 0.4) == ["paused", "paused", "paused"]
    assert hand.claim().ticket == 2


def test_of_equal_trials_the_lower_ticket_goes_first(search):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    assert tried(hand, 0.5, 0.5, 0.4)[-1] == "paused"
    assert hand.claim().ticket == 1


def test_a_higher_rung_is_served_first(search):
    opened = search(trials=12, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    values = iter((0.9, 0.1, 0.1, 0.8, 0.1, 0.1, 0.7, 0.1, 0.1))
    at_three = []
    for _ in range(3):
        assert tried(hand, *(next(values) for _ in range(3)))[-1] == "paused"
        claim = hand.claim()
        assert hand.report(claim, 2, 0.9) == "continue"
        at_three.append(hand.report(claim, 3, 0.9 - 0.1 * len(at_three)))
    # Three have come to epoch 3: ticket 1, the best there, is promoted before a new trial
    assert at_three == ["paused"] * 3
    claim = hand.claim()
    assert (claim.ticket, claim.epochs_done) == (1, 3)
    assert hand.finish(claim, [0.9] * 6, first=4) == "complete"
    sound(opened)


def test_what_was_lost_goes_on_before_anything_is_promoted(search):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    one, two = opened.hand("one"), opened.hand("two")
    lost = two.started()
    assert tried(one, 0.5, 0.4) == ["paused", "paused"]
    third = one.started()
    free_tickets_of(opened.database, opened.study_id, "two")
    # By the promotions alone it would be handed back; but a lost trial comes first
    assert one.report(third, 1, 0.9) == "paused"
    claim = one.claim()
    assert claim.ticket == lost.ticket
    one.ledger.release(claim, "told to leave")
    assert opened.ticket(claim.ticket).rung is None
    assert one.claim().ticket == claim.ticket
    assert two.claim().ticket == third.ticket
    sound(opened)


def test_a_promoted_trial_that_is_lost_keeps_its_place(search):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    one, two = opened.hand("one"), opened.hand("two")
    tried(one, 0.5, 0.4, 0.3)
    assert two.claim().ticket == 1
    free_tickets_of(opened.database, opened.study_id, "two")
    # Lost right after its promotion: it is owed to nobody else, and it isn't promoted twice
    claim = one.claim()
    assert (claim.ticket, claim.attempt) == (1, 3)
    assert two.started().ticket == 4
    sound(opened)


def test_when_the_budget_is_used_what_waits_ends_pruned(search, monkeypatch):
    monkeypatch.setattr(rungs, "LEAST_COMPLETE", 0)
    opened = search(trials=4, epochs=EPOCHS, pruner="asha")
    one, two = opened.hand("one"), opened.hand("two")
    tried(one, 0.5, 0.4, 0.3)
    first = two.claim()
    assert tried(one, 0.2) == ["paused"]
    # While one still trains, others may yet be promoted
    assert one.idle() is Idle.WAIT
    assert states(opened) == ["running", "paused", "paused", "paused"]
    assert two.report(first, 2, 0.6) == "continue"
    assert two.report(first, 3, 0.7) == "paused"
    assert two.idle() is Idle.FINISHED
    assert states(opened) == ["pruned"] * 4
    assert one.idle() is Idle.FINISHED
    rows = opened.trials()
    assert [row.state for row in rows] == [OptunaState.PRUNED] * 4
    assert [row.value for row in rows] == [0.7, 0.4, 0.3, 0.2]
    assert opened.counts().all_ended(4, exhausted=False)
    sound(opened)


def noted(opened: Search) -> list[dict[str, object]]:
    keys = ("val_confusion", "energy_joules")
    return [
        {key: trial.user_attrs[key] for key in keys if key in trial.user_attrs}
        for trial in opened.trials()
    ]


def test_a_trial_that_waits_keeps_what_an_ended_one_keeps(search, monkeypatch):
    """It may end where it waits, and then nobody could work it out any more."""
    monkeypatch.setattr(rungs, "LEAST_COMPLETE", 0)
    opened = search(trials=3, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    matrices = [[[3, 1], [number, 4]] for number in range(4)]
    first = hand.started()
    attributes = {"energy_joules": 1.0}
    hand.report(first, 1, 0.5, val_confusion=matrices[0], attributes=attributes)
    hand.report(hand.started(), 1, 0.4, val_confusion=matrices[1])
    hand.report(hand.started(), 1, 0.3, val_confusion=matrices[2])
    assert noted(opened) == [
        {"val_confusion": matrices[0], **attributes},
        {"val_confusion": matrices[1]},
        {"val_confusion": matrices[2]},
    ]
    # One that goes on has none, or it would be taken for its newest epoch's
    claim = hand.claim()
    assert noted(opened)[0] == attributes
    hand.report(claim, 2, 0.6, val_confusion=matrices[2])
    attributes = {"energy_joules": 3.0}
    hand.report(claim, 3, 0.7, val_confusion=matrices[3], attributes=attributes)
    assert hand.idle() is Idle.FINISHED
    assert states(opened) == ["pruned"] * 3
    assert noted(opened) == [
        {"val_confusion": matrices[3], **attributes},
        {"val_confusion": matrices[1]},
        {"val_confusion": matrices[2]},
    ]
    sound(opened)


@pytest.mark.parametrize(
    ("trials", "complete"), [(1, 1), (2, 2), (3, 3), (5, 3), (8, 3)], ids=lambda number: str(number)
)
def test_the_smallest_study_has_something_to_compare(search, trials, complete):
    """By thirds of thirds none of eight trials would be complete."""
    opened = search(trials=trials, epochs=EPOCHS, pruner="asha")
    finished(opened)
    counts = opened.counts()
    assert (counts.complete, counts.finished) == (complete, trials)
    assert expected_complete(Promotion(), trials, EPOCHS) == complete
    assert opened.ticket(trials).state == "complete"  # the best one, the last that began
    sound(opened)


def test_no_more_than_the_least_are_trained_at_once(search):
    opened = search(trials=4, epochs=EPOCHS, pruner="asha")
    hands = [opened.hand(f"{number}") for number in range(4)]
    claims = [hand.started() for hand in hands]
    for hand, claim in zip(hands, claims, strict=True):
        hand.report(claim, 1, 0.5)
    assert [hand.claim().ticket for hand in hands[:3]] == [1, 2, 3]
    assert hands[3].idle() is Idle.WAIT
    # One that fails is made up for
    hands[0].ledger.fail(replace(claims[0], attempt=2), "diverged", retry=False)
    assert hands[3].claim().ticket == 4


def finished(opened: Search) -> None:
    hand = opened.hand()
    while not isinstance(claim := hand.claims.claim(), Idle):
        if claim.trial_id is None:
            hand.ledger.start(claim, line_row(claim.ticket / 100))
        for epoch in range(claim.epochs_done + 1, EPOCHS + 1):
            if hand.report(claim, epoch, claim.ticket / 100 + epoch / 1000) != "continue":
                break
    assert claim is Idle.FINISHED


def test_more_budget_lets_them_wait_again_and_promotes_them(search, database):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    finished(opened)
    before = {t.ticket: t for t in opened.tickets()}
    assert {t.state for t in before.values()} == {TicketState.COMPLETE, TicketState.PRUNED}
    ended = [t.ticket for t in before.values() if t.state is TicketState.PRUNED]

    studies.attach(database, study_file(trials=18, epochs=EPOCHS))
    waiting = [t for t in opened.tickets() if t.state is TicketState.PAUSED]
    assert [t.ticket for t in waiting] == ended
    assert all(t.checkpoint is None for t in waiting)  # its file is gone
    rows = {row.number: row for row in opened.trials()}
    assert all(rows[t.number].state is OptunaState.RUNNING for t in waiting)
    assert all(rows[t.number].value is None for t in waiting)
    sound(opened)

    hand = opened.hand()
    # The new trials are worse, so promotions that they make due go to the old ones
    promoted = []
    while not isinstance(claim := hand.claims.claim(), Idle):
        if claim.trial_id is None:
            hand.ledger.start(claim, line_row(claim.ticket / 100))
        else:
            promoted.append(claim.ticket)
        done = claim.epochs_done if claim.checkpoint is not None else 0
        for epoch in range(done + 1, EPOCHS + 1):
            if hand.report(claim, epoch, 0.001) != "continue":
                break
    assert set(promoted) & set(ended)
    assert len([t for t in opened.tickets() if t.state.is_finished]) == 18
    sound(opened)


def test_checkpoints_of_waiting_trials_are_bounded_and_the_worst_give_way(search, monkeypatch):
    monkeypatch.setattr(ledger_module, "most_paused", lambda running: 3)
    opened = search(trials=9, epochs=EPOCHS, pruner="asha", settings={"reduction_factor": 5})
    hand = opened.hand()
    tried(hand, 0.5, 0.2, 0.4)
    assert hand.ledger.end_excess() == []
    tried(hand, 0.3)
    assert hand.ledger.end_excess() == [1]  # Optuna's number of ticket 2
    assert states(opened) == ["paused", "pruned", "paused", "paused"]
    assert opened.trials()[1].value == 0.2
    sound(opened)
    # It counts among those that reached the rung: five have, so the best goes on
    assert tried(hand, 0.1) == ["paused"]
    assert hand.claim().ticket == 1


def audited(ticket: int, of: int) -> AuditSample:
    return next(
        audit
        for audit in (AuditSample(0.2, seed) for seed in range(10_000))
        if [each for each in range(1, of + 1) if audit.keeps(each)] == [ticket]
    )


def test_the_audit_keeps_a_trial_alive_and_out_of_the_others_way(search):
    opened = search(trials=6, epochs=EPOCHS, pruner="asha", audit=audited(2, of=6))
    hand = opened.hand()
    assert tried(hand, 0.5) == ["paused"]
    second = hand.started()
    assert hand.report(second, 1, 0.1) == "continue"
    assert [e.detail for e in opened.event_log(2) if e.kind == EventKind.KEPT_BY_AUDIT] == [
        {"epoch": 1, "value": 0.1}
    ]
    assert hand.finish(second, [0.2] * 8, first=2) == "complete"
    # It has reached the rung for the others' quota, and used none of it
    assert tried(hand, 0.3) == ["paused"]
    assert hand.claim().ticket == 1
    sound(opened)


def test_a_small_search_has_one_audited_trial(search):
    """The share alone would spare none of these twenty."""
    seed = next(
        seed for seed in range(999) if not any(map(AuditSample(0.001, seed).keeps, range(1, 21)))
    )
    opened = search(trials=20, epochs=EPOCHS, pruner="asha", audit=AuditSample(0.001, seed))
    hand = opened.hand()
    # Each is worse than those before, so nobody is promoted from where it stands
    values = [0.9 - number / 100 for number in range(20)]
    while not isinstance(claim := hand.claims.claim(), Idle):
        if claim.trial_id is None:
            hand.ledger.start(claim, line_row(values[claim.ticket - 1]))
        for epoch in range(claim.epochs_done + 1, EPOCHS + 1):
            if hand.report(claim, epoch, values[claim.ticket - 1]) != "continue":
                break
    events = [event for each in opened.tickets() for event in opened.event_log(each.ticket)]
    assert [event.kind for event in events].count(EventKind.KEPT_BY_AUDIT) == 1
    sound(opened)


def test_an_audited_trial_that_is_lost_waits_at_no_rung(search):
    opened = search(trials=6, epochs=EPOCHS, pruner="asha", audit=audited(1, of=6))
    hand = opened.hand()
    first = hand.started()
    assert hand.report(first, 1, 0.1) == "continue"
    hand.ledger.release(first, "told to leave")
    first = hand.claim()
    assert first.ticket == 1
    assert hand.report(first, 2, 0.1) == "continue"
    assert hand.report(first, 3, 0.1) == "continue"


def tried_with(hand, *figures: tuple[float, int]) -> list[str]:
    """Start a trial for each accuracy and number of parameters, and report its first epoch."""
    return [
        hand.report(hand.started(), 1, accuracy, measured={"parameters": size})
        for accuracy, size in figures
    ]


SMALL_AND_GOOD = {"objectives": ("val_accuracy", "parameters"), "by_fronts": True}


def test_several_objectives_promote_the_first_front_before_the_second(search, monkeypatch):
    opened = search(trials=12, epochs=EPOCHS, pruner="asha", **SMALL_AND_GOOD)
    hand = opened.hand()
    # Tickets 1 and 3 are the first front; within it the more accurate goes first
    assert tried_with(hand, (0.9, 1000), (0.8, 1000), (0.5, 10)) == ["paused"] * 3
    claim = hand.claim()
    assert claim.ticket == 1
    # What it shows later is no matter at the rung that it has left
    assert hand.report(claim, 2, 0.1, measured={"parameters": 1000}) == "continue"
    assert tried_with(hand, (0.85, 1000), (0.7, 1000), (0.6, 1000)) == ["paused"] * 3
    # The least accurate of all, and the smallest: ticket 1 dominates the others that wait
    assert hand.claim().ticket == 3
    assert tried_with(hand, (0.3, 1000), (0.2, 1000), (0.1, 1)) == ["paused", "paused", "continue"]
    # Every trial of the first front has gone on: the second front is the next best
    monkeypatch.setattr(ledger_module, "most_paused", lambda running: 1)
    assert hand.ledger.end_excess() == [1, 4, 5, 6, 7]  # numbers; ticket 4 goes on waiting
    assert opened.ticket(4).state is TicketState.PAUSED
    assert tried_with(hand, (0.05, 2000), (0.04, 2000), (0.5, 2000))[-1] == "paused"
    assert hand.claim().ticket == 4
    sound(opened)


def test_by_prune_on_several_objectives_promote_by_it_alone(search):
    several = {**SMALL_AND_GOOD, "by_fronts": False}
    opened = search(trials=12, epochs=EPOCHS, pruner="asha", **several)
    hand = opened.hand()
    tried_with(hand, (0.9, 1000), (0.8, 1000), (0.5, 10))
    assert hand.claim().ticket == 1
    tried_with(hand, (0.7, 1000), (0.6, 1000), (0.55, 1000))
    assert hand.claim().ticket == 2


def test_trials_of_several_objectives_wait_again_by_fronts(search, database, monkeypatch):
    monkeypatch.setattr(rungs, "LEAST_COMPLETE", 0)
    monkeypatch.setattr(rungs, "most_paused", lambda running: 2)
    opened = search(
        trials=3, epochs=2, pruner="asha", settings={"startup_trials": 9}, **SMALL_AND_GOOD
    )
    hand = opened.hand()
    tried_with(hand, (0.9, 1000), (0.8, 1000), (0.5, 10))
    assert hand.idle() is Idle.FINISHED
    studies.attach(database, study_file(trials=6, epochs=2, **SMALL_AND_GOOD))
    assert states(opened) == ["paused", "pruned", "paused"]
    sound(opened)


def test_several_objectives_from_before_go_on_by_one(database):
    """Earlier versions stored the first metric as ``prune_on`` of a file that had none."""
    stored = studies.attach(database, study_file(**{**SMALL_AND_GOOD, "by_fronts": False}))
    now = replace(study_file(**SMALL_AND_GOOD), auto_sections=frozenset({"prune_on"}))
    attached = studies.attach(database, now)
    assert attached.study_id == stored.study_id
    assert attached.document["prune_on"] == "val_accuracy"


def with_rule(file, **settings):
    """Return the study file with ``asha`` in its document, as one that was read has it."""
    rule = {"asha": {"reduction_factor": 3, "min_epochs": 1, **settings}}
    return replace(file, document={**file.document, "pruner": rule})


def test_the_audit_counts_only_what_would_have_waited_to_the_end(database):
    file = with_rule(study_file(trials=6, epochs=EPOCHS), stop=False)
    opened = open_search(database, file, pruner="asha", audit=audited(1, of=6))
    hand = opened.hand()
    # The first alone at its rung: nothing could promote it yet, but later it is the best of six
    assert hand.finish(hand.started(), [0.9] * 9) == "complete"
    while not isinstance(claim := hand.claims.claim(), Idle):
        if claim.trial_id is None:
            hand.ledger.start(claim, line_row(claim.ticket / 100))
        for epoch in range(claim.epochs_done + 1, EPOCHS + 1):
            if hand.report(claim, epoch, 0.1) != "continue":
                break
    audit = read_pruning_audit(database, read_study(database, opened.stored.name))
    assert audit is not None
    assert audit.spared == []


def test_a_report_whose_answer_was_lost_is_answered_alike(prepared_url):
    lossy = LosesAnswers(prepared_url)
    opened = open_search(lossy, study_file(trials=3, epochs=EPOCHS), pruner="asha")
    hand = opened.hand()
    first, second = hand.started(), hand.started()
    hand.report(first, 1, 0.5)
    lossy.to_lose = 1
    assert hand.report(second, 1, 0.4, checkpoint(2, 1)) == "paused"
    assert states(opened) == ["paused", "paused"]
    third = hand.started()
    lossy.to_lose = 1
    assert hand.report(third, 1, 0.9) == "continue"
    assert states(opened) == ["paused", "paused", "running"]
    sound(opened)
    lossy.close()


def test_samplers_see_where_unfinished_trials_are(search, database):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    tried(hand, 0.5, 0.4, 0.3)
    history = TrialHistory(database, opened.study_id, StudyDirection.MAXIMIZE, partial=True)
    seen = history.refresh()
    assert [(t.state, t.value, t.intermediate_values) for t in seen] == [
        (OptunaState.PRUNED, value, {1: value}) for value in (0.5, 0.4, 0.3)
    ]
    first = hand.claim()
    hand.report(first, 2, 0.7)
    assert history.refresh()[0].intermediate_values == {2: 0.7}
    assert hand.finish(first, [0.8] * 1, first=3) == "paused"
    plain = TrialHistory(database, opened.study_id, StudyDirection.MAXIMIZE).refresh()
    assert [trial.state for trial in plain] == [OptunaState.RUNNING] * 3


def test_who_is_ahead_needs_no_complete_trial(search, database):
    opened = search(trials=9, epochs=EPOCHS, pruner="asha")
    hand = opened.hand()
    tried(hand, 0.5, 0.4)
    record = read_study(database, opened.stored.name)
    assert best(record) is None
    assert leader(record).ticket == 1
    tried(hand, 0.3)
    first = hand.claim()
    assert (hand.report(first, 2, 0.2), hand.report(first, 3, 0.25)) == ("continue", "paused")
    # Only those that came furthest count, whatever the others had earlier
    assert [t.ticket for t in contenders(read_study(database, opened.stored.name))] == [1]
    finished(opened)
    record = read_study(database, opened.stored.name)
    assert leader(record) == best(record) is not None
    # A confirmation may still take what ended at the last rung
    assert len(contenders(record)) > record.counts.complete


def test_a_study_from_before_goes_on_stopping(database):
    """Its stored document has no ``stop``, and its file, unchanged, means another rule now."""
    file = study_file(trials=3, epochs=EPOCHS)
    before = with_rule(file)
    asha = before.document["pruner"]
    stored = studies.attach(database, before)
    for _ in range(2):
        attached = studies.attach(database, with_rule(file, stop=False))
        assert attached.study_id == stored.study_id
        assert attached.document["pruner"] == {"asha": {**asha["asha"], "stop": True}}
    raw = database.read(lambda c: c.execute(sa.select(studies_table.c.document)).scalar_one())
    assert json.loads(raw)["pruner"] == asha


def test_a_new_study_that_promotes_refuses_to_stop(database):
    file = study_file(trials=3, epochs=EPOCHS)
    studies.attach(database, with_rule(file, stop=False))
    with pytest.raises(studies.StudyMismatch, match="stop: false -> true"):
        studies.attach(database, with_rule(file, stop=True))
