"""Claiming: exactly the budget, each ticket to one worker, the dead's tickets to the living."""

from __future__ import annotations

from collections import Counter

import pytest
from support.ledger import LEASE, open_search, running_leases
from support.processes import in_processes, work_until_finished
from support.searching import study_file

from hpsearch.errors import LeaseLost
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.types import CheckpointRef, Idle

CHECKPOINT = CheckpointRef(key="line/abc/1/epoch_1.pt", sha256="0" * 64, epoch=1)


def test_eight_processes_run_sixty_tickets_once_each(prepared_url, search):
    """Stock Optuna on SQLite ran 36 of 120 queued trials more than once."""
    answers = in_processes(
        work_until_finished, [(prepared_url, f"worker-{number}", 60) for number in range(8)]
    )
    finished = sum(answers, Counter())
    assert finished == Counter(range(1, 61))
    opened = search(trials=60, epochs=1)
    counts = opened.counts()
    assert (counts.total, counts.complete, counts.epochs_run) == (60, 60, 60)
    assert [trial.number for trial in opened.trials()] == list(range(60))
    assert sorted(trial.user_attrs["ticket"] for trial in opened.trials()) == list(range(1, 61))

    # Launched again: nothing is added; with a larger budget, the difference.
    assert opened.hand("late").idle() is Idle.FINISHED
    assert opened.counts().total == 60
    more = search(trials=63, epochs=1).hand("later")
    for ticket in (61, 62, 63):
        claim = more.started()
        assert claim.ticket == ticket
        more.finish(claim, [0.5])
    assert more.idle() is Idle.FINISHED


def test_a_smaller_budget_takes_nothing_back(search):
    hand = search(trials=3).hand()
    for _ in range(3):
        hand.finish(hand.started())
    fewer = search(trials=1)
    assert fewer.hand().idle() is Idle.FINISHED
    assert fewer.counts().complete == 3


def test_what_has_no_time_before_a_deadline_stays_for_later(search):
    opened = search(trials=2)
    hand = opened.hand("one")
    claim = hand.started()
    hand.report(claim, 1, 0.5)
    hand.ledger.release(claim, "no time")
    asked = []
    hand.claims._has_time = lambda epochs, seconds: asked.append(epochs)
    assert hand.idle() is Idle.OUT_OF_TIME
    assert sorted(set(asked)) == [0, 1]
    assert opened.ticket(1).state is TicketState.PAUSED
    hand.claims._has_time = lambda epochs, seconds: True
    assert (hand.claim().ticket, hand.claim().ticket) == (1, 2)


def test_a_claim_says_all_that_a_worker_must_know(search):
    opened = search(trials=2)
    claim = opened.hand("one").claim()
    assert (claim.ticket, claim.attempt, claim.study_id) == (1, 1, opened.study_id)
    assert (claim.trial_id, claim.number, claim.params) == (None, None, None)
    assert (claim.epochs_done, claim.infeasible, claim.checkpoint) == (0, 0, None)
    ticket = opened.ticket(1)
    assert (ticket.state, ticket.owner) == (TicketState.RUNNING, "one")
    assert opened.events() == ["claimed"]


def test_who_finds_nothing_waits_while_others_work(search):
    opened = search(trials=1)
    one, two = opened.hand("one"), opened.hand("two")
    claim = one.started()
    assert two.idle() is Idle.WAIT
    one.finish(claim)
    assert two.idle() is Idle.FINISHED


def test_a_released_ticket_goes_to_the_next_worker_at_once(search):
    opened = search(trials=5)
    one, two = opened.hand("one"), opened.hand("two")
    claim = one.started()
    one.report(claim, 1, 0.5, CHECKPOINT)
    one.ledger.release(claim, "SIGTERM", CHECKPOINT)
    assert opened.ticket(1).state is TicketState.PAUSED

    again = two.claim()
    assert (again.ticket, again.attempt, again.epochs_done) == (1, 2, 1)
    assert (again.trial_id, again.number) == (claim.trial_id, claim.number)
    assert again.params == {"lr": 0.01}
    assert again.checkpoint == CHECKPOINT
    two.finish(again, [0.6, 0.7], first=2)
    assert opened.events(1)[-3:] == ["released", "resumed", "complete"]
    assert len(opened.trials()) == 1, "one logical trial is one row, whoever works on it"


def test_a_dead_workers_ticket_is_free_after_its_lease_and_not_before(search):
    opened = search(trials=1)
    dead, heir = opened.hand("dead"), opened.hand("heir")
    claim = dead.started()
    dead.report(claim, 1, 0.5, CHECKPOINT)

    assert heir.idle() is Idle.WAIT
    heir.look(LEASE - 5)
    assert heir.idle() is Idle.WAIT
    heir.look(5)
    taken = heir.claim()
    assert (taken.ticket, taken.attempt, taken.checkpoint) == (1, 2, CHECKPOINT)
    assert "lease_expired" in opened.events(1)


def test_the_length_of_a_lease_is_its_owners(search):
    opened = search(trials=1)
    opened.hand("slow", lease_seconds=10 * LEASE).claim()
    heir = opened.hand("heir", lease_seconds=1.0)
    assert heir.idle() is Idle.WAIT
    heir.look(9 * LEASE)
    assert heir.idle() is Idle.WAIT
    heir.look(LEASE)
    assert heir.claim().attempt == 2


@pytest.mark.parametrize("sign_of_life", ["renew", "report"])
def test_a_living_workers_ticket_is_never_free(search, sign_of_life):
    opened = search(trials=1, epochs=50)
    owner, other = opened.hand("owner"), opened.hand("other")
    claim = owner.started()
    assert other.idle() is Idle.WAIT
    for epoch in range(1, 20):
        other.look(LEASE - 5)
        if sign_of_life == "renew":
            owner.ledger.renew(claim)
        else:
            owner.report(claim, epoch, 0.5)
        assert other.idle() is Idle.WAIT


