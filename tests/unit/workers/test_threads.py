"""How many threads a worker may use, on a pretended machine and beside pretended workers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch

from hpsearch import openmp
from hpsearch.training.threads import CPU_MULTIPLY_ADDS, threads_for
from hpsearch.workers import threads
from hpsearch.workers.threads import ThreadShare, crowding, share_of_cores


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch):
    """Pretend a host: ``host(cores=8, others=2)``."""

    def pretend(*, cores: int, others: int = 0) -> None:
        monkeypatch.setattr(threads, "cores", lambda: cores)
        names = {f"here:worker-{nth}:0" for nth in range(others)}
        monkeypatch.setattr(threads, "others_on_this_host", lambda *_: names)

    return pretend


def share(most: int, *, exact: bool = False) -> ThreadShare:
    return ThreadShare(database=None, owner="me", most=most, exact=exact)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        (2, 1, 2),
        (2, 2, 1),
        (2, 5, 1),  # never none
        (16, 3, 5),
    ],
)
def test_local_workers_share_the_cores(host, cores: int, workers: int, expected: int) -> None:
    host(cores=cores)
    assert share_of_cores(workers) == expected


def test_the_share_follows_who_comes_and_goes(host, caplog) -> None:
    mine = share(8)
    host(cores=8)
    assert mine.now() == 8
    assert not caplog.records
    host(cores=8, others=1)
    assert mine.now() == 4
    assert [record.getMessage() for record in caplog.records] == [
        "2 workers run on this host now, on 8 cores: new trials use 4 threads instead of 8"
    ]
    assert mine.now() == 4
    assert len(caplog.records) == 1, "said once"
    host(cores=8, others=20)
    assert mine.now() == 1
    host(cores=8)
    assert mine.now() == 8
    assert len(caplog.records) == 2


def test_a_launchs_own_workers_have_been_counted_before(host, caplog) -> None:
    """Each of two on two cores gets one thread from the beginning."""
    host(cores=2, others=1)
    assert share(1).now() == 1
    host(cores=8, others=1)
    assert share(4).now() == 4
    assert not caplog.records


def test_what_somebody_asked_for_stays_and_is_warned_of(host, caplog) -> None:
    mine = share(2, exact=True)
    host(cores=2)
    assert mine.now() == 2
    assert not caplog.records
    host(cores=2, others=1)
    assert mine.now() == 2
    assert mine.now() == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.records[0].getMessage() == (
        "2 workers run on this host now, on 2 cores, and this one has --threads 2, so they slow "
        "each other down; leave --threads out to share the cores"
    )


def test_threads_that_fit_beside_others_are_no_reason_to_warn(host, caplog) -> None:
    host(cores=8, others=2)
    assert share(2, exact=True).now() == 2
    assert not caplog.records


@pytest.mark.parametrize(
    ("cores", "workers", "others", "expected"),
    [
        (4, 1, 0, None),
        (4, 4, 0, None),
        (2, 4, 0, "4 workers share the 2 cores of this host: one worker per core would be as fast"),
        (8, 2, 1, "3 workers share the 8 cores of this host, 1 of them already running: each "
                  "trains with 2 threads at most"),
        (2, 1, 2, "3 workers share the 2 cores of this host, 2 of them already running: one "
                  "worker per core would be as fast"),
    ],
)  # fmt: skip
def test_a_second_worker_is_said(host, cores, workers, others, expected) -> None:
    host(cores=cores)
    assert crowding(workers, others) == expected


@pytest.mark.parametrize(
    ("device", "step", "available", "expected"),
    [
        ("cpu", CPU_MULTIPLY_ADDS - 1, 8, 1),
        ("cpu", CPU_MULTIPLY_ADDS, 8, 8),
        ("cpu", CPU_MULTIPLY_ADDS, 1, 1),
        ("cuda:0", 1, 8, 8),
    ],
)
def test_a_small_network_takes_one_thread(
    device: str, step: int, available: int, expected: int
) -> None:
    threads = threads_for(
        torch.device(device), available=available, multiply_adds=step, batch_size=1
    )
    assert threads == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"KMP_BLOCKTIME": "200"}, {"KMP_BLOCKTIME": "200"}),
    ],
)
def test_the_wait_policy_is_the_users_first(environment: dict[str, str], expected) -> None:
    openmp.wait_passively(environment)
    assert environment == expected


#: GNU's runtime says on stderr what it has read, as soon as it is loaded.
_SHOWN = {"OMP_DISPLAY_ENV": "true"}
_SMALL = ["--study", "quickstart", "--set", "model={mlp: {hidden: [16]}}"]
_FORKED = """
import os
from hpsearch.workers.launch.fork_server import start_fork_server

if __name__ == "__main__":
    process = start_fork_server().Process(target=print)
    process.start()
    process.join()
    assert not {"OMP_WAIT_POLICY", "KMP_BLOCKTIME", "OMP_NUM_THREADS"} & os.environ.keys()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP runtime on Linux")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-m", "hpsearch", "check", *_SMALL], id="a command"),
        pytest.param(["-c", _FORKED], id="the fork server"),
    ],
)
def test_every_process_waits_passively(command: list[str], tmp_path) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "KMP_", "MKL_", "HPSEARCH"))
    }
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**environment, **_SHOWN, "HPSEARCH_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    read = [line for line in ran.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert read, ran.stderr
    assert all("PASSIVE" in line for line in read), read
