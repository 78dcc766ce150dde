"""``run_worker``: one worker from its options to the study's end, told to leave in every way."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from support.confirming import confirming
from support.meanwhile import as_soon_as

from hpsearch.errors import DatabaseReplaced, NothingStored, UnknownName
from hpsearch.leave_signals import leave_signals
from hpsearch.results.deadline.stored import (
    Closing,
    Deadline,
    close_search,
    record_stage,
    set_deadline,
)
from hpsearch.search.database.tables import events
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.types import Idle
from hpsearch.workers import worker
from hpsearch.workers.owners import new_owner
from hpsearch.workers.run_config import RunConfig, WorkerOptions
from hpsearch.workers.trial.following import Following
from hpsearch.workers.worker import run_worker


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """A worker takes the process's handlers; give them back."""
    before = {number: signal.getsignal(number) for number in leave_signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def options(prepared_url: str, tmp_path: Path, data_root: Path):
    """Return a worker's options for the study ``small``."""

    def make(**changes) -> WorkerOptions:
        own = {field.name for field in fields(RunConfig)} & set(changes)
        run = {
            "storage": prepared_url,
            "runs": tmp_path / "runs",
            "data": data_root,
            "checkpoint_seconds": 0.0,
            **{name: changes.pop(name) for name in own},
        }
        worker = {"study_name": "small", "device": "cpu", "threads": 1, **changes}
        return WorkerOptions(run=RunConfig(**run), **worker)

    return make


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Callable[[], int]:
    """Return how often a method was called, so far, when asked."""
    calls: list[None] = []
    real = getattr(owner, name)

    def counted(*args: Any, **settings: Any) -> Any:
        calls.append(None)
        return real(*args, **settings)

    monkeypatch.setattr(owner, name, counted)
    return lambda: len(calls)


#: Long enough that nothing ends it but being told to leave.
ENDLESS = "budget={trials: 2, epochs_per_trial: 3000}"


@pytest.fixture
def time_is_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the worker's clock jump by a day."""
    jumped = threading.Event()
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + 86_400 * jumped.is_set(), sleep=time.sleep
    )
    monkeypatch.setattr(worker, "time", clock)
    return jumped.set


def test_a_worker_works_to_the_end_and_tidies_up(open_study, options) -> None:
    search = open_study()
    assert run_worker(options(owner="host:one:1")) is Idle.FINISHED
    assert [each.state for each in search.tickets()] == ["complete"] * 3
    assert {each.owner for each in search.events("claimed")} == {"host:one:1"}

    # What a worker that died, or woke up late, may have left behind.
    trial = search.bench().folder.trial(1)
    trial.mkdir(exist_ok=True)
    for name in ("epoch-0002.attempt-1.pt", ".epoch-0003.attempt-1.pt.77.0a1b2c3d.unfinished"):
        trial.joinpath(name).touch()
    assert run_worker(options()) is Idle.FINISHED
    assert len(search.tickets()) == 3
    (kept,) = search.files()
    assert kept.endswith("/best.pt")


def test_a_worker_stays_for_the_confirmation_before_a_deadline(open_study, options) -> None:
    search = open_study("budget={trials: 2, epochs_per_trial: 1}")
    assert run_worker(options(follows=True)) is Idle.FINISHED, "there is no deadline"
    now, study_id = time.time(), search.stored.study_id
    set_deadline(search.database, study_id, Deadline(begun=now, at=now + 3600))
    close_search(search.database, study_id, Closing(at="", moment=now, reserved={}))
    confirmation = confirming(search, top=1)
    with as_soon_as(
        lambda: confirmation.standing().finished,
        lambda: record_stage(search.database, study_id, "confirm", 1.0),
    ):
        assert run_worker(options(follows=True)) is Idle.FINISHED
    assert {each.state for each in confirmation.tickets()} == {"complete"}
    assert run_worker(options(follows=True)) is Idle.FINISHED, "no stage needs workers any more"


def test_many_waiting_workers_look_less_often_each(open_study) -> None:
    search = open_study("budget={trials: 1, epochs_per_trial: 1}")
    now = time.time()
    set_deadline(search.database, search.stored.study_id, Deadline(begun=now, at=now + 3600))

    def pauses(workers: int) -> list[float]:
        waited: list[float] = []
        following = Following(search.database, search.stored.name, workers)
        assert following.next_study(lambda: len(waited) == 2, waited.append) is None
        return waited

    assert pauses(1) == [1.0, 1.0]
    assert pauses(128) == [8.0, 8.0]
    assert pauses(10_000) == [15.0, 15.0]


