"""Local worker processes: starting, watching, replacing and stopping them.

A worker that dies is replaced, and its trial goes on at once: we saw it end, nobody has to wait for
its lease. One that gives no sign of life for the study's ``trial_timeout`` is killed.
"""

from __future__ import annotations

import faulthandler
import math
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import Literal

from hpsearch.errors import UserError
from hpsearch.kill_points import Step, passing
from hpsearch.search import ledger_reads
from hpsearch.search.claims import free_tickets_of
from hpsearch.search.ledger_reads import Counts
from hpsearch.search.storage import Database, GaveUpWaiting, Patience
from hpsearch.search.studies import StoredStudy, find
from hpsearch.study_file.durations import format_duration
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.fork_server import start_fork_server
from hpsearch.workers.lease_keeper import HUNG
from hpsearch.workers.progress import Progress, ProgressReader, WorkerStatus
from hpsearch.workers.pulse import Counter, Pulse, new_counter, start_beating
from hpsearch.workers.worker import WorkerOptions, new_owner, run_worker

#: Between two looks at workers and ledger.
TICK_SECONDS = 0.4

#: A worker that was told to leave is killed after this; its trial goes on from its checkpoint.
LEAVE_SECONDS = 8.0

#: Deaths in a row, without an epoch in between, after which the launch gives up (more of them
#: where it has many workers).
MAX_DEATHS = 10

#: How long a new worker process may take to its first sign of life, whatever the timeout.
START_SECONDS = 300.0

#: Exit code of a worker that met a user's mistake: the message stands on stderr.
USER_ERROR = 2

