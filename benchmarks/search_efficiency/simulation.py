"""Simulates a search on a recorded table, with a clock and a heap of events.

Workers request work from a searcher and report every epoch to it, as in a real search. An epoch
takes the recorded seconds, and every draw and every report takes time as well.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np

from benchmarks.search_efficiency.table import Curve, Table
from hpsearch.workers.run_config import RunConfig

#: Seconds of a draw (or a promotion) and of a report, the same for all contestants, so that the
#: speed of the database doesn't matter: about the costs of hpsearch and Optuna
#: (``benchmarks.ledger``).
DRAW_SECONDS, REPORT_SECONDS = 0.02, 0.004

#: Seconds until a crashed worker's successor trains.
RESTART_SECONDS = 1.0

#: The answer to a report. A paused training may be continued later.
Answer: TypeAlias = Literal["continue", "paused", "ended"]


@dataclass
class Job:
    """A training that a worker runs."""

    #: The searcher's own identifier of it.
    key: int
    #: The table's row.
    row: int
    #: Number of finished epochs.
    epochs_done: int = 0


class Searcher(Protocol):
    """Decides what is trained, and for how long."""

    def begin(self, worker: int) -> Job | None:
        """Return the next job, a new or a continued one; ``None`` if there is none now."""
        ...

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        """Record the value of an epoch, and return whether the job continues."""
        ...

    def diverged(self, worker: int, job: Job) -> None:
        """Record that a training diverged."""
        ...

    def pick(self) -> int | None:
        """Return the row that would be chosen now, or ``None`` if there is none yet."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Stragglers and crashes of a cluster, the same in a replay for all contestants."""

    #: Share of the slow workers, and how many times as long their epochs take.
    stragglers: float = 0.0
    slowness: float = 4.0
    #: Probability that a worker dies in the middle of an epoch. Its trial continues from its last
    #: checkpoint, and epochs that are trained again aren't reported again.
    crashes: float = 0.0
    checkpoint_seconds: float = RunConfig.checkpoint_seconds


@dataclass
class Trace:
    """The course of a search."""

    #: Seconds, epochs so far, the row picked, the best validation accuracy of any epoch so far.
    steps: list[tuple[float, int, int | None, float]] = field(default_factory=list)
    #: (worker, row, epoch, answer) in the order of time.
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
    curves: list[Curve],
    *,
    workers: int,
    seconds: float,
    trouble: Trouble | None = None,
    seed: int = 0,
) -> Trace:
    """Let ``workers`` search for ``seconds``.

    Args:
        searcher: Decides what is trained.
        table: The table to search.
        curves: The training of each row that this replay sees.
        workers: The number of workers.
        seconds: The simulated seconds of the search.
        trouble: Stragglers and crashes; none by default.
        seed: The seed of the trouble.

    Returns:
        The trainings over time, and the pick after each epoch.
    """
    return _Simulation(searcher, curves, workers, seconds, trouble or Trouble(), seed).run()


@dataclass
class _Slot:
    """A worker and its job."""

    #: How many times as long an epoch takes here.
    slowness: float
    job: Job | None = None
    #: The epoch of its job's checkpoint, and the time at which that was written.
    checkpoint: tuple[int, float] = (0, 0.0)
    #: Epochs of its job that were reported before it crashed.
    reported: int = 0
    crashes: bool = False


class _Simulation:
    def __init__(
        self, searcher: Searcher, curves: list[Curve], workers: int, seconds: float,
        trouble: Trouble, seed: int,
    ) -> None:  # fmt: skip
        self.searcher, self.curves, self.seconds, self.trouble = searcher, curves, seconds, trouble
        self.trace = Trace()
        self.rng = np.random.default_rng([seed, 71])
        slow = self.rng.random(workers) < trouble.stragglers
        self.slots = [_Slot(trouble.slowness if is_slow else 1.0) for is_slow in slow]
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
        duration = self.curves[job.row].seconds[job.epochs_done] * slot.slowness
        slot.crashes = self.trouble.crashes > 0 and self.rng.random() < self.trouble.crashes
        if slot.crashes:
            duration *= self.rng.random()
        heapq.heappush(self.heap, (start + duration, worker))

    def _crash(self, slot: _Slot) -> None:
        slot.crashes = False
        if slot.job is not None:
            slot.job.epochs_done, _ = slot.checkpoint

    def _epoch(self, now: float, worker: int, slot: _Slot, job: Job) -> float:
        """Report the epoch that ends now; return the seconds that this takes."""
        curve, epoch = self.curves[job.row], job.epochs_done + 1
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
        # A report may have created work for idle workers
        for idle_worker in self.idle:
            heapq.heappush(self.heap, (now, idle_worker))
        self.idle.clear()
        return charge
