"""A commit whose answer was lost is repeated, and has its effect once."""

from __future__ import annotations

from typing import Any

import pytest
from support.ledger import LosesAnswers, Search, line_row, open_search
from support.searching import study_file

from hpsearch.errors import LeaseLost
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.types import CheckpointRef, Claim

CHECKPOINT = CheckpointRef(key="1/epoch_1.pt", sha256="0" * 64, epoch=1)


@pytest.fixture
def lossy(prepared_url):
    database = LosesAnswers(prepared_url)
    yield database
    database.close()


@pytest.fixture
def opened(lossy) -> Search:
    return open_search(
        lossy, study_file(trials=3, epochs=9), pruner="asha", settings={"stop": True}
    )


def shape(opened: Search) -> dict[str, Any]:
    """What the ledger and Optuna hold, without times and random keys."""
    return {
        "tickets": [
            (ticket.ticket, ticket.state, ticket.attempt, ticket.epochs_done, ticket.infeasible)
            for ticket in opened.tickets()
        ],
        "trials": [
            (trial.number, trial.state, trial.params, trial.intermediate_values, trial.values)
            for trial in opened.trials()
        ],
        "events": opened.events(),
        "compute_seconds": opened.counts().compute_seconds,
    }


def test_a_study_is_created_once(lossy):
    lossy.to_lose = 2
    stored = studies.attach(lossy, study_file())
    assert lossy.to_lose == 0, "the answer was lost twice"
    assert studies.everything(lossy) == [stored]


def test_a_claim_takes_one_ticket(lossy, opened):
    hand = opened.hand("one")
    lossy.to_lose = 2
    claim = hand.claim()
    assert lossy.to_lose == 0
    assert (claim.ticket, claim.attempt) == (1, 1)
    assert opened.counts().total == 1
    assert opened.events() == ["claimed"]
    assert hand.claim().ticket == 2, "the next claim is another one"


def test_a_resumed_claim_is_one_attempt(lossy, opened):
    first, second = opened.hand("first"), opened.hand("second")
    first.ledger.release(first.claim(), "SIGTERM")
    lossy.to_lose = 1
    claim = second.claim()
    assert (claim.ticket, claim.attempt) == (1, 2)
    assert opened.events() == ["claimed", "released", "resumed"]


def test_a_start_creates_one_row(lossy, opened):
    hand = opened.hand()
    claim = hand.claim()
    lossy.to_lose = 2
    trial_id, number = hand.ledger.start(claim, line_row(0.5))
    assert lossy.to_lose == 0
    (trial,) = opened.trials()
    assert (trial._trial_id, trial.number) == (trial_id, number)
    assert opened.events() == ["claimed", "started"]


def test_an_infeasible_draw_is_recorded_once(lossy):
    opened = open_search(lossy, study_file(trials=3), is_enumerated=True)
    hand = opened.hand()
    claim = hand.claim()
    lossy.to_lose = 2
    assert hand.ledger.infeasible(claim, line_row(0.5), "too large", nth=0) == 1
    assert lossy.to_lose == 0
    assert hand.ledger.infeasible(claim, line_row(0.6), "too large", nth=1) == 2
    assert [trial.params["lr"] for trial in opened.trials()] == [0.5, 0.6]
    assert opened.ticket().infeasible == 2
    assert opened.events() == ["claimed", "infeasible", "infeasible"]


def reported(hand: Any, claim: Claim, lossy: LosesAnswers, lose: int) -> list[str]:
    decisions = []
    for epoch in (1, 2):
        lossy.to_lose = lose
        decisions.append(hand.report(claim, epoch, 0.5, CHECKPOINT if epoch == 1 else None))
        assert lossy.to_lose == 0
    return decisions


def test_an_epoch_is_counted_once(lossy, opened):
    hand = opened.hand()
    claim = hand.started()
    assert reported(hand, claim, lossy, 2) == ["continue", "continue"]
    ticket = opened.ticket()
    assert (ticket.epochs_done, ticket.compute_seconds) == (2, 4.0)
    assert len(queries.curve(lossy, opened.study_id, 1)) == 2
    assert opened.events() == ["claimed", "started", "checkpoint"]


