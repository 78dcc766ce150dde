"""The terminal closes, or the current folder is deleted, while a launch trains."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.launches import Launch, assert_exact

TRIALS, EPOCHS = 4, 6

#: Seconds for what must happen, however busy the machine is.
PATIENCE = 400

pytestmark = pytest.mark.timeout(1800)


class InTerminal(Launch):
    """A launch that is the foreground command of a terminal of its own."""

    def __init__(self, folder: Path, storage: str) -> None:
        super().__init__(folder, storage)
        self.ours, self.theirs = os.openpty()
        self.said = b""
        self._closes = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def start(
        self,
        *options: str,
        workers: int = 2,
        checkpoint: str = "0",
        hold_after: Sequence[int] = (),
    ) -> None:
        """Start it; what it prints goes to the terminal."""
        command = [sys.executable, "-m", "hpsearch", "launch", "--study", str(self.file)]
        command += ["--workers", str(workers), "--checkpoint-interval", checkpoint, *options]

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment(hold_after), "TERM": "dumb"},
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            preexec_fn=take_terminal,
            text=True,
        )
        os.close(self.theirs)

    def close_terminal(self) -> None:
        """Do what closing its window does."""
        self._closes.set()
        self._reader.join()
        os.close(self.ours)

    def end(self) -> None:
        """Leave nothing behind."""
        super().end()
        if not self._closes.is_set():
            self.close_terminal()

    def _read(self) -> None:
        """Show it to nobody; a terminal that nobody reads would hold the launch up."""
        while not self._closes.is_set():
            if select.select([self.ours], [], [], 0.05)[0]:
                with suppress(OSError):  # nobody has the other end open
                    self.said += os.read(self.ours, 4096)


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InTerminal]:
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    made = InTerminal(tmp_path, f"sqlite:///{tmp_path}/hpsearch.db")
    yield made
    made.end()


def goes_on(launch: Launch) -> None:
    """Launch again, and see that nothing was lost."""
    again = Launch(launch.folder, launch.storage)
    try:
        again.run_here()
        assert_exact(again, TRIALS, EPOCHS)
        kinds = {event.kind for event in again.events()}
        assert kinds.isdisjoint({"lease_expired", "worker_died", "epoch_redone"})
    finally:
        again.end()


def test_a_launch_whose_terminal_closes_pauses_and_goes_on(launch: InTerminal) -> None:
    launch.start(hold_after=[1])
    launch.held(seconds=PATIENCE)
    launch.close_terminal()
    assert launch.process is not None
    # What the shell sends to its jobs beside the terminal's own; it is no second Ctrl-C
    launch.process.send_signal(signal.SIGHUP)
    launch.let_go()
    launch.process.wait(PATIENCE)
    left = [each for each in launch.tickets() if not each.state.is_finished]
    assert {each.state for each in left} == {"paused"}
    goes_on(launch)


def test_a_detached_launch_survives_its_terminal_and_sighup(launch: InTerminal) -> None:
    launch.start("--detach", hold_after=[1])
    assert launch.process is not None
    launch.process.wait(PATIENCE)
    launch.process = None  # it has said that the launch goes on
    log = launch.folder / "runs" / launch.name / "launch.log"
    launch.held(seconds=PATIENCE)
    told = re.search(rb"in the background as process (\d+)", launch.said)
    assert told is not None, launch.said
    pid = int(told[1])
    launch.close_terminal()
    os.kill(pid, signal.SIGHUP)
    launch.let_go()
    launch.wait_for(lambda: not psutil.pid_exists(pid), PATIENCE)
    assert_exact(launch, TRIALS, EPOCHS)
    assert f"finished; {TRIALS} of {TRIALS} trials" in log.read_text()


def test_a_current_folder_that_is_deleted_amid_a_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Database and runs lie elsewhere; a worker that is killed must still be replaced."""
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "current"
    folder.mkdir()
    launch = Launch(folder, f"sqlite:///{tmp_path}/hpsearch.db")
    launch.gates = tmp_path / "gates"
    try:
        launch.start(hold_after=[1], own_fork_server=True)
        victim = launch.held(seconds=PATIENCE)
        shutil.rmtree(folder)
        os.kill(launch.pid_of(victim.ticket), signal.SIGKILL)
        # Whoever takes its place waits after an epoch, too
        launch.wait_for(lambda: len(launch.pids()) == 3, PATIENCE)
        printed = launch.finish(PATIENCE)
        assert "Traceback" not in printed
        assert_exact(launch, TRIALS, EPOCHS)
        assert len(launch.pids()) == 3, "another worker took the place of the one that died"
    finally:
        launch.end()
