"""Workers of one host count each other in the ledger, on both kinds of database."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from support.trials import ONE_TRIAL

from hpsearch.results import trial_attributes
from hpsearch.training import threads as rule
from hpsearch.workers import threads
from hpsearch.workers.owners import this_host
from hpsearch.workers.threads import ThreadShare, others_on_this_host
from hpsearch.workers.trial import trial_run


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_workers_of_this_host_are_counted_and_no_others(
    database, open_study, gone, monkeypatch
) -> None:
    first, second = open_study("study=first"), open_study("study=second")
    me, other = f"{this_host()}:worker-0:a", f"{this_host()}:worker-1:b"
    assert others_on_this_host(database) == set()
    claim = first.claim(me)
    second.claim(other)
    # Names that only begin alike, and another host's
    second.claim(f"{this_host()}-2:worker-0:c")
    second.claim("elsewhere:worker-0:d")
    assert others_on_this_host(database) == {me, other}
    assert others_on_this_host(database, me) == {other}, "of every study"

    first.bench(me).ledger.release(claim, "done")
    assert others_on_this_host(database) == {other}, "who trains nothing needs no core"

    real, pid = os.getpid, gone
    monkeypatch.setattr(os, "getpid", lambda: pid)
    first.claim(f"{this_host()}:worker-2:e")
    monkeypatch.setattr(os, "getpid", real)
    assert others_on_this_host(database) == {other}, "dead, and its lease not yet over"


def test_a_host_name_is_no_pattern(database, open_study, monkeypatch) -> None:
    monkeypatch.setattr(threads, "this_host", lambda: "h_st%")
    search = open_study()
    search.claim("hostly:worker-0:a")
    search.claim("h_st%:worker-0:b")
    assert others_on_this_host(database) == {"h_st%:worker-0:b"}


@pytest.fixture
def large(monkeypatch) -> None:
    """Let every network count as large, on a machine with four cores."""
    monkeypatch.setattr(rule, "CPU_MULTIPLY_ADDS", 0)
    monkeypatch.setattr(threads, "cores", lambda: 4)
    monkeypatch.setattr(trial_run, "cores", lambda: 4)


def trained_with(search, monkeypatch, **changes) -> list[int]:
    """Run one trial; returns the threads that torch had while it trained."""
    seen: list[int] = []
    real = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda count: (seen.append(count), real(count)))
    search.run_all(**changes)
    monkeypatch.setattr(torch, "set_num_threads", real)
    return seen


@pytest.mark.usefixtures("large")
def test_a_trial_trains_with_its_share_and_records_it(database, open_study, monkeypatch) -> None:
    search, busy = open_study(ONE_TRIAL), open_study("study=busy")
    busy.claim(f"{this_host()}:worker-9:z")
    mine = ThreadShare(database=database, owner="one", most=4)
    before = torch.get_num_threads()
    assert trained_with(search, monkeypatch, threads=mine) == [2, before]
    noted = trial_attributes.read(database, search.ticket().trial_id)
    assert noted["threads"] == 2


@pytest.mark.usefixtures("large")
def test_a_trial_that_goes_on_keeps_its_threads(database, open_study, monkeypatch) -> None:
    """Another number would change its last digits."""
    search, busy = open_study(ONE_TRIAL), open_study("study=busy")
    asked = iter([False] * 12)
    mine = ThreadShare(database=database, owner="one", most=3)
    pausing = search.bench(threads=mine, leave=lambda: next(asked, True))
    trial_run.run_trial(pausing, search.claim())
    assert search.ticket().state == "paused"
    assert search.ticket().trial_id is not None
    busy.claim(f"{this_host()}:worker-9:z")  # now its share would be 2
    mine = ThreadShare(database=database, owner="two", most=4)
    assert trained_with(search, monkeypatch, threads=mine)[0] == 3
    assert search.ticket().state == "complete"