Reason = Literal["finished", "stopped", "timeout", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a launch ended."""

    reason: Reason
    counts: Counts


@dataclass
class _Local:
    """One worker process of this launch."""

    slot: int
    device: str
    owner: str
    process: ForkServerProcess
    pulse: Pulse
    #: Why it was killed.
    killed: str | None = None
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps one worker process alive per entry of ``devices`` until the study is done."""

    def __init__(
        self,
        database: Database,
        stored: StoredStudy,
        study: StudyFile,
        *,
        devices: list[str],
        threads: int,
        storage: str,
        runs: Path,
        data: Path | None,
        lease_seconds: float,
        checkpoint_seconds: float,
    ) -> None:
        self._database = database
        self._stored = stored
        self._study = study
        self._devices = devices
        self._threads = threads
        self._storage = storage
        self._runs = runs
        self._data = data
        self._lease_seconds = lease_seconds
        self._checkpoint_seconds = checkpoint_seconds
        self._workers: list[_Local] = []
        self._signals = 0
        self._deaths = 0
        self._epochs_at_start = 0
        self._epochs_at_death = 0

    def run(self, on_progress: Callable[[Progress], None], *, timeout: float | None) -> Outcome:
        """Supervise until there is nothing left to do; call it from the main thread."""
        deadline = None if timeout is None else time.monotonic() + timeout
        reader = ProgressReader(self._database, self._stored, self._study)
        if self._is_finished():
            return self._outcome("finished")
        counts = ledger_reads.counts(self._database, self._stored.study_id)
        self._epochs_at_start = self._epochs_at_death = counts.epochs_run
        with ExitStack() as stack:
            self._catch_signals(stack)
            stack.callback(self._kill_all)
            context = start_fork_server()
            for slot, device in enumerate(self._devices):
                self._start(context, slot, device)
            passing(Step.WORKERS_STARTED)
            # A database that goes away from here on is waited for.
            self._database.patience = Patience(
                seconds=math.inf, interrupted=lambda: self._signals > 0
            )
            try:
                reason = self._watch(context, reader, on_progress, deadline)
            except GaveUpWaiting:
                reason = "interrupted"
            self._database.patience = Patience()
            self._leave()
            on_progress(reader.look([]))
        return self._outcome(reason)

    def _is_finished(self) -> bool:
        counts = ledger_reads.counts(self._database, self._stored.study_id)
        issued_all = counts.total >= self._stored.trials or self._stored.exhausted
        return issued_all and counts.finished == counts.total

    def _outcome(self, reason: Reason) -> Outcome:
        counts = ledger_reads.counts(self._database, self._stored.study_id)
        return Outcome(reason=reason, counts=counts)

    def _watch(
        self,
        context: ForkServerContext,
        reader: ProgressReader,
        on_progress: Callable[[Progress], None],
        deadline: float | None,
    ) -> Reason:
        while self._workers:
            if self._signals:
                return "interrupted"
            if deadline is not None and time.monotonic() >= deadline:
                return "timeout"
            self._kill_silent()
            for local in [each for each in self._workers if not each.process.is_alive()]:
                self._workers.remove(local)
                if not self._bury(local):
                    return "failed"
                if local.process.exitcode != 0:
                    self._start(context, local.slot, local.device)
            on_progress(reader.look(self._statuses()))
            time.sleep(TICK_SECONDS)
        stops = find(self._database, self._stored.name).stops
        return "stopped" if stops > self._stored.stops else "finished"

    def _bury(self, local: _Local) -> bool:
        """Free what a dead worker held; returns whether the launch may go on."""
        local.process.join()
        if local.process.exitcode == 0:
            return True
        passing(Step.DEATH_SEEN)
        # We saw it end, so nobody has to wait for its lease.
        reason = local.killed or death_of(local.process.exitcode)
        freed = free_tickets_of(self._database, self._stored.study_id, local.owner, reason=reason)
        passing(Step.TICKETS_FREED)
        if local.process.exitcode == USER_ERROR:
            return False
        of_its_trial = freed > 0 or local.killed is not None or local.process.exitcode == HUNG
        return self._may_go_on(of_its_trial=of_its_trial)

    def _may_go_on(self, *, of_its_trial: bool) -> bool:
        """Whether one more death is no reason to give up.

        Where an epoch was trained since the launch, the machine is sound: whoever dies in a trial
        dies of that trial, and the ledger ends it after a few attempts.
        """
        epochs = ledger_reads.counts(self._database, self._stored.study_id).epochs_run
        if epochs != self._epochs_at_death:
            self._deaths = 0
        self._epochs_at_death = epochs
        if not of_its_trial or epochs == self._epochs_at_start:
            self._deaths += 1
        return self._deaths < max(MAX_DEATHS, 3 * len(self._devices))

    def _start(self, context: ForkServerContext, slot: int, device: str) -> None:
        owner = new_owner(f"worker-{slot}")
        options = WorkerOptions(
            study_name=self._stored.name,
            storage=self._storage,
            device=device,
            threads=self._threads,
            runs=self._runs,
            data=self._data,
            lease_seconds=self._lease_seconds,
            checkpoint_seconds=self._checkpoint_seconds,
            owner=owner,
        )
        counter = new_counter(context)
        process = context.Process(
            target=worker_process, args=(options, counter), name=f"worker-{slot}"
        )
        process.start()
        self._workers.append(
            _Local(slot=slot, device=device, owner=owner, process=process, pulse=Pulse(counter))
        )

    def _kill_silent(self) -> None:
        """Kill workers that hang so hard that they can't even end themselves."""
        timeout = self._study.budget.trial_timeout
        for local in self._workers:
            limit = timeout if local.pulse.has_begun else max(timeout, START_SECONDS)
            if local.pulse.silence() > limit and local.process.is_alive():
                local.killed = (
                    f"the worker process hung: no sign of life for {format_duration(timeout)} "
                    "(budget.trial_timeout)"
                )
                local.process.kill()
                local.process.join()

    def _statuses(self) -> list[WorkerStatus]:
        now = time.monotonic()
        return [
            WorkerStatus(
                owner=local.owner,
                pid=local.process.pid,
                device=local.device,
                state="starting" if now - local.started < 2 else "idle",
            )
            for local in sorted(self._workers, key=lambda local: local.slot)
        ]

    def _leave(self) -> None:
        """Tell every worker to checkpoint and leave; kill those that don't in time."""
        for local in self._workers:
            local.process.terminate()
        passing(Step.WORKERS_TOLD)
        deadline = time.monotonic() + LEAVE_SECONDS
        seen = self._signals
        while any(local.process.is_alive() for local in self._workers):
            if time.monotonic() > deadline or self._signals > seen:
                self._kill_all()
                break
            time.sleep(0.05)
        for local in self._workers:
            self._bury(local)
        self._workers.clear()

    def _kill_all(self) -> None:
        for local in self._workers:
            if local.process.is_alive():
                local.process.kill()

    def _catch_signals(self, stack: ExitStack) -> None:
        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, count)
            stack.callback(signal.signal, number, before)


def death_of(exit_code: int | None) -> str:
    """Return how a worker process ended, for people: ``the worker process died (SIGSEGV)``."""
    if exit_code is None or exit_code >= 0:
        return f"the worker process died (exit code {exit_code})"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; the kernel does so where memory runs out" if -exit_code == signal.SIGKILL else ""
    return f"the worker process died ({name}{hint})"


def worker_process(options: WorkerOptions, counter: Counter) -> None:
    """Be a worker; the entry of the process. ``counter`` shows the supervisor that it lives."""
    # A crash in native code then says on stderr which line of Python called it.
    faulthandler.enable()
    start_beating(counter)
    try:
        run_worker(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(USER_ERROR)
