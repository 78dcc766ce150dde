"""A search on a recorded table, under a clock that is made up: events in a heap.

Workers ask a searcher for work and report every epoch to it, as workers of a real search do. An
epoch takes the seconds that were recorded, and every draw and every report is charged as well.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.search_efficiency.table import Curve, Table

#: Seconds charged for a draw and for a report, the same to everybody: about what one costs of ours
#: and of Optuna's (``benchmarks.ledger``), so that nobody wins by a faster database here.
DRAW_SECONDS, REPORT_SECONDS = 0.02, 0.004


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
        """Return the next job, ``None`` where there is none (now)."""
        ...

    def report(self, worker: int, job: Job, epoch: int, value: float) -> bool:
        """Take the value of an epoch; returns whether the training goes on."""
        ...

    def diverged(self, worker: int, job: Job) -> None:
        """Take note that a training broke off."""
        ...

    def pick(self) -> int | None:
        """Return the row that would be chosen now, ``None`` before there is one."""
        ...


@dataclass
class Trace:
    """What a search came to over time."""

    #: Seconds, epochs so far, the row picked, the best validation accuracy of any epoch so far.
    steps: list[tuple[float, int, int | None, float]] = field(default_factory=list)
    #: (worker, row, epoch, goes on) in the order of time.
    events: list[tuple[int, int, int, bool]] = field(default_factory=list)
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
    searcher: Searcher, table: Table, seen: list[Curve], *, workers: int, seconds: float
) -> Trace:
    """Let ``workers`` search for ``seconds``."""
    trace = Trace()
    # (time, worker): ties go to the lower worker. What ends at that time is in ``training``.
    heap = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(heap)
    training: dict[int, Job] = {}
    idle: list[int] = []
    epochs, best = 0, 0.0
    while heap:
        now, worker = heapq.heappop(heap)
        if now > seconds:
            break
        charge = 0.0
        job = training.get(worker)
        if job is not None:
            curve, epoch = seen[job.row], job.epochs_done + 1
            epochs += 1
            if epoch > len(curve.val_accuracy):
                searcher.diverged(worker, job)
                goes_on = False
            else:
                value = curve.val_accuracy[epoch - 1]
                best = max(best, value)
                goes_on = searcher.report(worker, job, epoch, value)
                charge += REPORT_SECONDS
            job.epochs_done = epoch
            trace.steps.append((now, epochs, searcher.pick(), best))
            trace.events.append((worker, job.row, epoch, goes_on))
            if not goes_on:
                del training[worker]
                job = None
            # A report may have made work for those who wait
            for each in idle:
                heapq.heappush(heap, (now, each))
            idle.clear()
        if job is None:
            job = searcher.begin(worker)
            if job is None:
                idle.append(worker)
                continue
            trace.trials += job.epochs_done == 0
            training[worker] = job
            charge += DRAW_SECONDS
        duration = seen[job.row].seconds[job.epochs_done]
        heapq.heappush(heap, (now + charge + duration, worker))
    return trace
