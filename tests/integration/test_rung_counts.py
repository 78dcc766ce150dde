"""Counts at rungs that read only what has changed are those of all trials, after any history."""

from __future__ import annotations

import random

import pytest
from support.ledger import Hand, Search, line_row

from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.rungs import RungCounter, end_waiting, reopen
from hpsearch.search.ledger.statements import lock_study
from hpsearch.search.ledger.types import Claim
from hpsearch.search.ledger.validity import invalidate, reinstate
from hpsearch.search.pruning.promotion import Rung

EPOCHS = 9


def plain(opened: Search) -> list[Rung]:
    """Count every ticket, one by one."""
    valid = [each for each in opened.tickets() if each.state is not TicketState.INVALID]
    found = []
    for epoch in opened.rules.rungs:
        there = [each for each in valid if each.epochs_done >= epoch]
        reached = [each for each in there if (each.audited_from or EPOCHS) >= epoch]
        promoted = [
            each
            for each in there
            if (each.audited_from is None or each.audited_from > epoch)
            and (each.rung is None or each.rung > epoch)
        ]
        waiting = [
            each for each in valid if each.state is TicketState.PAUSED and each.rung == epoch
        ]
        found.append(
            Rung(
                epoch=epoch,
                reached=len(reached),
                promoted=len(promoted),
                waiting=len(waiting),
            )
        )
    return found


def counted(opened: Search, counter: RungCounter) -> list[Rung]:
    """Count as a claim does."""
    return opened.database.write(counter.read)


class Chaos:
    """Does at random what workers and people do to a study."""

    def __init__(self, opened: Search, seed: int) -> None:
        self.opened, self.rng = opened, random.Random(seed)
        self.hand: Hand = opened.hand()
        self.held: list[Claim] = []

    def do(self) -> None:
        """Change something."""
        deeds = [self.claim, self.report, self.report, self.report, self.give_back, self.judge]
        self.rng.choice([*deeds, self.fail, self.end])()

    def claim(self) -> None:
        claimed = self.hand.claims.claim()
        if not isinstance(claimed, Claim):
            return
        if claimed.trial_id is None:
            self.hand.ledger.start(claimed, line_row(self.rng.random()))
        self.held.append(claimed)

    def report(self) -> None:
        if not self.held:
            return
        claim = self.rng.choice(self.held)
        done = self.opened.ticket(claim.ticket).epochs_done
        if self.hand.report(claim, done + 1, self.rng.random(), last=done + 1 == EPOCHS) != (
            "continue"
        ):
            self.held.remove(claim)

    def give_back(self) -> None:
        if self.held:
            self.hand.ledger.release(self.taken(), "told to leave")

    def fail(self) -> None:
        if self.held:
            self.hand.ledger.fail(self.taken(), "broken", retry=self.rng.random() < 0.5)

    def taken(self) -> Claim:
        return self.held.pop(self.rng.randrange(len(self.held)))

    def judge(self) -> None:
        opened, states = self.opened, (TicketState.COMPLETE, TicketState.PRUNED)
        ended = [each for each in opened.tickets() if each.state in states]
        invalid = [each for each in opened.tickets() if each.state is TicketState.INVALID]
        if invalid and self.rng.random() < 0.6:
            chosen = self.rng.choice(invalid).ticket
            reinstate(opened.database, opened.study_id, chosen, opened.file.goals)
        elif ended:
            invalidate(opened.database, opened.study_id, self.rng.choice(ended).ticket, "wrong")

    def end(self) -> None:
        """End some of those that wait, or let those that ended wait again."""
        opened, ledger = self.opened, self.hand.ledger
        again = self.rng.random() < 0.3

        def work(connection):
            lock_study(connection, opened.study_id)
            if again:
                reopen(connection, opened.study_id, opened.file.goals)
            else:
                end_waiting(connection, opened.study_id, opened.rules, owner=ledger.owner, most=2)

        opened.database.write(work)


@pytest.mark.parametrize("seed", range(4))
def test_counts_that_read_what_has_changed_are_those_of_all_trials(search, seed):
    opened = search(trials=60, epochs=EPOCHS, pruner="asha", settings={"startup_trials": 3})
    chaos, counter = Chaos(opened, seed), RungCounter(opened.study_id, opened.rules.rungs)
    rare = RungCounter(opened.study_id, opened.rules.rungs)
    for step in range(120):
        chaos.do()
        assert counted(opened, counter) == plain(opened), step
        if step % 17 == 0:  # another worker, to which more has happened since
            assert counted(opened, rare) == plain(opened), step
    assert plain(opened)[0].reached > 5
    assert opened.counts().invalid + opened.counts().failed > 0


def test_a_count_in_a_transaction_that_fails_leaves_no_trace(search):
    """A claim counts trials that it has just ended; if it fails, they go on."""
    opened = search(trials=9, epochs=EPOCHS, pruner="asha", max_failures=1)
    hand, counter = opened.hand(), RungCounter(opened.study_id, opened.rules.rungs)
    claim = hand.started()
    hand.report(claim, 1, 0.5)
    claim = hand.started()
    assert counted(opened, counter) == plain(opened)

    class Broken(Exception):
        pass

    def work(connection):
        ledger: Ledger = hand.ledger
        lock_study(connection, opened.study_id)
        ledger._fence.update(connection, claim, state=TicketState.FAILED, epochs_done=3)
        counter.read(connection)
        raise Broken

    with pytest.raises(Broken):
        opened.database.write(work)
    assert counted(opened, counter) == plain(opened)
    hand.report(claim, 1, 0.4)
    assert counted(opened, counter) == plain(opened)
