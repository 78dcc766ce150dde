"""Hours and disk of a study, from training a few batches of a few of its configurations."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import mean

import torch

from hpsearch import catalog
from hpsearch.errors import InfeasibleConfig, TrainingDiverged, TrainingInterrupted, UserError
from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.workers.blueprint import Blueprint, draw_up
from hpsearch.workers.fork_server import start_fork_server
from hpsearch.workers.run_folder import KEPT_CHECKPOINTS

#: Configurations that are tried, and the seconds that each may take.
SAMPLES = 3
PROBE_SECONDS = 0.5

#: A checkpoint holds weights, gradients' moments (two at most) and the best weights; fp32.
BYTES_PER_PARAMETER = 4 * 4

#: What another process may take to time all of them, the start of that process included.
APART_SECONDS = 60.0

# Draws that couldn't be built before the estimate is given up.
_MAX_DRAWS = 50


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Rough: configurations of one study may differ in cost by a factor of ten and more."""

    #: Mean seconds of an epoch on one worker; ``None`` where no configuration could be timed.
    epoch_seconds: float | None
    #: Checkpoints of one running trial, the largest of the sampled models.
    checkpoint_bytes: int


def estimate(
    study: StudyFile, *, device: str, threads: int, data: Path | None, apart: bool = False
) -> Estimate:
    """Time ``SAMPLES`` configurations, ``try_first`` before random ones.

    The draws depend on the study's seed alone. ``apart`` trains them in another process, so that
    one that crashes or hangs costs nothing but its estimate. Raises ``DataError`` where the data
    can't be read.
    """
    blueprints = _sample(study, device=device, threads=threads, data=data)
    if apart:
        timed = _time_apart(blueprints, study.plugins, data)
    else:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            timed = [_epoch_seconds(blueprint, data) for blueprint in blueprints]
        finally:
            torch.set_num_threads(before)
    known = [seconds for seconds in timed if seconds is not None]
    largest = max((blueprint.plan.model.parameters for blueprint in blueprints), default=0)
    return Estimate(
        epoch_seconds=mean(known) if known else None,
        checkpoint_bytes=largest * BYTES_PER_PARAMETER * KEPT_CHECKPOINTS,
    )


def _sample(study: StudyFile, *, device: str, threads: int, data: Path | None) -> list[Blueprint]:
    rng = random.Random(study.seed)
    found: list[Blueprint] = []
    for index in range(_MAX_DRAWS):
        given = study.try_first[index] if index < min(1, len(study.try_first)) else {}
        draw = study.space.draw(
            lambda path, parameter, given=given: (  # type: ignore[misc]
                given[path] if path in given else at_unit(parameter, rng.random())
            )
        )
        config = study.trial_config(draw.params, index + 1)
        try:
            found.append(draw_up(config, device=device, threads=threads, data=data))
        except InfeasibleConfig:
            continue
        if len(found) == SAMPLES or study.is_frozen:
            break
    return found


def _epoch_seconds(blueprint: Blueprint, data: Path | None) -> float | None:
    """Return seconds per epoch, from whole epochs or as many batches as fit the time."""
    started: float | None = None
    batches = 0

    def out_of_time() -> bool:
        nonlocal started, batches
        if started is None:  # Asked before the first batch: building the model isn't an epoch.
            started = time.perf_counter()
            return False
        batches += 1
        return time.perf_counter() - started > PROBE_SECONDS

    try:
        results = train(
            blueprint.config, device=blueprint.device, data_root=data, should_stop=out_of_time
        )
        return float(next(results).seconds)
    except TrainingInterrupted:
        if started is None or batches == 0:
            return None
        seconds = time.perf_counter() - started
        total = len(blueprint.plan.batches)
        return seconds / batches * total
    except TrainingDiverged:
        return None
    except UserError:
        raise
    except Exception:  # noqa: BLE001 - it may yet train elsewhere, and its trial tells why not
        return None


def _time_apart(
    blueprints: Sequence[Blueprint], plugins: Sequence[Path], data: Path | None
) -> list[float | None]:
    """Return each one's seconds per epoch; ``None`` from the first on that gave no answer."""
    context = start_fork_server()
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(
        target=_probe, args=(sending, blueprints, plugins, data), name="estimate", daemon=True
    )
    process.start()
    sending.close()
    timed: list[float | None] = []
    deadline = time.monotonic() + APART_SECONDS
    try:
        while len(timed) < len(blueprints) and receiving.poll(max(0, deadline - time.monotonic())):
            timed.append(receiving.recv())
    except EOFError:
        pass  # it died
    finally:
        process.kill()
        process.join()
        receiving.close()
    return timed


def _probe(
    sending: Connection,
    blueprints: Sequence[Blueprint],
    plugins: Sequence[Path],
    data: Path | None,
) -> None:
    """Time each one and send what was found; the entry of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launch
    catalog.registries(plugins)
    for blueprint in blueprints:
        torch.set_num_threads(blueprint.threads)
        sending.send(_epoch_seconds(blueprint, data))
