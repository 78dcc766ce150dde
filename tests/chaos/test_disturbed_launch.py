"""Workers are killed, stopped and told to leave in the middle; the study ends exactly."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.launches import Launch, assert_exact
from support.postgres import PostgresServer

from hpsearch.engines.fleet_state import fleet_state
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.fleets import fleets_of

TRIALS, EPOCHS = 4, 6

#: Several launches each on two cores.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def make_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Launch]]:
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    made: list[Launch] = []

    def make(storage: str) -> Launch:
        made.append(Launch(tmp_path, storage))
        return made[-1]

    yield make
    for launch in made:
        launch.end()


@pytest.fixture
def launch(make_launch: Callable[[str], Launch], storage_url: str) -> Launch:
    return make_launch(storage_url)


def test_a_killed_worker_costs_nothing_but_its_epoch(
    make_launch: Callable[[str], Launch], tmp_path: Path
) -> None:
    """(The storms do the same on Postgres.)"""
    launch = make_launch(f"sqlite:///{tmp_path}/disturbed.db")
    launch.start(hold_after=[1])
    victim = launch.held()
    os.kill(launch.pid_of(victim.ticket), signal.SIGKILL)
    launch.finish()

    assert_exact(launch, TRIALS, EPOCHS)
    kinds = [event.kind for event in launch.events(victim.ticket)]
    assert kinds.count("worker_died") == 1
    (resumed,) = launch.events(victim.ticket, "resumed")
    assert resumed.attempt == 2
    # At most the epoch under way is lost: its checkpoint is that of the epoch before.
    assert resumed.detail["checkpoint_epoch"] >= victim.epochs_done
    assert resumed.detail["epochs_done"] - resumed.detail["checkpoint_epoch"] <= 1

    undisturbed = make_launch(f"sqlite:///{tmp_path}/undisturbed.db")
    undisturbed.run_here()
    assert launch.figures() == undisturbed.figures()


def test_a_stopped_worker_that_wakes_up_late_is_refused(
    make_launch: Callable[[str], Launch], postgres: PostgresServer
) -> None:
    """(The storms stop workers on SQLite, too; tests/integration/test_fencing.py has both.)"""
    launch = make_launch(postgres.create())
    launch.start("--lease", "2", hold_after=[1])
    victim = launch.held()
    pid = launch.pid_of(victim.ticket)
    os.kill(pid, signal.SIGSTOP)
    launch.let_go()
    try:
        taken = launch.wait_for(
            lambda: [
                event for event in launch.events(victim.ticket, "resumed") if event.attempt == 2
            ]
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    assert launch.events(victim.ticket, "lease_expired")
    assert taken[0].owner != victim.owner
    launch.finish()

    refused = launch.events(victim.ticket, "write_refused")
    assert refused, "the late worker was never refused"
    # On a busy machine a lease of 2 s may run out once more; the late worker's is the one meant.
    assert (1, victim.owner) in {(event.attempt, event.owner) for event in refused}
    assert_exact(launch, TRIALS, EPOCHS)


def test_a_launch_told_to_leave_pauses_and_goes_on(launch: Launch) -> None:
    """By SIGTERM on Postgres, by Ctrl-C on SQLite: one handler serves both signals."""
    number = signal.SIGINT if launch.database.is_sqlite else signal.SIGTERM
    launch.start(hold_after=[1])
    launch.held()
    assert launch.process is not None
    launch.process.send_signal(number)
    launch.let_go()
    launch.process.communicate(timeout=240)
    assert not launch.events(kind="lease_expired"), "somebody waited for a lease"
    paused = [each for each in launch.tickets() if not each.state.is_finished]
    assert {each.state for each in paused} == {"paused"}
    assert all(each.checkpoint for each in paused if each.epochs_done)

    launch.run_here()
    assert_exact(launch, TRIALS, EPOCHS)
    for each in paused:
        (resumed,) = launch.events(each.ticket, "resumed")
        # Not an epoch is trained again: the checkpoint holds the half epoch, too.
        assert resumed.detail["checkpoint_epoch"] in (each.epochs_done, None)
        assert not launch.events(each.ticket, "epoch_redone")


def test_workers_whose_supervisor_was_killed_pause_and_leave(
    make_launch: Callable[[str], Launch], tmp_path: Path
) -> None:
    """(The storms do the same on Postgres.)"""
    launch = make_launch(f"sqlite:///{tmp_path}/disturbed.db")
    launch.start(hold_after=[1], own_fork_server=True)
    victim = launch.held()
    assert launch.process is not None
    launch.process.kill()
    launch.process.wait()
    launch.let_go()
    launch.process.communicate()
    launch.process = None
    launch.wait_for(lambda: launch.events(victim.ticket, "released"))
    launch.wait_for(lambda: all(each.state != "running" for each in launch.tickets()))
    stored = studies.find(launch.database, launch.name)
    (dead,) = fleets_of(launch.database, stored)
    assert not fleet_state(dead, str(launch.database.url)).has_workers

    launch.run_here()
    assert_exact(launch, TRIALS, EPOCHS)
    assert fleets_of(launch.database, stored) == [], "the next launch removes it"
