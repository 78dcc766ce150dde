"""A forked process lives and ends as it does, whatever becomes of its server."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hpsearch.workers.launch import fork_server, worker_pool
from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.forked import ForkedProcess, ForkServerLost
from hpsearch.workers.launch.isolation import run_isolated
from hpsearch.workers.launch.worker_pool import death_of
from hpsearch.workers.run_config import RunConfig, WorkerOptions

pytestmark = pytest.mark.timeout(1800)

#: Seconds in which what must happen has happened, on any machine.
PATIENCE = 240.0


@pytest.fixture(autouse=True, scope="module")
def _light_servers() -> Iterator[None]:
    """Fork from servers without torch: nobody here trains, and each test may end its server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fork_server, "PRELOAD", "hpsearch.workers.launch.worker_pool")
        end_server()
        yield
        end_server()


def end(how: str) -> None:
    match how:
        case "returns":
            return
        case "exits":
            sys.exit(3)
        case "exits without a code":
            sys.exit()
        case "raises":
            raise ZeroDivisionError("on purpose")
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)


def wait_for(file: Path, then: int) -> None:
    file.with_suffix(".begun").touch()
    while not file.exists():
        time.sleep(0.01)
    sys.exit(then)


def deaf(options: WorkerOptions, _counter: object) -> None:
    """Be a worker that hangs in native code: no signal but SIGKILL reaches it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (options.run.runs / "begun").touch()
    time.sleep(600)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def kill_server() -> int:
    start_fork_server()
    pid = end_server()
    assert pid is not None
    return pid


def end_server() -> int | None:
    pid: int | None = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return pid


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("returns", 0),
        ("exits", 3),
        ("exits without a code", 0),
        ("raises", 1),
        ("is killed", -signal.SIGKILL),
    ],
)
def test_it_ends_as_it_does(how: str, code: int) -> None:
    process = ForkedProcess(end, (how,), name="test")
    assert process.is_alive()
    assert process.exit_code is None
    process.begin()
    assert process.join(PATIENCE)
    assert process.exit_code == code
    process.close()
    assert process.exit_code == code


def test_it_lives_on_if_its_server_is_killed_and_says_itself_how_it_ended(tmp_path: Path) -> None:
    file = tmp_path / "go"
    processes = [ForkedProcess(wait_for, (file, 7), name="test") for _ in range(3)]
    for process in processes:
        process.begin()
    until(file.with_suffix(".begun").exists)
    kill_server()
    for process in processes:
        assert not process.join(0.2)
        assert process.is_alive()
        assert process.exit_code is None

    stopped, killed, quiet = processes
    killed.send_signal(signal.SIGKILL)
    assert killed.join(PATIENCE)
    assert killed.exit_code is None
    assert "the reason is unknown, because its fork server died" in death_of(killed.exit_code)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.join(PATIENCE)
    assert quiet.is_alive()
    file.touch()
    assert quiet.join(PATIENCE)
    assert quiet.exit_code == 7
    for process in processes:
        process.close()


def test_a_process_that_nobody_lets_begin_does_nothing(tmp_path: Path) -> None:
    process = ForkedProcess(wait_for, (tmp_path / "go", 0), name="test")
    pid = process.pid
    process.close()
    until(lambda: not psutil.pid_exists(pid))
    assert not (tmp_path / "go.begun").exists()


def test_a_server_that_is_killed_before_it_has_forked_is_said_and_the_next_one_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = kill_server()
    monkeypatch.setattr(fork_server, "PRELOAD", "support.slow_to_import")
    killed: list[int] = []

    def kill() -> None:
        killed.append(new_server(first))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ForkServerLost, match="it ended before it started one"):
        ForkedProcess(end, ("returns",), name="test")
    killer.join()
    monkeypatch.undo()
    process = ForkedProcess(end, ("exits",), name="test")
    process.begin()
    assert process.join(PATIENCE)
    assert process.exit_code == 3
    process.close()


def test_a_server_that_serves_no_more_but_has_not_ended_yet_is_replaced(tmp_path: Path) -> None:
    """As one that was killed on a busy machine: its socket is closed before it is gone."""
    start_fork_server()
    server = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]
    first = server._forkserver_pid
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(tmp_path / "closed"))
    server._forkserver_address = str(tmp_path / "closed")
    killer = threading.Timer(0.3, os.kill, (first, signal.SIGKILL))
    killer.start()
    # Each try of the code before failed at once, five in less than a hundredth of a second
    assert run_isolated(os.getppid) not in (first, os.getpid())
    assert server._forkserver_pid != first
    killer.join()


@pytest.mark.parametrize("server", ["lives", "is killed"])
def test_a_worker_that_hears_nothing_is_gone_when_its_crew_has_left(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_pool.LEAVE_SECONDS < 10, "the promise"
    monkeypatch.setattr(worker_pool, "worker_process", deaf)
    monkeypatch.setattr(worker_pool, "LEAVE_SECONDS", 0.2)
    options = WorkerOptions(
        run=RunConfig(storage="sqlite://", runs=tmp_path),
        study_name="none",
        device="cpu",
        threads=1,
    )
    workers = worker_pool.WorkerPool(start_fork_server(), options)
    workers.start("cpu")
    until((tmp_path / "begun").exists)
    if server == "is killed":
        kill_server()
    (left,) = workers.stop_all(hurry=lambda: False)
    assert not left.process.is_alive()
    assert not psutil.pid_exists(left.process.pid) or server == "is killed"
    assert len(workers) == 0
    assert left.exit_code != 0


def test_in_a_hurry_nobody_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "worker_process", deaf)
    monkeypatch.setattr(worker_pool, "LEAVE_SECONDS", 1e9)
    options = WorkerOptions(
        run=RunConfig(storage="sqlite://", runs=tmp_path),
        study_name="none",
        device="cpu",
        threads=1,
    )
    workers = worker_pool.WorkerPool(start_fork_server(), options)
    workers.start("cpu")
    until((tmp_path / "begun").exists)
    (left,) = workers.stop_all(hurry=lambda: True)
    assert not left.process.is_alive()


def new_server(but: int) -> int:
    server = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]
    until(lambda: server._forkserver_pid not in (None, but))
    pid: int = server._forkserver_pid
    return pid
