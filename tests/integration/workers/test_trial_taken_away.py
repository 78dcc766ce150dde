"""A trial that was taken from its worker: whatever the late worker writes is refused."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from support.trials import ASKED_PER_EPOCH, IN_EPOCH_3, ONE_TRIAL, SmallSearch

from hpsearch.search import studies
from hpsearch.search.claims import free_tickets_of
from hpsearch.search.ledger_types import Idle
from hpsearch.workers.trial.trial_run import run_trial


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
    ticket = search.run_one("late", leave=late)

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
    ticket = search.run_one("late", leave=take_over(search, 1 + 2, stumble))
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

    ticket = search.run_one("late", leave=leave)
    assert (ticket.state, ticket.owner, ticket.attempt) == ("running", "successor", 2)
    assert [each.detail for each in search.events("write_refused")] == [{"write": "release"}]
    assert [each.detail["epoch"] for each in search.events("checkpoint")] == [1]


def test_a_late_worker_that_has_been_refused_stops_and_writes_nothing(open_study) -> None:
    """Its lease keeper learns first, in the middle of an epoch."""
    search = open_study(ONE_TRIAL)

    def until_refused() -> None:
        search.claim("successor")
        for _ in range(1000):
            if search.events("write_refused"):
                break
            time.sleep(0.01)
        time.sleep(0.1)  # The keeper has its answer and notes it now.

    late = take_over(search, 1 + ASKED_PER_EPOCH + 2, until_refused)
    ticket = search.run_one("late", leave=late, lease_seconds=0.4)
    assert (ticket.state, ticket.owner, ticket.epochs_done) == ("running", "successor", 1)
    assert [each.detail for each in search.events("write_refused")] == [{"write": "renew"}]
    assert [each.detail["epoch"] for each in search.events("checkpoint")] == [1]
    assert search.files() == {"trial-0000/epoch-0001.attempt-1.pt"}


def test_stopping_a_study_pauses_its_trials(open_study) -> None:
    search = open_study()
    asked = 0
    keeper_has_asked = threading.Event()

    def leave() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1 + ASKED_PER_EPOCH + 2:
            studies.request_stop(search.database, search.stored.study_id)
            keeper_has_asked.wait(10)
        if keeper_has_asked.is_set():
            time.sleep(0.1)  # The keeper has its answer and notes it now.
        return False

    bench = search.bench(leave=leave, lease_seconds=0.4)
    renew = bench.ledger.renew

    def renewed(claim):
        stops = renew(claim)
        if stops:
            keeper_has_asked.set()
        return stops

    bench.ledger.renew = renewed
    run_trial(bench, search.claim())
    assert keeper_has_asked.is_set()
    assert (search.ticket().state, search.ticket().epochs_done) == ("paused", 1)
    assert search.claims().claim() is Idle.STOPPED
