"""How long trainings will take, from training some of them for a moment on this machine.

One number would be too precise: networks of one study may differ by a factor of ten, and the load
of other programs changes from minute to minute. So the result is a range.

- Its lower end uses the *typical* batch: the speed of the machine if nothing disturbs it.
- Its upper end uses the *average* batch: the speed just now, beside other programs.
- Each end moves by two standard errors of the mean over the configurations that were trained.

As many processes as there will be workers train side by side, since they share cores and memory.
Nothing here needs torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: Processor seconds of a worker's start, of a trial without its training (claiming, drawing,
#: writing its weights), and of an epoch's report. Measured on an idle machine.
WORKER_START, TRIAL_OVERHEAD, EPOCH_OVERHEAD = 0.4, 0.05, 0.005

#: Seconds from a launch's last epoch to its last line: the worker finds nothing to do and leaves,
#: its supervisor sees that, and the results are read once more.
LAUNCH_END = 0.7

#: Standard errors by which an end of the range moves.
ERRORS = 2.0


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long training one configuration takes, in seconds."""

    #: Before the second batch: building the model, reading the data, and the first batch's warm-up.
    setup: float
    #: One epoch, if every batch takes the median time.
    typical_epoch: float
    #: One epoch, if every batch takes the average time.
    average_epoch: float
    #: Wall seconds per processor second, at least 1; more if other programs use the cores.
    slowdown: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """A range of seconds."""

    low: float
    high: float


def range_of(
    measurements: Sequence[Sequence[Timing | None]],
    *,
    trainings: int,
    epochs: int,
    workers: int,
    pieces: int = 1,
) -> TimeRange | None:
    """Compute the range of the time of all trainings from measurements.

    Args:
        measurements: For each process the timings of the configurations, in the same order;
            ``None``: one couldn't be trained.
        trainings: The number of trainings.
        epochs: Epochs of each training.
        workers: How many workers train side by side, at most ``trainings``.
        pieces: The most pieces of a training: it pauses at each rung.

    Returns:
        The range; ``None`` without any timing.
    """
    longest = max(map(len, measurements), default=0)
    by_configuration = [
        [
            timing
            for process in measurements
            if place < len(process) and (timing := process[place]) is not None
        ]
        for place in range(longest)
    ]
    configurations = [timings for timings in by_configuration if timings]
    if not configurations:
        return None
    # Only the first training of a process has a warm-up
    setup = min(timing.setup for timings in configurations for timing in timings)
    overhead = TRIAL_OVERHEAD + epochs * EPOCH_OVERHEAD
    low, low_error = _mean(
        [
            setup + overhead + epochs * min(timing.typical_epoch for timing in timings)
            for timings in configurations
        ]
    )
    high, high_error = _mean(
        [
            statistics.fmean(
                # Every piece builds the model and reads the data again
                pieces * (timing.setup + TRIAL_OVERHEAD * timing.slowdown)
                + epochs * (timing.average_epoch + EPOCH_OVERHEAD * timing.slowdown)
                for timing in timings
            )
            for timings in configurations
        ]
    )
    # At the end some workers have nothing left, while others are still busy
    turns = math.ceil(trainings / workers)
    least = WORKER_START + LAUNCH_END + max(low - ERRORS * low_error, low / 2) * trainings / workers
    slowest = max(timing.slowdown for timings in configurations for timing in timings)
    ends = (WORKER_START + LAUNCH_END) * slowest
    return TimeRange(low=least, high=max(least, ends + (high + ERRORS * high_error) * turns))


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error (0 for one value)."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.fmean(values), error
