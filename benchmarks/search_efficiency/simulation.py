"""A search on a recorded table, under a clock that is made up: events in a heap.

Workers ask a searcher for work and report every epoch to it, as workers of a real search do. An
epoch takes the seconds that were recorded, and every draw and every report is charged as well.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np

from benchmarks.search_efficiency.table import Curve, Table
from hpsearch.workers.worker_options import WorkerOptions

#: Seconds charged for a draw (or a promotion) and for a report, the same to everybody: about what
#: one costs of ours and of Optuna's (``benchmarks.ledger``), so that nobody wins by a faster
#: database here.
DRAW_SECONDS, REPORT_SECONDS = 0.02, 0.004

#: Seconds until the successor of a worker that crashed trains again.
RESTART_SECONDS = 1.0

#: What follows a report. A paused training may be handed out again, from where it is.
Answer: TypeAlias = Literal["continue", "paused", "ended"]


@dataclass
class Job:
    """A training that a worker runs."""

    #: Whatever the searcher knows it by.
    key: int
    #: The table's row.
    row: int
    #: Epochs that are done already.
    epochs_done: int = 0


class Searcher(Protocol):
    """Who decides what is trained, and for how long."""

    def begin(self, worker: int) -> Job | None:
        """Return the next job, a new one or one that goes on; ``None`` if there is none (now)."""
        ...

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        """Take the value of an epoch; returns what follows."""
        ...

    def diverged(self, worker: int, job: Job) -> None:
        """Take note that a training broke off."""
        ...

    def pick(self) -> int | None:
        """Return the row that would be chosen now, ``None`` before there is one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What goes wrong in a cluster. The same replay meets the same trouble, whoever searches."""

    #: Share of the workers that are slow, and how many times as long an epoch takes there.
    stragglers: float = 0.0
    slowness: float = 4.0
    #: Probability that a worker dies in the middle of an epoch. Its trial goes on from its last
    #: checkpoint: what was trained since is trained again, and isn't news to anybody.
    crashes: float = 0.0
    checkpoint_seconds: float = WorkerOptions.checkpoint_seconds


@dataclass
class Trace:
    """What a search came to over time."""

    #: Seconds, epochs so far, the row picked, the best validation accuracy of any epoch so far.
    steps: list[tuple[float, int, int | None, float]] = field(default_factory=list)
    #: (worker, row, epoch, what followed) in the order of time.
    events: list[tuple[int, int, int, Answer]] = field(default_factory=list)
    trials: int = 0

    def at(self, seconds: float) -> tuple[int | None, float]:
        """Return the pick and the best accuracy at a time."""
        pick, best = None, 0.0
        for when, _, picked, accuracy in self.steps:
            if when > seconds:
                break
            pick, best = picked, accuracy
        return pick, best


def simulate(
    searcher: Searcher,
    table: Table,
    seen: list[Curve],
    *,
    workers: int,
    seconds: float,
    trouble: Trouble | None = None,
    seed: int = 0,
) -> Trace:
    """Let ``workers`` search for ``seconds``.

    Args:
        searcher: Who decides.
        table: What is searched.
        seen: The training of each row that this replay sees.
        workers: How many search at the same time.
        seconds: How long.
        trouble: What goes wrong; nothing by default.
        seed: Of the trouble.

    Returns:
        What was trained when, and what would have been picked after each epoch.
    """
    return _Simulation(searcher, seen, workers, seconds, trouble or Trouble(), seed).run()


@dataclass
class _Slot:
    """A worker, and what it trains."""

    #: How many times as long an epoch takes here.
    slowness: float
    job: Job | None = None
    #: The epoch that its job's checkpoint holds, and when that was written.
    checkpoint: tuple[int, float] = (0, 0.0)
    #: Epochs of its job that were reported before it crashed.
    reported: int = 0
    crashes: bool = False


class _Simulation:
    def __init__(
        self, searcher: Searcher, seen: list[Curve], workers: int, seconds: float,
        trouble: Trouble, seed: int,
    ) -> None:  # fmt: skip
        self.searcher, self.seen, self.seconds, self.trouble = searcher, seen, seconds, trouble
        self.trace = Trace()
        self.rng = np.random.default_rng([seed, 71])
        slow = self.rng.random(workers) < trouble.stragglers
        self.slots = [_Slot(trouble.slowness if each else 1.0) for each in slow]
        # (time, worker): ties go to the lower worker
        self.heap = [(0.0, worker) for worker in range(workers)]
        self.idle: list[int] = []
        self.epochs, self.best = 0, 0.0

    def run(self) -> Trace:
        while self.heap:
            now, worker = heapq.heappop(self.heap)
            if now > self.seconds:
                break
            slot, charge = self.slots[worker], 0.0
            if slot.crashes:
                charge += RESTART_SECONDS
                self._crash(slot)
            elif slot.job is not None:
                charge += self._epoch(now, worker, slot, slot.job)
            if slot.job is None:
                slot.job = self.searcher.begin(worker)
                if slot.job is None:
                    self.idle.append(worker)
                    continue
                self.trace.trials += slot.job.epochs_done == 0
                slot.checkpoint = (slot.job.epochs_done, now)
                slot.reported = slot.job.epochs_done
                charge += DRAW_SECONDS
            self._train(now + charge, worker, slot, slot.job)
        return self.trace

    def _train(self, start: float, worker: int, slot: _Slot, job: Job) -> None:
        duration = self.seen[job.row].seconds[job.epochs_done] * slot.slowness
        slot.crashes = self.trouble.crashes > 0 and self.rng.random() < self.trouble.crashes
        if slot.crashes:
            duration *= self.rng.random()
        heapq.heappush(self.heap, (start + duration, worker))

    def _crash(self, slot: _Slot) -> None:
        slot.crashes = False
        if slot.job is not None:
            slot.job.epochs_done, _ = slot.checkpoint

    def _epoch(self, now: float, worker: int, slot: _Slot, job: Job) -> float:
        """Report the epoch that ends now; returns the seconds charged."""
        curve, epoch = self.seen[job.row], job.epochs_done + 1
        self.epochs += 1
        job.epochs_done = epoch
        charge = 0.0
        if epoch <= slot.reported:
            answer: Answer = "continue"  # trained again after a crash
        elif epoch > len(curve.val_accuracy):
            self.searcher.diverged(worker, job)
            answer = "ended"
        else:
            value = curve.val_accuracy[epoch - 1]
            self.best = max(self.best, value)
            answer = self.searcher.report(worker, job, epoch, value)
            charge = REPORT_SECONDS
            slot.reported = epoch
        if now - slot.checkpoint[1] >= self.trouble.checkpoint_seconds:
            slot.checkpoint = (epoch, now)
        self.trace.steps.append((now, self.epochs, self.searcher.pick(), self.best))
        self.trace.events.append((worker, job.row, epoch, answer))
        if answer != "continue":
            slot.job = None
        # A report may have made work for those who wait
        for each in self.idle:
            heapq.heappush(self.heap, (now, each))
        self.idle.clear()
        return charge