def test_a_renewal_in_the_last_moment_keeps_the_ticket(search):
    """The watcher has seen a whole lease pass; before it locks the ticket, the owner renews."""
    opened = search(trials=1)
    owner, other = opened.hand("owner"), opened.hand("other")
    claim = owner.started()
    other.idle()
    other.look(LEASE)
    expired = other.claims._watch.expired(opened.database.read(running_leases))
    assert [lease.ticket for lease in expired] == [1]
    owner.ledger.renew(claim)
    opened.database.write(lambda connection: other.claims._free(connection, expired[0]))
    assert opened.ticket(1).owner == "owner"
    assert opened.events() == ["claimed", "started"]


def test_no_clock_is_compared(search, monkeypatch):
    """A worker whose wall clock is a day off takes nothing from the living."""
    from hpsearch.search.ledger import events

    opened = search(trials=1)
    owner, other = opened.hand("owner"), opened.hand("other")
    owner.started()

    class Tomorrow(events.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz).replace(year=2099)

    monkeypatch.setattr(events, "datetime", Tomorrow)
    assert other.idle() is Idle.WAIT
    other.look(LEASE - 5)
    assert other.idle() is Idle.WAIT


def test_several_expired_tickets_go_to_several_workers(search):
    opened = search(trials=3)
    dead = opened.hand("dead")
    for _ in range(3):
        dead.claim()
    heirs = [opened.hand(f"heir-{number}") for number in range(3)]
    for heir in heirs:
        assert heir.idle() is Idle.WAIT
        heir.look(LEASE)
    assert [heir.claim().ticket for heir in heirs] == [1, 2, 3]
    assert heirs[0].idle() is Idle.WAIT


def test_the_tickets_of_a_worker_known_to_be_dead_are_free_at_once(search):
    opened = search(trials=3)
    dead, living = opened.hand("dead"), opened.hand("living")
    first, second = dead.claim(), dead.claim()
    kept = living.claim()
    assert free_tickets_of(opened.database, opened.study_id, "dead") == 2
    assert [ticket.state for ticket in opened.tickets()] == ["paused", "paused", "running"]
    assert [living.claim().ticket for _ in range(2)] == [first.ticket, second.ticket]
    living.ledger.renew(kept)
    assert free_tickets_of(opened.database, opened.study_id, "dead") == 0
    assert opened.events(1) == ["claimed", "worker_died", "resumed"]


def test_a_ticket_that_kills_its_workers_ends_as_failed(search):
    """A configuration that segfaults: three dead workers, then nobody takes it any more."""
    opened = search(trials=1, max_failures=3)
    for number in range(3):
        hand = opened.hand(f"victim-{number}")
        hand.claim() if number else hand.started()
        free_tickets_of(opened.database, opened.study_id, f"victim-{number}", max_failures=3)
    assert opened.hand("next").idle() is Idle.FINISHED
    ticket = opened.ticket(1)
    assert (ticket.state, ticket.failures) == (TicketState.FAILED, 3)
    assert ticket.last_error == "the worker process died"
    assert [trial.state.name for trial in opened.trials()] == ["FAIL"]


def test_a_stop_reaches_the_workers_that_were_there_and_not_later_ones(search):
    opened = search(trials=9)
    hand = opened.hand("here")
    claim = hand.started()
    assert hand.ledger.renew(claim) == 0
    studies.request_stop(opened.database, opened.study_id)
    assert hand.ledger.renew(claim) == 1
    hand.ledger.release(claim, "stopped")
    assert hand.idle() is Idle.STOPPED
    assert opened.hand("launched afterwards").claim().ticket == 1


def test_studies_of_one_database_do_not_meet(search):
    first, second = search(name="first", trials=2), search(name="second", trials=1)
    one, two = first.hand("same name"), second.hand("same name")
    claims = [one.started(), two.started(), one.started()]
    assert [(claim.ticket, claim.number) for claim in claims] == [(1, 0), (1, 0), (2, 1)]
    assert two.idle() is Idle.WAIT
    free_tickets_of(first.database, first.study_id, "same name")
    assert second.ticket(1).state is TicketState.RUNNING
    assert [counts.total for counts in (first.counts(), second.counts())] == [2, 1]


def test_a_claim_is_not_for_another_owner(search):
    """The attempt alone isn't enough: a worker must also be the one that claimed it."""
    opened = search(trials=1)
    claim = opened.hand("one").started()
    with pytest.raises(LeaseLost):
        opened.hand("two").report(claim, 1, 0.5)


def test_a_ticket_that_is_given_back_amid_a_claim_is_no_end(
    postgres, postgres_prepared, monkeypatch
):
    """Neither lost when the claim looks for lost ones, nor running when it looks for those.

    (SQLite has one writer at a time.)
    """
    database = Database(postgres_prepared)
    opened = open_search(database, study_file(trials=1))
    owner, other = opened.hand("owner"), opened.hand("other")
    held = owner.started()
    monkeypatch.setattr(
        "hpsearch.search.ledger.claims.next_promoted",
        lambda *_, **__: owner.ledger.release(held, "told to leave"),
    )
    assert other.idle() is Idle.WAIT
    monkeypatch.undo()
    assert (other.claim().ticket, opened.ticket().attempt) == (1, 2)
    database.close()
    postgres.empty(postgres_prepared)


def test_a_claim_knows_how_many_trials_ran(search):
    opened = search(trials=3)
    assert [opened.hand(name).claim().running for name in ("one", "two", "three")] == [0, 1, 2]
