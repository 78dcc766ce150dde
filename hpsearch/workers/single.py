"""Training one frozen config, outside any study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.measurement import EpochResult
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.workers.blueprint import Blueprint, draw_up
from hpsearch.workers.devices import resolve_devices, threads_per_worker


def plan_single(
    study: StudyFile, *, device: str | None, threads: int | None, data: Path | None
) -> Blueprint:
    """Return how a frozen config will be trained: as it was, unless told otherwise.

    Device and threads decide the last digits of a result, so both default to what the config's
    provenance recorded.

    Raises:
        UserError: the config still has ranges, can't be built, or names a device that isn't here.
    """
    if not study.is_frozen:
        searched = ", ".join(study.space.parameters())
        raise UserError(
            f"only a config without ranges can be trained, but {study.name!r} searches "
            f"{searched}; run `hpsearch launch` and `hpsearch export` first"
        )
    recorded = study.provenance or {}
    wanted = device or str(recorded.get("device", "auto")).partition(" ")[0]
    chosen = resolve_devices(wanted)[0]
    count = recorded.get("threads", threads_per_worker(1)) if threads is None else threads
    if not isinstance(count, int) or count < 1:
        raise UserError(f"the number of threads must be a whole number from 1, but got {count!r}")
    config = study.trial_config({}, ticket=1)
    try:
        return draw_up(config, device=chosen, threads=count, data=data)
    except InfeasibleConfig as error:
        raise UserError(f"{study.name!r} can't be built: {error}") from error


def train_single(blueprint: Blueprint, *, data: Path | None) -> Iterator[EpochResult]:
    """Train it, yielding every epoch."""
    torch.set_num_threads(blueprint.threads)
    yield from train(blueprint.config, device=blueprint.device, data_root=data)
