"""Real launches in processes of their own, to be watched through the ledger and disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hpsearch.cli.app import run_command
from hpsearch.component_registries import registries
from hpsearch.failpoints import WAIT_VARIABLE, FailPoint
from hpsearch.search.database.schema_version import ensure_tables, revision_of
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.events import Event, event_log
from hpsearch.search.ledger.queries import Ticket
from hpsearch.study_file.loading import load_study
from support.forked_command import ForkedCommand
from support.processes import _without_main_module

T = TypeVar("T")

#: Six epochs of a tenth of a second on real images: to be hit in the middle, hold it there.
#: Random draws and no pruning: every trial's curve follows from its ticket alone.
STUDY = """
study: storm
seed: 11
budget: {trials: 4, epochs_per_trial: 6}
sampler: random
pruner: none
data: {source: digits, input_size: 16}
model: {simple_cnn: {conv1_channels: 8, conv2_channels: 8, hidden: [32]}}
optimizer: {sgd: {lr: {min: 1e-3, max: 0.1, log: true}, momentum: 0.9}}
batch_size: {values: [16, 32]}
"""


class Launch:
    """`hpsearch launch` of a study, and a look into its ledger."""

    def __init__(self, folder: Path, storage: str, study: str = STUDY, name: str = "storm") -> None:
        self.folder = folder
        self.storage = storage
        self.name = name
        self.file = folder / f"{name}.yaml"
        self.file.write_text(study)
        self.database = Database(storage)
        #: Where files lie that let workers wait after an epoch for as long as they exist.
        self.gates = folder / f"{name}-gates"
        self.process: subprocess.Popen[str] | ForkedCommand | None = None

    def start(
        self,
        *options: str,
        workers: int = 2,
        checkpoint: str = "0",
        hold_after: Sequence[int] = (),
        own_fork_server: bool = False,
    ) -> None:
        """Start it.

        Args:
            options: More of the command line.
            workers: How many.
            checkpoint: Seconds between two checkpoints of a trial; 0 is one after every epoch.
            hold_after: Epochs of its first trial after whose reports each worker waits for
                ``let_go``, so that whoever wants to hit it there can't come too late.
            own_fork_server: Whether it is a command of a shell, with its own fork server, which is
                the parent of its workers; that takes four CPU seconds more.
        """
        command = ["launch", "--study", str(self.file)]
        command += ["--workers", str(workers), "--checkpoint-interval", checkpoint, *options]
        if not own_fork_server:
            self.process = ForkedCommand(command, self.folder, self.environment(hold_after))
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpsearch", *command],
            cwd=self.folder,
            env=self.environment(hold_after),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def environment(self, hold_after: Sequence[int]) -> dict[str, str]:
        """Return the launch's environment, in which its workers wait as ``start`` says."""
        self.gates.mkdir(exist_ok=True)
        for epoch in hold_after:
            (self.gates / str(epoch)).touch()
        step = FailPoint.EPOCH_REPORTED.name.lower()
        waits = ",".join(f"{step}:{each}:{self.gates}/{each}" for each in hold_after)
        return {**os.environ, "HPSEARCH_STORAGE": self.storage, WAIT_VARIABLE: waits}

    def store(self) -> None:
        """Store the study, as a launch without workers does, but in this process."""
        ensure_tables(self.database)
        studies.attach(self.database, load_study(self.file, registries))

    def let_go(self, after: int | None = None) -> None:
        """Let workers that wait ``after`` an epoch (any) go on; nobody waits there again."""
        for gate in self.gates.glob("*" if after is None else str(after)):
            gate.unlink()

    def run_here(self, workers: int = 2) -> None:
        """Launch, or launch again, in this process, and wait for a good end.

        Its tests share one fork server; a command of its own starts one more, which imports torch.
        """
        command = ["launch", "--study", str(self.file), "--storage", self.storage]
        command += ["--workers", str(workers), "--checkpoint-interval", "0"]
        command += ["--runs", os.environ.get("HPSEARCH_RUNS", str(self.folder / "runs"))]
        with _without_main_module():
            assert run_command(command) == 0

    def finish(self, seconds: float = 400) -> str:
        """Wait for a good end; returns what was printed."""
        self.let_go()
        assert self.process is not None
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, output
        return output

    def end(self) -> None:
        """Leave nothing behind, however the test went."""
        self.let_go()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
        self.database.close()

    @property
    def study_id(self) -> int:
        """The stored study's id."""
        return studies.find(self.database, self.name).study_id

    def tickets(self) -> list[Ticket]:
        """Every ticket; none while the study isn't there yet."""
        if self.database.read(revision_of) is None:
            return []
        stored = studies.find_or_none(self.database, self.name)
        return [] if stored is None else queries.all_tickets(self.database, stored.study_id)

    def events(self, ticket: int | None = None, kind: str | None = None) -> list[Event]:
        """The event log, oldest first."""
        log = event_log(self.database, self.study_id, ticket)
        return [event for event in log if kind is None or event.kind == kind]

    def figures(self) -> dict[int, list[tuple[float, ...]]]:
        """Every trial's curve, without the times: what a rerun must give again, bit for bit."""
        return {
            ticket: [
                (each.epoch, each.train_loss, each.train_accuracy, each.val_loss, each.val_accuracy)
                for each in curve
            ]
            for ticket, curve in queries.curves(self.database, self.study_id).items()
        }

    def wait_for(self, condition: Callable[[], T | None], seconds: float = 400) -> T:
        """Return the condition's first true answer."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = condition()
            if answer:
                return answer
            assert self.process is None or self.process.poll() is None, self._printed()
            # A look reads the database, and who looks takes a core from those who train
            time.sleep(0.25)
        raise AssertionError(f"nothing after {seconds} s: {self.tickets()}")

    def held(self, after: int = 1, workers: int = 1, seconds: float = 400) -> Ticket:
        """Return the first ticket whose worker waits ``after`` an epoch, once so many wait."""

        def look() -> Ticket | None:
            running = [each for each in self.tickets() if each.state == "running"]
            waiting = [each for each in running if each.epochs_done == after]
            return waiting[0] if len(waiting) >= workers else None

        return self.wait_for(look, seconds)

    def pid_of(self, ticket: int) -> int:
        """Return the process that took the ticket last."""
        took = [each for each in self.events(ticket) if each.kind in ("claimed", "resumed")]
        return int(took[-1].detail["pid"])

    def pids(self) -> set[int]:
        """Return the processes that ever took a ticket."""
        took = [each for each in self.events() if each.kind in ("claimed", "resumed")]
        return {int(each.detail["pid"]) for each in took}

    def _printed(self) -> str:
        assert self.process is not None
        return f"launch ended early:\n{self.process.communicate()[0]}"


def assert_exact(launch: Launch, trials: int, epochs: int) -> None:
    """Check that every ticket ended once, with every epoch once, and one Optuna row each."""
    tickets = launch.tickets()
    assert [each.ticket for each in tickets] == list(range(1, trials + 1))
    assert [each.state for each in tickets] == ["complete"] * trials
    assert sorted(each.number or 0 for each in tickets) == list(range(trials))
    ends = [each.ticket for each in launch.events(kind="complete")]
    assert sorted(ends) == [each.ticket for each in tickets]
    for ticket, curve in launch.figures().items():
        assert [each[0] for each in curve] == list(range(1, epochs + 1)), ticket