def test_the_end_of_a_trial_is_written_once_and_answered(lossy, opened):
    """The row is finished and the lease given up; still the repeated call says what happened."""
    good = [opened.hand(f"good-{number}") for number in range(2)]
    for hand in good:
        hand.report(hand.started(), 1, 0.9)
    hand = opened.hand("bad")
    claim = hand.started()
    lossy.to_lose = 2
    assert hand.report(claim, 1, 0.1) == "pruned"
    assert lossy.to_lose == 0
    assert opened.trials()[2].values == [0.1]
    assert opened.events(3) == ["claimed", "started", "pruned"]

    whole = good[0]
    ticket = opened.ticket(1)
    claim = Claim(
        study_id=opened.study_id, ticket=1, attempt=1, trial_id=ticket.trial_id, number=0,
        params=None, point=None, infeasible=0, epochs_done=1, checkpoint=None,
    )  # fmt: skip
    for epoch in range(2, 10):
        lossy.to_lose = 1
        decision = whole.report(claim, epoch, 0.9)
    assert decision == "complete"
    assert opened.events(1)[-1] == "complete"
    assert opened.events(1).count("complete") == 1


@pytest.mark.parametrize(("score", "end"), [(0.1, "pruned"), (0.9, "complete")])
def test_a_renewal_after_its_own_end_is_no_late_write(lossy, opened, score, end):
    """The answer to the last report is still awaited, and the thread renews meanwhile."""
    for number in range(2):
        hand = opened.hand(f"good-{number}")
        hand.report(hand.started(), 1, 0.5)
    hand = opened.hand("last")
    claim = hand.started()
    for epoch in range(1, 10):
        decision = hand.report(claim, epoch, score)
        if decision != "continue":
            break
    assert decision == end
    with pytest.raises(LeaseLost, match="was already ended by attempt 1"):
        hand.ledger.renew(claim)
    assert "write_refused" not in opened.events(3)


def test_a_renewal_after_its_own_pause_at_a_rung_is_no_late_write(lossy):
    opened = open_search(lossy, study_file(trials=30, epochs=9), pruner="asha")
    hand = opened.hand()
    claim = hand.started()
    assert hand.report(claim, 1, 0.5) == "paused"
    with pytest.raises(LeaseLost, match="was already ended by attempt 1"):
        hand.ledger.renew(claim)
    assert "write_refused" not in opened.events(1)


@pytest.mark.parametrize(
    ("write", "event"),
    [
        pytest.param(lambda hand, claim: hand.ledger.release(claim, "SIGTERM"), "released", id="r"),
        pytest.param(
            lambda hand, claim: hand.ledger.fail(claim, "broken", retry=True),
            "attempt_failed",
            id="fail",
        ),
        pytest.param(lambda hand, claim: hand.ledger.withdraw(claim), "withdrawn", id="withdraw"),
    ],
)
def test_giving_up_a_ticket_happens_once(lossy, opened, write, event):
    """The repeated call finds a ticket that isn't ours any more, and that this was its doing."""
    hand = opened.hand()
    claim = hand.claim()
    lossy.to_lose = 2
    write(hand, claim)
    assert lossy.to_lose == 0
    assert opened.events() == ["claimed", event], "and no refusal"
    with pytest.raises(LeaseLost):
        write(hand, claim)
    assert opened.events() == ["claimed", event, "write_refused"], "another call is refused"


def test_a_run_without_any_loss_ends_the_same(lossy):
    """The same calls with every answer lost once, and with none lost, leave the same database."""
    shapes = []
    for name, lose in (("quiet", 0), ("lossy", 1)):
        opened = open_search(lossy, study_file(name=name, trials=2, epochs=2))
        hand = opened.hand()
        for _ in range(2):
            lossy.to_lose = lose
            claim = hand.claim()
            lossy.to_lose = lose
            hand.ledger.infeasible(claim, line_row(0.1), "too large", nth=0)
            lossy.to_lose = lose
            hand.ledger.start(claim, line_row(0.2))
            assert reported(hand, claim, lossy, lose)[-1] == "complete"
        shapes.append(shape(opened))
    assert shapes[0] == shapes[1]
