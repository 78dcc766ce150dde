"""1 to 8 workers on one GPU, and the number that ``--workers auto`` chooses.

Throughput is multiply-adds of finished epochs per second, as for ``--workers auto``, from the
moment at which every worker has finished an epoch. The autoscaler's windows (a minute each) are
shortened, so that it finishes within the time of this part.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field

from benchmarks.gpu.launches import Launched, source, stored
from benchmarks.gpu.settings import Finding, Settings
from hpsearch.results import trial_attributes
from hpsearch.search.ledger import queries
from hpsearch.workers.launch import autoscale as packing_rule
from hpsearch.workers.launch.allocation import MOST_ON_ONE_GPU
from hpsearch.workers.launch.autoscale import Autoscaler
from hpsearch.workers.launch.progress import Progress

STUDY = """\
study: workers
budget: {{trials: 100000, epochs_per_trial: 2}}
sampler: random
pruner: none
data: {data}
model: {{simple_cnn: {{conv1_channels: 16, conv2_channels: 32}}}}
optimizer: {{sgd: {{lr: {{min: 1e-3, max: 1e-1, log: true}}, momentum: 0.9}}}}
batch_size: 64
"""

#: Most seconds of a launch whose workers don't all finish an epoch.
LONGEST = 60.0


@dataclass
class Rate:
    """Epochs per second of a launch, from when so many workers have finished an epoch."""

    launched: Launched
    workers: int
    #: Seconds to measure; then the launch is stopped.
    seconds: float
    _began: tuple[float, int] | None = None
    _last: tuple[float, int] = (0.0, 0)
    _owners: set[str] = field(default_factory=set)

    def look(self, progress: Progress) -> None:
        """Record the progress of the launch; called about twice a second."""
        at = (time.monotonic(), progress.counts.epochs_run)
        tickets = queries.all_tickets(self.launched.database, self.launched.stored.study_id)
        self._owners |= {ticket.owner for ticket in tickets if ticket.owner and ticket.epochs_done}
        if self._began is None and len(self._owners) >= self.workers:
            self._began = at
        if at[1] != self._last[1]:
            self._last = at
        if self._began is not None and at[0] - self._began[0] > self.seconds:
            signal.raise_signal(signal.SIGTERM)  # as a user would end it

    def epochs_per_second(self) -> float | None:
        """Return the rate, or ``None`` if too few epochs were measured."""
        if self._began is None or self._last[0] <= self._began[0]:
            return None
        return (self._last[1] - self._began[1]) / (self._last[0] - self._began[0])


@dataclass
class Course:
    """The number of workers over time, from the first epoch."""

    #: Seconds to watch; then the launch is stopped.
    seconds: float
    numbers: list[tuple[float, int]] = field(default_factory=list)
    _began: float | None = None

    def look(self, progress: Progress) -> None:
        """Record the number of workers when it changes."""
        if not progress.counts.epochs_run:
            return
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        working = sum(worker.pid is not None for worker in progress.workers)
        if working and (not self.numbers or self.numbers[-1][1] != working):
            self.numbers.append((now - self._began, working))
        if now - self._began > self.seconds:
            signal.raise_signal(signal.SIGTERM)

    def __str__(self) -> str:
        return ", ".join(f"{workers} at {at:.0f} s" for at, workers in self.numbers)


def measure(settings: Settings) -> Finding:
    """Measure each fixed number, then let the autoscaler choose."""
    rows, rates = [], {}
    for workers in settings.of((1, 2, 4, 8), (1, 2)):
        with stored(STUDY.format(data=source(settings))) as launched:
            rate = Rate(launched, workers, seconds=settings.of(8.0, 0.5))
            launched.run(settings.device, workers, rate.look, seconds=LONGEST)
            speed = rate.epochs_per_second()
            if speed is not None:
                rates[workers] = speed
            rows.append(
                {
                    "workers": str(workers),
                    "epochs a second": None if speed is None else round(speed, 2),
                    "times one worker": _times(speed, rates.get(1)),
                    "multiply-adds a second": _work(launched, speed),
                }
            )
    row, last = _chosen_by_the_rule(settings, rates)
    best = max(rates, key=lambda number: rates[number], default=0)
    return Finding(
        verdict="measured" if rates else "wrong",
        said=f"most gets done with {best} workers ({_times(rates.get(best), rates.get(1))} times "
        f"one's work); auto came to {last}",
        rows=[*rows, row],
    )


def _chosen_by_the_rule(
    settings: Settings, rates: dict[int, float]
) -> tuple[dict[str, object], int]:
    before = (packing_rule.WINDOW, packing_rule.WARM_UP, packing_rule.LOOK_SECONDS)
    packing_rule.WINDOW, packing_rule.WARM_UP = settings.of((8.0, 4.0), (2.0, 1.0))
    packing_rule.LOOK_SECONDS = 0.4
    try:
        with stored(STUDY.format(data=source(settings))) as launched:
            course = Course(seconds=settings.of(55.0, 2.0))
            rule = Autoscaler(most=settings.of(MOST_ON_ONE_GPU, 2))
            launched.run(settings.device, 1, course.look, seconds=settings.of(60, 8), packing=rule)
    finally:
        packing_rule.WINDOW, packing_rule.WARM_UP, packing_rule.LOOK_SECONDS = before
    row = {
        "workers": f"auto: {course}",
        "epochs a second": None,
        "times one worker": None,
        "multiply-adds a second": None,
    }
    return row, rule.workers


def _times(rate: float | None, one: float | None) -> float | None:
    return None if not rate or not one else round(rate / one, 2)


def _work(launched: Launched, rate: float | None) -> str | None:
    trials = launched.record().trials
    if rate is None or not trials:
        return None
    attributes = trial_attributes.read(launched.database, trials[0].trial_id or 0)
    return f"{rate * float(attributes['multiply_adds']) * float(attributes['train_images']):.2e}"
