"""``run_worker``: one worker from its options to the study's end, told to leave in every way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.trials import SmallSearch

from hpsearch.errors import NothingStored, UnknownName
from hpsearch.search import studies
from hpsearch.search.ledger_types import Idle
from hpsearch.workers import worker
from hpsearch.workers.owners import new_owner
from hpsearch.workers.worker import run_worker
from hpsearch.workers.worker_options import WorkerOptions


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """A worker takes the process's handlers; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def options(prepared_url: str, tmp_path: Path, data_root: Path):
    """Return a worker's options for the study ``small``."""

    def make(**changes) -> WorkerOptions:
        given = {
            "study_name": "small",
            "storage": prepared_url,
            "device": "cpu",
            "threads": 1,
            "runs": tmp_path / "runs",
            "data": data_root,
            "checkpoint_seconds": 0.0,
            **changes,
        }
        return WorkerOptions(**given)

    return make


def when(search: SmallSearch, epochs: int, act) -> threading.Thread:
    """Do ``act`` once the study has run so many epochs."""

    def watch() -> None:
        while search.record().counts.epochs_run < epochs:
            if over.wait(0.005):
                return
        act()

    over = threading.Event()
    thread = threading.Thread(target=watch)
    thread.over = over  # type: ignore[attr-defined]
    thread.start()
    return thread


#: Long enough that nothing ends it but being told to leave.
ENDLESS = "budget={trials: 2, epochs_per_trial: 3000}"

#: Seconds in which a worker has claimed a trial, also on a busy machine.
BEGUN = 3.0


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


def test_a_worker_draws_with_the_studys_prior(open_study, options) -> None:
    search = open_study("search.prior=rule", "budget.trials=2")
    assert run_worker(options()) is Idle.FINISHED
    assert [row.user_attrs["start"] for row in search.trials()] == ["rule", "rule"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_pauses_the_trial_under_way(open_study, options, number) -> None:
    search = open_study(ENDLESS)
    thread = when(search, 2, lambda: signal.raise_signal(number))
    try:
        assert run_worker(options()) is None
    finally:
        thread.over.set()
        thread.join()
    (ticket,) = search.tickets()
    assert (ticket.state, ticket.owner, ticket.failures) == ("paused", None, 0)
    assert ticket.checkpoint_epoch == ticket.epochs_done >= 2


def test_a_timeout_pauses_the_trial_under_way(open_study, options) -> None:
    search = open_study(ENDLESS)
    assert run_worker(options(timeout=BEGUN)) is None
    (ticket,) = search.tickets()
    assert (ticket.state, ticket.failures) == ("paused", 0)
    assert ticket.checkpoint_epoch == ticket.epochs_done


def test_a_stopped_study_pauses_the_trial_under_way(open_study, options) -> None:
    search = open_study(ENDLESS)
    stop = when(search, 2, lambda: studies.request_stop(search.database, search.stored.study_id))
    try:
        # The keeper learns of it with its next renewal.
        assert run_worker(options(lease_seconds=0.8)) is Idle.STOPPED
    finally:
        stop.over.set()
        stop.join()
    (ticket,) = search.tickets()
    assert (ticket.state, ticket.failures) == ("paused", 0)
    # A stop is for those who worked then: a later worker goes on.
    assert run_worker(options(timeout=BEGUN)) is None
    assert search.ticket().attempt == 2


def test_a_worker_waits_while_others_hold_the_rest(open_study, options, monkeypatch) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    search = open_study("budget={trials: 1, epochs_per_trial: 1}")
    claim = search.claim("other")
    release = threading.Timer(0.3, lambda: search.bench("other").ledger.release(claim, "done"))
    release.start()
    assert run_worker(options()) is Idle.FINISHED
    assert (search.ticket().state, search.ticket().attempt) == ("complete", 2)
    release.join()


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
