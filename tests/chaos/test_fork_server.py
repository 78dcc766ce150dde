"""The fork server is killed, at any moment and again: its workers go on, and stay counted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.launches import Launch, assert_exact

TRIALS, EPOCHS, WORKERS = 4, 6, 2

pytestmark = pytest.mark.timeout(1800)


class Watched(Launch):
    """A launch whose processes can be found, and are counted whenever the ledger is looked at."""

    most = 0

    def server(self, but: int | None = None) -> int | None:
        """Return the living fork server's process id; not ``but``."""
        for process in self._children(self._pid):
            with suppress(psutil.Error):
                said = " ".join(process.cmdline())
                if "multiprocessing.forkserver" in said and process.pid != but:
                    return process.pid
        return None

    def workers(self) -> set[int]:
        """Return the processes that hold a trial, alive."""
        held = {each.ticket for each in self.tickets() if each.state == "running"}
        return {pid for pid in map(self.pid_of, held) if alive(pid)}

    def tickets(self):
        """Every ticket, and how many workers there are by now."""
        found = super().tickets()
        if found:
            self.most = max(self.most, sum(map(alive, self.pids())))
        return found

    @property
    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def _children(self, pid: int) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return psutil.Process(pid).children()
        return []


def alive(pid: int) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    made = Watched(tmp_path, f"sqlite:///{tmp_path}/forks.db")
    yield made
    made.end()


def kill_server(launch: Watched) -> int:
    """Kill the fork server while both workers train; returns what its id was."""
    launch.held(workers=WORKERS)
    server = launch.wait_for(launch.server)
    os.kill(server, signal.SIGKILL)
    return server


def test_its_workers_go_on_and_others_take_the_place_of_those_that_die(launch: Watched) -> None:
    launch.start(workers=WORKERS, hold_after=[1, 3], own_fork_server=True)
    first = kill_server(launch)
    before = launch.workers()
    # Whoever counted them as dead would have started others by now
    launch.let_go(after=1)
    launch.held(after=3, workers=WORKERS)
    assert not launch.events(kind="worker_died")

    victim = launch.wait_for(lambda: next(iter(launch.workers() & before), None))
    os.kill(victim, signal.SIGKILL)
    # Again while it imports torch, and once more
    second = launch.wait_for(lambda: launch.server(first))
    os.kill(second, signal.SIGKILL)
    third = launch.wait_for(lambda: launch.server(second))
    os.kill(third, signal.SIGKILL)
    printed = launch.finish()

    assert "Traceback" not in printed
    assert "fault of hpsearch" not in printed
    assert_exact(launch, TRIALS, EPOCHS)
    assert launch.most <= WORKERS, "more workers than were asked for"
    (died,) = launch.events(kind="worker_died")
    assert "is unknown" in died.detail["error"]
    # The epoch that was under way when its worker was killed; no other was trained twice
    assert len(launch.events(kind="epoch_redone")) <= 1
    assert not launch.events(kind="write_refused")


def test_a_launch_that_lost_it_leaves_with_all_its_workers(launch: Watched) -> None:
    launch.start(workers=WORKERS, hold_after=[1], own_fork_server=True)
    kill_server(launch)
    workers = launch.workers()
    assert launch.process is not None
    launch.process.terminate()
    launch.let_go()
    output, _ = launch.process.communicate(timeout=240)
    assert "Traceback" not in output
    assert not any(map(alive, workers))
    assert {each.state for each in launch.tickets() if not each.state.is_finished} == {"paused"}
    assert not launch.events(kind="worker_died"), "they were told, and left by themselves"

    launch.run_here(WORKERS)
    assert_exact(launch, TRIALS, EPOCHS)
    assert not launch.events(kind="epoch_redone")


def test_a_signal_is_not_kept_waiting_by_a_server_that_starts(launch: Watched) -> None:
    launch.start(workers=WORKERS, hold_after=[1], own_fork_server=True)
    first = kill_server(launch)
    victim = launch.wait_for(lambda: next(iter(launch.workers()), None))
    os.kill(victim, signal.SIGKILL)
    second = launch.wait_for(lambda: launch.server(first))
    os.kill(second, signal.SIGSTOP)  # it would never have imported what it needs
    try:
        assert launch.process is not None
        launch.process.terminate()
        launch.let_go()
        launch.process.wait(timeout=240)
    finally:
        os.kill(second, signal.SIGKILL)  # it holds the pipe of what was printed
    output, _ = launch.process.communicate(timeout=240)
    assert "Traceback" not in output
    assert "running" not in {each.state for each in launch.tickets()}
