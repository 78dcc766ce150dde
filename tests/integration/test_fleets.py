"""Which fleet of a study a command means."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpsearch.engines.fleet_state import find_fleet
from hpsearch.errors import UserError
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
