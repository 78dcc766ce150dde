"""A trial that was taken from its worker: whatever the late worker writes is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.trials import ASKED_PER_EPOCH, IN_EPOCH_3, ONE_TRIAL, SmallSearch

from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.types import Idle
from hpsearch.workers.trial import lease_keeper, trial_run
from hpsearch.workers.trial.lease_keeper import LeaseKeeper
from hpsearch.workers.trial.trial_run import run_trial

#: Seconds. A renewal would be refused, too, before what the test is about is.
NEVER_RENEWED = 1e6


@pytest.fixture(autouse=True)
def _renewals_as_the_lease_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_keeper, "LONGEST_PAUSE_SECONDS", 1e6)


def take_over(search: SmallSearch, asked: int, then) -> object:
    """Return a ``leave`` that has ``then`` run, once, after having been asked so often."""
    left = asked

    def leave() -> bool:
        nonlocal left
        left -= 1
        if left == -1:
            assert free_tickets_of(search.database, search.stored.study_id, "late") == 1
            then()
        return False

    return leave


@pytest.mark.parametrize(
    ("asked", "attempt_1_had"),
    [
        pytest.param(1 + 2, 0, id="in epoch 1"),
        pytest.param(1 + ASKED_PER_EPOCH + 2, 1, id="in epoch 2"),
        pytest.param(IN_EPOCH_3, 2, id="in the last epoch"),
    ],
)
def test_a_late_worker_changes_nothing(
    open_study, undisturbed, caplog, asked, attempt_1_had
) -> None:
    """Its successor resumed the trial and ended it, all between two of its batches."""
    caplog.set_level(logging.WARNING)
    search = open_study(ONE_TRIAL)
    late = take_over(search, asked, lambda: search.run_one("successor"))
    ticket = search.run_one("late", leave=late, lease_seconds=NEVER_RENEWED)

    assert (ticket.state, ticket.attempt) == ("complete", 2)
    assert search.figures()[1] == undisturbed
    (refused,) = search.events("write_refused")
    assert (refused.owner, refused.attempt) == ("late", 1)
    assert refused.detail == {"write": "report"}
    (resumed,) = search.events("resumed")
    assert (resumed.detail["checkpoint_epoch"] or 0) == attempt_1_had
    assert "dropped: ticket 1: attempt 1 is over" in caplog.text
    # It takes new work, or finds that there is none; then what it left is tidied up, too.
    assert search.run_all("late") is Idle.FINISHED
    (row,) = search.trials()
    assert row.value == undisturbed[-1][4]


def test_a_late_workers_error_is_not_the_trials(open_study, undisturbed) -> None:
    """The trial is somebody else's by then: nothing may be written, and the worker lives on."""

    def stumble() -> None:
        search.run_one("successor")
        raise RuntimeError("the late worker's own trouble")

    search = open_study(ONE_TRIAL)
    late = take_over(search, 1 + 2, stumble)
    ticket = search.run_one("late", leave=late, lease_seconds=NEVER_RENEWED)
    assert (ticket.state, ticket.failures) == ("complete", 0)
    assert search.figures()[1] == undisturbed
    assert [each.detail for each in search.events("write_refused")] == [{"write": "fail"}]


def test_a_late_worker_that_is_told_to_leave_writes_no_checkpoint(open_study) -> None:
    search = open_study(ONE_TRIAL)
    told = False

    def leave() -> bool:
        nonlocal told
        if not told and search.tickets() and search.ticket().epochs_done == 1:
            told = True
            free_tickets_of(search.database, search.stored.study_id, "late")
            search.claim("successor")
        return told

    ticket = search.run_one("late", leave=leave, lease_seconds=NEVER_RENEWED)
    assert (ticket.state, ticket.owner, ticket.attempt) == ("running", "successor", 2)
    assert [each.detail for each in search.events("write_refused")] == [{"write": "release"}]
    assert [each.detail["epoch"] for each in search.events("checkpoint")] == [1]


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> list[LeaseKeeper]:
    """Every lease keeper that a trial had."""
    made: list[LeaseKeeper] = []

    class Noted(LeaseKeeper):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            made.append(self)

    monkeypatch.setattr(trial_run, "LeaseKeeper", Noted)
    return made


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_a_late_worker_that_has_been_refused_stops_and_writes_nothing(open_study, keepers) -> None:
    """Its lease keeper learns first, in the middle of an epoch."""
    search = open_study(ONE_TRIAL)

    def until_refused() -> None:
        search.claim("successor")
        (keeper,) = keepers
        wait_until(lambda: keeper.lost)

    late = take_over(search, 1 + ASKED_PER_EPOCH + 2, until_refused)
    ticket = search.run_one("late", leave=late, lease_seconds=0.4)
    assert (ticket.state, ticket.owner, ticket.epochs_done) == ("running", "successor", 1)
    assert [each.detail for each in search.events("write_refused")] == [{"write": "renew"}]
    assert [each.detail["epoch"] for each in search.events("checkpoint")] == [1]
    assert search.files() == {"trial-0000/epoch-0001.attempt-1.pt"}


def test_stopping_a_study_pauses_its_trials(open_study, keepers) -> None:
    search = open_study()
    asked = 0

    def leave() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1 + ASKED_PER_EPOCH + 2:
            studies.request_stop(search.database, search.stored.study_id)
            (keeper,) = keepers
            wait_until(lambda: keeper.stop_requested)
        return False

    run_trial(search.bench(leave=leave, lease_seconds=0.4), search.claim())
    assert keepers[0].stop_requested
    assert (search.ticket().state, search.ticket().epochs_done) == ("paused", 1)
    assert search.claims().claim() is Idle.STOPPED