def test_a_worker_draws_with_the_studys_prior(open_study, options) -> None:
    search = open_study("search.prior=rule", "budget.trials=2")
    assert run_worker(options()) is Idle.FINISHED
    assert [row.user_attrs["start"] for row in search.trials()] == ["rule", "rule"]


@pytest.mark.parametrize("number", leave_signals(), ids=lambda number: number.name)
def test_a_signal_pauses_the_trial_under_way(open_study, options, number) -> None:
    search = open_study(ENDLESS)
    with as_soon_as(
        lambda: search.record().counts.epochs_run >= 2, lambda: signal.raise_signal(number)
    ):
        assert run_worker(options()) is None
    (ticket,) = search.tickets()
    assert (ticket.state, ticket.owner, ticket.failures) == ("paused", None, 0)
    assert ticket.checkpoint_epoch == ticket.epochs_done >= 2


def test_a_timeout_pauses_the_trial_under_way(open_study, options, time_is_up) -> None:
    search = open_study(ENDLESS)
    with as_soon_as(lambda: search.record().counts.epochs_run >= 2, time_is_up):
        assert run_worker(options(timeout=3600.0)) is None
    (ticket,) = search.tickets()
    assert (ticket.state, ticket.failures) == ("paused", 0)
    assert ticket.checkpoint_epoch == ticket.epochs_done


def test_a_stopped_study_pauses_the_trial_under_way(open_study, options, time_is_up) -> None:
    search = open_study(ENDLESS)
    with as_soon_as(
        lambda: search.record().counts.epochs_run >= 2,
        lambda: studies.request_stop(search.database, search.stored.study_id),
    ):
        # The keeper learns of it with its next renewal.
        assert run_worker(options(lease_seconds=0.8)) is Idle.STOPPED
    (ticket,) = search.tickets()
    assert (ticket.state, ticket.failures) == ("paused", 0)
    # A stop is for those who worked then: a later worker goes on.
    with as_soon_as(lambda: search.ticket().attempt == 2, time_is_up):
        assert run_worker(options(timeout=3600.0)) is None


def test_a_stop_counts_that_comes_while_a_launch_starts_its_workers(open_study, options) -> None:
    search = open_study()
    studies.request_stop(search.database, search.stored.study_id)
    assert run_worker(options(seen_stops=search.stored.stops)) is Idle.STOPPED
    assert search.tickets() == []


def test_a_worker_waits_while_others_hold_the_rest(open_study, options, monkeypatch) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    search = open_study("budget={trials: 1, epochs_per_trial: 1}")
    claim = search.claim("other")
    looked = count_calls(monkeypatch, Claims, "claim")
    with as_soon_as(
        lambda: looked() >= 2, lambda: search.bench("other").ledger.release(claim, "done")
    ):
        assert run_worker(options()) is Idle.FINISHED
    assert (search.ticket().state, search.ticket().attempt) == ("complete", 2)


def test_a_worker_needs_a_study_that_was_launched(open_study, options, tmp_path) -> None:
    open_study()
    with pytest.raises(UnknownName, match=r"unknown study 'smal'\. Did you mean 'small'\?"):
        run_worker(options(study_name="smal"))
    with pytest.raises(NothingStored):
        run_worker(options(storage=f"sqlite:///{tmp_path}/empty.db"))


def test_owners_are_never_the_same() -> None:
    owners = {new_owner("worker-0") for _ in range(100)}
    assert len(owners) == 100
    assert all(owner.split(":")[1] == "worker-0" for owner in owners)


def test_a_worker_stops_if_its_database_goes_back_in_time(
    open_study, options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an older copy is written into the same file, or restored from a dump."""
    search = open_study()
    real, ran = worker.run_trial, []

    def run_and_go_back(*given: Any) -> None:
        real(*given)
        ran.append(given)
        search.database.write(lambda connection: connection.execute(sa.delete(events)) and None)

    monkeypatch.setattr(worker, "run_trial", run_and_go_back)
    with pytest.raises(DatabaseReplaced, match="the newest events of study 'small' are missing"):
        run_worker(options())
    assert len(ran) == 1
