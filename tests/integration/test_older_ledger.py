"""A worker notices that its ledger is older than it was: somebody put a copy in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from support.ledger import Search

from hpsearch.errors import DatabaseReplaced
from hpsearch.search.database.tables import epochs, events, tickets
from hpsearch.search.ledger.seen_events import SameLedger


def change(opened: Search, statement: Any) -> None:
    opened.database.write(lambda connection: connection.execute(statement) and None)


@pytest.fixture
def opened(search: Callable[..., Search]) -> Search:
    return search()


OLDER_LOGS = [
    pytest.param(sa.delete(events), id="the event isn't there yet"),
    pytest.param(sa.update(events).values(at="2020-01-01T00:00:00"), id="another one has its id"),
]


@pytest.mark.parametrize("older", OLDER_LOGS)
def test_a_worker_takes_nothing_more(opened: Search, older: Any) -> None:
    hand = opened.hand()
    hand.finish(hand.started())
    hand.claim()  # nothing has changed
    change(opened, older)
    left = opened.tickets()
    with pytest.raises(DatabaseReplaced, match=r"the newest events of study '.*' are missing"):
        hand.claims.claim()
    assert opened.tickets() == left


@pytest.mark.parametrize("older", OLDER_LOGS)
def test_a_look_is_refused(opened: Search, older: Any) -> None:
    look = SameLedger(opened.database, opened.stored)
    look.require()
    hand = opened.hand()
    hand.finish(hand.started())
    look.require()
    look.require()
    change(opened, older)
    with pytest.raises(DatabaseReplaced, match=r"the newest events of study .* are missing"):
        look.require()


@pytest.mark.parametrize(
    "older",
    [
        pytest.param({"renewals": tickets.c.renewals - 2}, id="before its last sign of life"),
        pytest.param({"attempt": tickets.c.attempt - 1, "owner": "other"}, id="before its claim"),
    ],
)
@pytest.mark.parametrize(
    "write",
    [
        lambda hand, claim: hand.report(claim, 2, 0.6),
        lambda hand, claim: hand.ledger.renew(claim),
        lambda hand, claim: hand.ledger.release(claim, "told to leave"),
    ],
    ids=["report", "renew", "release"],
)
def test_a_worker_writes_nothing_more(opened: Search, write: Any, older: Any) -> None:
    """The older copy may hold the same attempt of the same worker, an epoch ago."""
    hand = opened.hand()
    claim = hand.started()
    hand.report(claim, 1, 0.5)
    hand.ledger.renew(claim)
    change(opened, sa.update(tickets).values(**older))
    left, logged = opened.tickets(), len(opened.events())
    with pytest.raises(DatabaseReplaced, match=r"the newest events of study .* are missing"):
        write(hand, claim)
    assert opened.tickets() == left
    assert len(opened.events()) == logged, "not even that it was refused"


def test_a_curve_gets_no_hole(opened: Search) -> None:
    """A failover may lose the very last transaction alone."""
    hand = opened.hand()
    claim = hand.started()
    hand.report(claim, 1, 0.5)
    change(opened, sa.delete(epochs))
    change(opened, sa.update(tickets).values(epochs_done=0))
    with pytest.raises(DatabaseReplaced, match=r"the newest events of study .* are missing"):
        hand.report(claim, 2, 0.6)
