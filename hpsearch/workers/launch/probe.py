"""Training a sample of a study's configurations for a moment, to see how long all will take.

As many processes as there will be workers train side by side, since they share cores and memory.
Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.workers.launch.isolation import stream_isolated_processes
from hpsearch.workers.launch.timing import TimeRange, Timing, range_of

#: Timeout of the whole measurement, the start of the processes included.
TIMING_SECONDS = 60.0

#: The most processes that train side by side; more workers are assumed to be as fast as these.
MOST_PROCESSES = 8


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Configurations to be trained for a moment, and what that needs."""

    #: Pickled ``BuildPlan`` objects: unpickling them needs torch.
    build_plans: bytes
    plugins: tuple[Path, ...]
    data: Path | None


def time_of(
    probe: Probe, *, trainings: int, epochs: int, workers: int, on_cpu: bool, pieces: int = 1
) -> TimeRange | None:
    """Train the probe's configurations for a moment and return how long all trainings will take.

    It runs in other processes, so that a configuration that crashes or hangs costs only its
    estimate.

    Args:
        probe: A sample of the configurations.
        trainings: The number of trainings.
        epochs: Epochs of each training.
        workers: How many workers train side by side.
        on_cpu: Whether they share this machine's cores; on a GPU one process is timed.
        pieces: The most pieces of a training: it pauses at each rung.

    Returns:
        The range; ``None`` if nothing could be measured.
    """
    if trainings < 1:
        return None
    abreast = min(workers, trainings)
    timings = timings_of(probe, workers=abreast, on_cpu=on_cpu)
    return range_of(timings, trainings=trainings, epochs=epochs, workers=abreast, pieces=pieces)


def timings_of(probe: Probe, *, workers: int, on_cpu: bool) -> list[list[Timing | None]]:
    """Train the probe's configurations for a moment, each in every process.

    Args:
        probe: The configurations.
        workers: How many workers train side by side.
        on_cpu: Whether they share this machine's cores; on a GPU one process is timed.

    Returns:
        For each process the timings, in the order of the configurations; ``None``: one couldn't be
        trained. A process that died or ran out of time has fewer.
    """
    return stream_isolated_processes(
        _train_for_a_moment,
        min(workers, MOST_PROCESSES) if on_cpu else 1,
        TIMING_SECONDS,
        probe.build_plans,
        probe.plugins,
        probe.data,
    )


def _train_for_a_moment(
    build_plans: bytes, plugins: Sequence[Path], data: Path | None
) -> Iterator[Timing | None]:
    from hpsearch.workers.launch.estimate import timings

    yield from timings(build_plans, plugins, data)
