"""One launch: workers are started, replaced if they die, and told to leave at the end.

A worker that dies is replaced, and its trial continues at once: the supervisor saw its end, so no
worker has to wait for its lease. A worker without a sign of life for the study's ``trial_timeout``
is killed. With an autoscaler the number of workers on a GPU follows their throughput, until
``hpsearch scale`` sets it.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from hpsearch.errors import HpsearchError
from hpsearch.exit_codes import MORE_TO_DO, WRONG
from hpsearch.failpoints import FailPoint, hit
from hpsearch.leave_signals import leave_signals
from hpsearch.machine_limits import limit_reached
from hpsearch.search.database.storage import Database, GaveUpWaiting, Patience
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.fleets import (
    Fleet,
    fleets_of,
    remove_fleet,
    store_fleet,
    wanted_workers,
)
from hpsearch.search.ledger.queries import Counts
from hpsearch.search.ledger.seen_events import gone_back
from hpsearch.search.ledger.studies import StoredStudy, find
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.devices import slots
from hpsearch.workers.launch.autoscale import Autoscaler, ThroughputReader
from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.forked import ForkServerLost
from hpsearch.workers.launch.progress import Progress, ProgressReader
from hpsearch.workers.launch.worker_pool import (
    REPLACED,
    WorkerHandle,
    WorkerPool,
    death_of,
)
from hpsearch.workers.owners import is_alive
from hpsearch.workers.run_config import WorkerOptions

#: Seconds between two looks at workers and ledger.
TICK_SECONDS = 0.4

#: Pause after a look at the ledger, times its length: it reads all trials, so in a long search it
#: takes long, and mustn't keep a core and the database busy.
LEDGER_PAUSE = 9

#: Seconds between two looks at the wanted number of workers.
SCALE_SECONDS = 2.0

#: Deaths in a row, without an epoch in between, after which the launch gives up (more of them
#: if it has many workers).
MAX_DEATHS = 10

#: Fork servers that may end in a row before the launch gives up.
MAX_LOST_SERVERS = 30

logger = logging.getLogger(__name__)

Reason = Literal[
    "finished", "deadline", "stopped", "timeout", "interrupted", "left", "failed", "stored"
]


class _LeaveSignal(BaseException):
    """A signal came while a worker was being started."""


@dataclass(frozen=True, kw_only=True)
class LaunchResult:
    """How a launch ended."""

    reason: Reason
    counts: Counts


class Supervisor:
    """Keeps one worker process alive per entry of ``devices`` until the study is done.

    With an ``autoscaler`` each device begins with one worker, and the autoscaler sets the number.
    """

    def __init__(
        self,
        database: Database,
        stored: StoredStudy,
        study: StudyFile,
        *,
        devices: list[str],
        options: WorkerOptions,
        autoscaler: Autoscaler | None = None,
        fleet: Fleet | None = None,
    ) -> None:
        self._fleet = fleet
        self._looked_at = 0.0
        self._database = database
        self._stored = stored
        self._study = study
        self._devices = devices
        self._options = options
        self._autoscaler = autoscaler
        self._signals = 0
        self._is_starting = False
        #: Device and slot of workers that couldn't be started yet.
        self._unstarted: list[tuple[str, int | None]] = []
        #: Fork servers that ended in a row before they had forked a worker.
        self._lost_servers = 0
        self._deaths = 0
        self._epochs_at_start = 0
        self._epochs_at_death = 0

    def run(
        self,
        on_progress: Callable[[Progress], None],
        *,
        timeout: float | None,
        until_deadline: Callable[[], float | None] = lambda: None,
    ) -> LaunchResult:
        """Supervise until nothing is left to do; call it from the main thread.

        Args:
            on_progress: Called after each look, about twice a second.
            timeout: Seconds after which running trials are paused; ``None``: no limit.
            until_deadline: Returns the seconds that the study's deadline leaves for training;
                workers that haven't stopped by themselves by then are told to leave. ``None``: no
                deadline.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        reader = ProgressReader(self._database, self._stored, self._study)
        if self._is_finished():
            return self._outcome("finished")
        if not self._devices:
            return self._outcome("stored")
        counts = queries.counts(self._database, self._stored.study_id)
        self._epochs_at_start = self._epochs_at_death = counts.epochs_run
        with ExitStack() as stack:
            self._catch_signals(stack)
            pool = WorkerPool(start_fork_server(), self._options)
            stack.callback(pool.kill_all)
            stack.enter_context(self._stored_fleet())
            for device in self._devices:
                self._start(pool, device)
            hit(FailPoint.WORKERS_STARTED)
            # A database that goes away from here on is waited for.
            self._database.patience = Patience(
                seconds=math.inf, interrupted=lambda: self._signals > 0
            )
            try:
                reason = self._watch(pool, reader, on_progress, deadline, until_deadline)
            except GaveUpWaiting:
                reason = "interrupted"
            self._database.patience = Patience()
            signals_before = self._signals
            for worker in pool.stop_all(hurry=lambda: self._signals > signals_before):
                self._handle_exit(worker)
            on_progress(reader.look([]))
        return self._outcome(reason)

    def _is_finished(self) -> bool:
        counts = queries.counts(self._database, self._stored.study_id)
        # Another launch may have changed the budget, a worker may have exhausted the space.
        current = find(self._database, self._stored.name)
        return counts.all_ended(current.trial_budget, exhausted=current.exhausted)

    def _outcome(self, reason: Reason) -> LaunchResult:
        counts = queries.counts(self._database, self._stored.study_id)
        return LaunchResult(reason=reason, counts=counts)

    def _watch(
        self,
        pool: WorkerPool,
        reader: ProgressReader,
        on_progress: Callable[[Progress], None],
        deadline: float | None,
        until_deadline: Callable[[], float | None],
    ) -> Reason:
        work = ThroughputReader(self._database, self._stored.study_id)
        look_at = ask_at = 0.0
        leave_at = math.inf
        while len(pool) or self._unstarted:
            if self._signals:
                return "interrupted"
            if deadline is not None and time.monotonic() >= deadline:
                return "timeout"
            start = time.monotonic()
            if start >= ask_at:
                left = until_deadline()
                leave_at = math.inf if left is None else start + left
                now = time.monotonic()
                ask_at = now + max(SCALE_SECONDS, LEDGER_PAUSE * (now - start))
            if time.monotonic() >= leave_at:
                return "deadline"
            pool.kill_silent(self._study.budget.trial_timeout)
            for worker in pool.take_dead():
                if not self._handle_exit(worker):
                    return "failed"
                if worker.exit_code != 0 and not worker.retired:
                    self._unstarted.append((worker.device, worker.slot))
            if not self._start_others(pool):
                return "failed"
            self._scale(pool)
            if self._autoscaler is not None:
                self._autoscale(pool, self._autoscaler, work)
            start = time.monotonic()
            if start >= look_at:
                on_progress(reader.look(pool.statuses()))
                now = time.monotonic()
                look_at = now + LEDGER_PAUSE * (now - start)
            time.sleep(TICK_SECONDS)
        stops = find(self._database, self._stored.name).stops
        if stops > self._stored.stops:
            return "stopped"
        # All have left by themselves. The counts show whether the study is finished.
        if self._is_finished():
            return "finished"
        return "left" if leave_at == math.inf else "deadline"

    @contextmanager
    def _stored_fleet(self) -> Iterator[None]:
        """Let other processes see this launch, and change the number of its workers."""
        if self._fleet is None:
            yield
            return
        for other in fleets_of(self._database, self._stored):
            # An earlier launch of this host that was killed had no chance to remove its fleet
            here = (other.engine, other.profile) == (self._fleet.engine, self._fleet.profile)
            if here and not is_alive(other.settings["pid"]):
                remove_fleet(self._database, other.key)
        store_fleet(self._database, self._stored.study_id, self._fleet)
        try:
            yield
        finally:
            with suppress(HpsearchError):  # the launch's own error is shown
                remove_fleet(self._database, self._fleet.key)

    def _scale(self, pool: WorkerPool) -> None:
        """Bring the number of workers to what ``hpsearch scale`` has set."""
        if self._fleet is None or time.monotonic() - self._looked_at < SCALE_SECONDS:
            return
        self._looked_at = time.monotonic()
        workers = wanted_workers(self._database, self._fleet.key)
        if workers is None or workers == len(self._devices):
            return
        self._autoscaler = None
        places = slots(list(dict.fromkeys(self._devices)), workers, None)
        for device in dict.fromkeys(self._devices):
            here, number = pool.on(device), places.count(device)
            for worker in here[number:]:
                pool.stop_one(worker)
            for _ in range(number - len(here)):
                self._start(pool, device)
        self._devices = places

    def _autoscale(self, pool: WorkerPool, autoscaler: Autoscaler, work: ThroughputReader) -> None:
        """Bring every device to the number of workers with the highest throughput."""
        done, full = work.read()
        workers_per_device = (
            autoscaler.out_of_memory() if full else autoscaler.update(time.monotonic(), done)
        )
        for device in self._devices:
            here = pool.on(device)
            for worker in here[workers_per_device:]:
                pool.stop_one(worker)
            # No workers here: they left by themselves, since nothing is left to claim
            if here and len(here) < workers_per_device and not self._unstarted:
                self._start(pool, device)

    def _start_others(self, pool: WorkerPool) -> bool:
        """Start workers that replace others; return whether the launch may continue."""
        places, self._unstarted = self._unstarted, []
        for device, slot in places:
            self._start(pool, device, slot)
        return self._lost_servers < MAX_LOST_SERVERS

    def _start(self, pool: WorkerPool, device: str, slot: int | None = None) -> None:
        """Start one worker, now or at the next look; a signal to leave interrupts this.

        If the fork server was killed, a new one first imports torch, which takes seconds.
        """
        self._is_starting = True
        try:
            pool.start(device, slot)
            self._lost_servers = 0
        except ForkServerLost as error:
            self._lost_servers += 1
            self._unstarted.append((device, slot))
            if self._lost_servers == MAX_LOST_SERVERS:
                logger.error("%s", limit_reached(error) or error)
        except _LeaveSignal:
            pass
        finally:
            self._is_starting = False

    def _handle_exit(self, worker: WorkerHandle) -> bool:
        """Free the tickets of a dead worker; return whether the launch may continue."""
        if worker.exit_code == 0:
            return True
        hit(FailPoint.DEATH_SEEN)
        if worker.exit_code == REPLACED:
            self._database.require_same_file()  # Its message is more precise for a file.
            raise gone_back(self._database, f"study {self._stored.name!r}")
        # The worker has ended, so its tickets are freed before their leases expire.
        reason = worker.kill_reason or death_of(worker.exit_code)
        tickets = free_tickets_of(
            self._database, self._stored.study_id, worker.owner, reason=reason
        )
        hit(FailPoint.TICKETS_FREED)
        if worker.exit_code == WRONG:
            return False
        of_its_trial = (
            tickets > 0 or worker.kill_reason is not None or worker.exit_code == MORE_TO_DO
        )
        return self._may_go_on(of_its_trial=of_its_trial)

    def _may_go_on(self, *, of_its_trial: bool) -> bool:
        """Whether the launch continues after one more death.

        If an epoch was trained since the launch began, the machine works: a worker that dies in a
        trial dies of that trial, and the ledger ends the trial after a few attempts.
        """
        epochs = queries.counts(self._database, self._stored.study_id).epochs_run
        if epochs != self._epochs_at_death:
            self._deaths = 0
        self._epochs_at_death = epochs
        if not of_its_trial or epochs == self._epochs_at_start:
            self._deaths += 1
        return self._deaths < max(MAX_DEATHS, 3 * len(self._devices))

    def _catch_signals(self, stack: ExitStack) -> None:
        def count(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGHUP and self._signals:
                return
            self._signals += 1
            if self._is_starting:
                raise _LeaveSignal

        for number in leave_signals():
            before = signal.signal(number, count)
            stack.callback(signal.signal, number, before)
