"""Which fleet of a study a command means."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from support.searching import study_file

from hpsearch.engines import fleet_state
from hpsearch.engines.engine import FleetWorker
from hpsearch.engines.fleet_state import find_fleet
from hpsearch.errors import UserError
from hpsearch.results.deadline.stored import Deadline, set_deadline
from hpsearch.search.ledger.fleets import Fleet, store_fleet
from hpsearch.workers.owners import this_host


@pytest.fixture
def opened(search):
    return search(trials=2)


def stored_launch(opened, key: str, pid: int) -> Fleet:
    """Store the fleet of a launch on this machine."""
    fleet = Fleet(
        key=key,
        study=opened.stored.name,
        engine="local",
        profile=this_host(),
        settings={"host": this_host(), "pid": pid},
        workers=2,
        runs="runs",
        data=None,
        lease_seconds=30.0,
        checkpoint_seconds=60.0,
    )
    store_fleet(opened.database, opened.study_id, fleet)
    return fleet


def ended_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def found(opened, named: str | None = None) -> str:
    return find_fleet(opened.database, opened.stored, named, str(opened.database.url)).key


def test_a_launch_that_was_killed_is_not_meant_if_another_runs(opened):
    stored_launch(opened, "first", ended_process())
    assert found(opened) == "first", "its output can still be read"
    stored_launch(opened, "second", os.getpid())
    stored_launch(opened, "third", ended_process())
    assert found(opened) == found(opened, "local") == found(opened, "second") == "second"
    assert found(opened, "first") == "first"


def test_two_launches_of_one_host_are_named_by_their_keys(opened):
    stored_launch(opened, "first", os.getpid())
    stored_launch(opened, "second", os.getppid())
    with pytest.raises(UserError, match=r"several fleets \(first, second\); name one of them"):
        found(opened)
    assert found(opened, "first") == "first"


def test_a_study_without_a_launch_has_none(opened):
    with pytest.raises(UserError, match="must have workers on slurm that a launch keeps alive"):
        found(opened, "slurm")


class _Queue:
    """An engine whose workers wait in its queue."""

    def look(self) -> list[FleetWorker]:
        return [FleetWorker(number=1, state="pending", native_id="1", reason="Resources")]


def test_a_launch_does_not_wait_for_workers_in_a_queue_when_its_time_is_over(opened, monkeypatch):
    monkeypatch.setattr(fleet_state, "_TICK_SECONDS", 0.0)
    now = time.time()
    set_deadline(opened.database, opened.study_id, Deadline(begun=now - 60, at=now + 5))
    ended = fleet_state.watch(
        opened.database, opened.stored, study_file(trials=2), _Queue(), lambda progress: None
    )
    assert ended.reason == "deadline"
