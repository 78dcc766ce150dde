"""How long trainings will take, from training some of them for a moment on this machine just now.

One number would promise what nobody knows: networks of one study may differ by a factor of ten, and
what other programs leave of the cores differs from minute to minute. So the answer is a range.

- Its lower end takes the *typical* batch: what the machine gives if nothing disturbs it.
- Its upper end takes the *average* one: what it gave just now, beside all that others do.
- Each end moves by two standard errors of the mean over the configurations that were tried.

As many processes as there will be workers train side by side, since they share cores and memory.
Nothing here needs torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.workers.launch.isolation import stream_isolated_processes

#: What all of it may take, the start of the processes included.
TIMING_SECONDS = 60.0

#: Seconds of a processor that a worker takes to start, a trial for all but its training (claiming,
#: drawing, its weights on the disk), and an epoch for its report. From an idle machine.
WORKER_START, TRIAL_OVERHEAD, EPOCH_OVERHEAD = 0.4, 0.05, 0.005

#: Seconds from a launch's last epoch to its last line: the worker finds nothing to do and leaves,
#: its supervisor sees that, and the results are read once more.
LAUNCH_END = 0.7

#: Standard errors by which an end of the range moves.
ERRORS = 2.0

#: Processes that train side by side at most; more workers than this are taken to share as they do.
MOST_PROCESSES = 8


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What training one configuration takes, in seconds."""

    #: Before the second batch: building the model, reading the data, the first batch's warming up.
    setup: float
    #: Of an epoch, if every batch were the median one.
    typical_epoch: float
    #: Of an epoch, if every batch took the average.
    average_epoch: float
    #: The clock's seconds for each of the processor's, 1 at least: others wanted the cores, too.
    slowdown: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """Seconds, from and to."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Configurations to be trained for a moment, and what that needs."""

    #: Their blueprints, pickled: to read them takes torch.
    build_plans: bytes
    plugins: tuple[Path, ...]
    data: Path | None


def time_of(
    probe: Probe, *, trainings: int, epochs: int, workers: int, on_cpu: bool, pieces: int = 1
) -> TimeRange | None:
    """Train the probe's configurations for a moment and return how long all trainings will take.

    It is done in other processes, so that a configuration that crashes or hangs costs nothing but
    its estimate.

    Args:
        probe: Configurations that stand for all of them.
        trainings: How many there will be.
        epochs: Of each training.
        workers: How many train side by side.
        on_cpu: Whether they share this machine's cores; on a GPU one process is timed.
        pieces: In how many pieces a training is done at most: it pauses at each rung.

    Returns:
        The range; ``None`` if nothing could be measured.
    """
    if trainings < 1:
        return None
    abreast = min(workers, trainings)
    timed = stream_isolated_processes(
        _train_for_a_moment,
        min(abreast, MOST_PROCESSES) if on_cpu else 1,
        TIMING_SECONDS,
        probe.build_plans,
        probe.plugins,
        probe.data,
    )
    return range_of(timed, trainings=trainings, epochs=epochs, workers=abreast, pieces=pieces)


def range_of(
    timed: Sequence[Sequence[Timing | None]],
    *,
    trainings: int,
    epochs: int,
    workers: int,
    pieces: int = 1,
) -> TimeRange | None:
    """Return the range that measurements come to.

    Args:
        timed: Of each process, the timings of the configurations in order.
        trainings: As in ``time_of``.
        epochs: As in ``time_of``.
        workers: How many train side by side, not more than ``trainings``.
        pieces: As in ``time_of``.
    """
    longest = max(map(len, timed), default=0)
    by_configuration = [
        [one for process in timed if place < len(process) and (one := process[place]) is not None]
        for place in range(longest)
    ]
    known = [each for each in by_configuration if each]
    if not known:
        return None
    # Only the first training of a process warms up what the others find warm
    setup = min(one.setup for each in known for one in each)
    overhead = TRIAL_OVERHEAD + epochs * EPOCH_OVERHEAD
    low, low_error = _mean(
        [setup + overhead + epochs * min(one.typical_epoch for one in each) for each in known]
    )
    high, high_error = _mean(
        [
            statistics.fmean(
                # Every piece builds the model and reads the data again
                pieces * (one.setup + TRIAL_OVERHEAD * one.slowdown)
                + epochs * (one.average_epoch + EPOCH_OVERHEAD * one.slowdown)
                for one in each
            )
            for each in known
        ]
    )
    # At the end some workers have nothing left, while others are still busy
    turns = math.ceil(trainings / workers)
    least = WORKER_START + LAUNCH_END + max(low - ERRORS * low_error, low / 2) * trainings / workers
    slowest = max(one.slowdown for each in known for one in each)
    ends = (WORKER_START + LAUNCH_END) * slowest
    return TimeRange(low=least, high=max(least, ends + (high + ERRORS * high_error) * turns))


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error (0 of one value)."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.fmean(values), error


def _train_for_a_moment(
    build_plans: bytes, plugins: Sequence[Path], data: Path | None
) -> Iterator[Timing | None]:
    from hpsearch.workers.launch.estimate import timings

    yield from timings(build_plans, plugins, data)
