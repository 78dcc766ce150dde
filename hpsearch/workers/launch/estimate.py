"""Hours and disk space of a study, from a few batches of training of a few configurations."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import torch

from hpsearch import component_registries
from hpsearch.errors import InfeasibleConfig, TrainingDiverged, TrainingInterrupted, UserError
from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.training.latency import synchronize
from hpsearch.training.plan import Plan
from hpsearch.workers.launch.timing import Timing
from hpsearch.workers.trial.build_plan import BuildPlan, plan_build
from hpsearch.workers.trial.run_folder import KEPT_CHECKPOINTS

#: Configurations that are trained, and the seconds that each may take.
SAMPLES = 3
PROBE_SECONDS = 0.5

#: A checkpoint contains weights, at most two moments of the gradients, and the best weights; fp32.
BYTES_PER_PARAMETER = 4 * 4

#: An average of the weights that is evaluated in their place (``evaluate: ema``).
BYTES_OF_AVERAGE = 4

# Time stamps that are needed: before the first batch, after it, and after two more.
_FEWEST = 3

# The most draws of configurations, since some can't be built.
_MAX_DRAWS = 50


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A few configurations of a study; they may differ in cost by a factor of ten and more."""

    build_plans: tuple[BuildPlan, ...]
    #: The size of the checkpoints of one running trial with the largest sampled model, all folds
    #: together.
    checkpoint_bytes: int
    #: Models that a trial trains: one per fold or split.
    rounds: int


def sample(study: StudyFile, *, device: str, threads: int, data: Path | None) -> Sample:
    """Return up to ``SAMPLES`` configurations: the first of ``try_first``, then random ones.

    The draws depend only on the study's seed.

    Args:
        study: The study file.
        device: The device that they will be trained on, such as ``cpu`` or ``cuda:0``.
        threads: The most threads of one training.
        data: The data root; ``None``: the default one.

    Raises:
        DataError: The data can't be read.
    """
    build_plans = tuple(_draw_build_plans(study, device=device, threads=threads, data=data))
    largest = max((_checkpoint_bytes(build_plan.plan) for build_plan in build_plans), default=0)
    return Sample(
        build_plans=build_plans,
        checkpoint_bytes=largest * KEPT_CHECKPOINTS,
        rounds=max((build_plan.plan.rounds for build_plan in build_plans), default=1),
    )


def _checkpoint_bytes(plan: Plan) -> int:
    per_parameter = BYTES_PER_PARAMETER + BYTES_OF_AVERAGE * plan.averaged
    return plan.model.parameters * plan.rounds * per_parameter


def timings(
    build_plans: bytes, plugins: Sequence[Path], data: Path | None
) -> Iterator[Timing | None]:
    """Train a few batches of each configuration and yield how long they take.

    The user's code may end or hang the process: call it by
    ``isolation.stream_isolated_processes``.

    Args:
        build_plans: Pickled ``BuildPlan`` objects.
        plugins: Plug-ins with the components of the configurations.
        data: The data root; ``None``: the default one.

    Yields:
        The timing of each configuration; ``None`` if it can't be trained.
    """
    component_registries.registries(plugins)
    threads_before = torch.get_num_threads()
    try:
        for build_plan in pickle.loads(build_plans):  # noqa: S301 - pickled by the launch itself
            torch.set_num_threads(build_plan.threads)
            yield _time(build_plan, data)
    finally:
        torch.set_num_threads(threads_before)


def _draw_build_plans(
    study: StudyFile, *, device: str, threads: int, data: Path | None
) -> Iterator[BuildPlan]:
    if study.has_loop:
        return  # its loop may begin with a download or hours of preparation
    rng = random.Random(study.seed)
    count = 0
    for index in range(_MAX_DRAWS):
        preset = study.try_first[index] if index < min(1, len(study.try_first)) else {}
        draw = study.space.draw(
            lambda path, parameter, preset=preset: (  # type: ignore[misc]
                preset[path] if path in preset else at_unit(parameter, rng.random())
            )
        )
        config = study.trial_config(draw.params, index + 1)
        try:
            yield plan_build(config, device=device, threads=threads, exact_threads=False, data=data)
        except InfeasibleConfig:
            continue
        count += 1
        if count == SAMPLES or study.is_frozen:
            return


def _time(build_plan: BuildPlan, data: Path | None) -> Timing | None:
    """Return a training's timing, from a whole epoch or as many batches as fit the time."""
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    times: list[float] = []  # Time stamps: before the first batch, and after each.
    device = torch.device(build_plan.device)

    def out_of_time() -> bool:
        synchronize(device)
        times.append(time.perf_counter())
        # A first batch may take a hundred times as long as others: memory, threads, kernels.
        return len(times) > _FEWEST and times[-1] - times[1] > PROBE_SECONDS

    try:
        results = train(
            build_plan.config, device=build_plan.device, data_root=data, should_stop=out_of_time
        )
        epoch = float(next(results).metrics.seconds)
        whole = time.perf_counter() - wall_start
        return Timing(
            setup=max(0.0, whole - epoch),
            typical_epoch=epoch,
            average_epoch=epoch,
            slowdown=_slowdown(whole, time.process_time() - cpu_start),
        )
    except TrainingInterrupted:
        # The first batch also allocates memory, starts threads and chooses kernels
        durations = [after - before for before, after in pairwise(times)][1:]
        batches = len(build_plan.plan.batches) * build_plan.plan.rounds
        epoch = batches * (1 + _validation_share(build_plan))  # in training batches
        return Timing(
            setup=max(0.0, times[1] - wall_start - median(durations)),
            # The median ignores a batch in which another program had the core
            typical_epoch=median(durations) * epoch,
            average_epoch=fmean(durations) * epoch,
            slowdown=_slowdown(time.perf_counter() - wall_start, time.process_time() - cpu_start),
        )
    except TrainingDiverged:
        return None
    except UserError:
        raise
    except Exception:  # noqa: BLE001 - its trial records the error, if it fails there as well
        return None


def _slowdown(seconds: float, cpu_seconds: float) -> float:
    return max(1.0, seconds / max(cpu_seconds, 1e-3))


def _validation_share(build_plan: BuildPlan) -> float:
    """Return the time of validation as a share of an epoch's training.

    A training step costs about three forward passes.
    """
    plan = build_plan.plan
    # With folds each image validates in one round, and trains in all others
    images = len(plan.batches) * plan.rounds * build_plan.config.batch_size
    return plan.val_images / (3 * max(1, images))
