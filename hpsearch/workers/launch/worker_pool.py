"""The local worker processes of one launch: starting, watching, stopping and killing them."""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext

from hpsearch.errors import DatabaseReplaced, DeviceUnusable, UserError
from hpsearch.exit_codes import NODE_UNUSABLE, WRONG
from hpsearch.failpoints import FailPoint, hit
from hpsearch.machine_limits import ProcessLimit, limit_reached
from hpsearch.study_file.durations import format_duration
from hpsearch.workers.launch.forked import ForkedProcess
from hpsearch.workers.launch.heartbeat import Counter, Heartbeat, new_counter, start_heartbeat
from hpsearch.workers.launch.progress import WorkerStatus
from hpsearch.workers.owners import new_owner
from hpsearch.workers.run_config import WorkerOptions

#: A worker that was asked to stop is killed after this time.
#: Its trial continues from its checkpoint.
LEAVE_SECONDS = 8.0

#: How long the operating system may take to end a worker that was killed.
KILL_SECONDS = 5.0

#: How long a new worker process may take to its first sign of life, even if the timeout is shorter.
START_SECONDS = 300.0

#: Exit code of a worker whose database was replaced: the supervisor raises it, once for all.
REPLACED = 3


@dataclass
class WorkerHandle:
    """One worker process of this launch."""

    slot: int
    device: str
    owner: str
    process: ForkedProcess
    heartbeat: Heartbeat
    #: Why it was killed; ``None`` if it wasn't.
    kill_reason: str | None = None
    #: Whether it was asked to stop while the launch continues.
    retired: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it lives, or if that isn't known."""
        return self.process.exit_code


class WorkerPool:
    """Worker processes that differ only in slot and device; they share ``options``."""

    def __init__(self, context: ForkServerContext, options: WorkerOptions) -> None:
        self._context = context
        self._options = options
        self._workers: list[WorkerHandle] = []

    def __len__(self) -> int:
        return len(self._workers)

    def on(self, device: str) -> list[WorkerHandle]:
        """Return the workers on ``device`` that stay, by slot."""
        return [
            worker for worker in self._by_slot() if worker.device == device and not worker.retired
        ]

    def start(self, device: str, slot: int | None = None) -> None:
        """Start one worker.

        Args:
            device: The device that it trains on.
            slot: Its number; ``None``: the first free one.

        Raises:
            ForkServerLost: No worker was started; another try may succeed.
        """
        slots = {worker.slot for worker in self._workers}
        if slot is None:
            slot = next(number for number in range(len(slots) + 1) if number not in slots)
        owner = new_owner(f"worker-{slot}")
        options = replace(self._options, device=device, owner=owner, database_was_there=True)
        counter = new_counter(self._context)
        process = ForkedProcess(worker_process, (options, counter), name=f"worker-{slot}")
        self._workers.append(
            WorkerHandle(
                slot=slot, device=device, owner=owner, process=process, heartbeat=Heartbeat(counter)
            )
        )
        process.begin()

    def stop_one(self, worker: WorkerHandle) -> None:
        """Tell one worker to checkpoint and leave; another one resumes its trial."""
        worker.retired = True
        worker.process.send_signal(signal.SIGTERM)

    def take_dead(self) -> list[WorkerHandle]:
        """Return the workers that have ended since the last call, and remove them."""
        dead = [worker for worker in self._workers if not worker.process.is_alive()]
        for worker in dead:
            self._workers.remove(worker)
            worker.process.join(0.0)
            worker.process.close()
        return dead

    def kill_silent(self, timeout: float) -> None:
        """Kill workers without a sign of life for ``timeout`` s: no thread of theirs can run."""
        for worker in self._workers:
            limit = timeout if worker.heartbeat.has_begun else max(timeout, START_SECONDS)
            if worker.heartbeat.silence() > limit and worker.process.is_alive():
                worker.kill_reason = (
                    f"the worker process hung: no heartbeat for {format_duration(timeout)} "
                    "(budget.trial_timeout)"
                )
                worker.process.send_signal(signal.SIGKILL)

    def stop_all(self, hurry: Callable[[], bool]) -> list[WorkerHandle]:
        """Tell all workers to checkpoint and leave; return them when they have ended.

        Those that take too long are killed, and all if ``hurry`` returns True.
        """
        for worker in self._workers:
            worker.process.send_signal(signal.SIGTERM)
        hit(FailPoint.WORKERS_TOLD)
        deadline = time.monotonic() + LEAVE_SECONDS
        while any(worker.process.is_alive() for worker in self._workers):
            if time.monotonic() > deadline or hurry():
                self.kill_all()
                break
            time.sleep(0.05)
        for worker in self._workers:
            worker.process.join(KILL_SECONDS)
            worker.process.close()
        left, self._workers = self._workers, []
        return left

    def kill_all(self) -> None:
        """End every process at once."""
        for worker in self._workers:
            worker.process.send_signal(signal.SIGKILL)

    def statuses(self) -> list[WorkerStatus]:
        """Return what is known of each worker without a read of the ledger."""
        now = time.monotonic()
        return [
            WorkerStatus(
                owner=worker.owner,
                pid=worker.process.pid,
                device=worker.device,
                state="starting" if now - worker.started < 2 else "idle",
            )
            for worker in self._by_slot()
        ]

    def _by_slot(self) -> list[WorkerHandle]:
        return sorted(self._workers, key=lambda worker: worker.slot)


def death_of(exit_code: int | None) -> str:
    """Return how a worker process ended, for messages: ``the worker process died (SIGSEGV)``."""
    if exit_code is None:
        return "the worker process died (the reason is unknown, because its fork server died, too)"
    if exit_code >= 0:
        return f"the worker process died (exit code {exit_code})"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; the kernel does this when memory runs out" if -exit_code == signal.SIGKILL else ""
    return f"the worker process died ({name}{hint})"


def worker_process(options: WorkerOptions, counter: Counter) -> None:
    """Run a worker; the entry of the process. ``counter`` is its heartbeat for the supervisor."""
    # Imported here, because the launch, which imports this module, needs no torch.
    from hpsearch.workers.worker import run_worker

    # A crash in native code then prints the Python line that called it to stderr.
    faulthandler.enable()
    try:
        start_heartbeat(counter)
        run_worker(options)
    except DeviceUnusable as error:
        # Not the study's fault: the GPU may work in another process
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(NODE_UNUSABLE)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(WRONG)
    except DatabaseReplaced:
        sys.exit(REPLACED)
    except Exception as error:
        limit = limit_reached(error)
        if limit is None:
            raise
        print(f"error: {limit}", file=sys.stderr, flush=True)
        # Another worker would hit a limit of processes as well, and fail more trials
        sys.exit(WRONG if isinstance(limit, ProcessLimit) else 1)
