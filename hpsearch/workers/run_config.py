"""How trials are run: the options of one run and of one worker, and all their defaults.

A launch, a confirmation and a worker get the same ``RunConfig``. Apart from ``worker``, which
imports torch: a launch needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpsearch.workers.runs_place.place import DEFAULT_FOLDER, Runs


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How trials are run, for any study."""

    storage: str
    #: 0 stores the study for workers that attach by themselves; ``None``: see ``allocate_workers``.
    workers: int | None = 1
    devices: str = "auto"
    workers_per_gpu: int | None = None
    #: Seconds after which running trials are paused; ``None``: a launch takes the study's
    #: ``budget.time``, a worker has no limit.
    timeout: float | None = None
    #: Seconds without a sign of life after which another worker may take over a trial.
    lease_seconds: float = 30.0
    #: The shortest time between two checkpoints of one training.
    checkpoint_seconds: float = 30.0
    #: The place of the checkpoints.
    runs: Runs = DEFAULT_FOLDER
    #: The folder of the images; ``None``: the default one.
    data: Path | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The options of one worker."""

    run: RunConfig
    study_name: str
    #: ``cpu``, ``cuda:0``, ``mps``.
    device: str
    #: The maximum: a trial gets the worker's share of this machine, and a small network one thread.
    threads: int
    #: Whether the user asked for ``threads``: then every trial gets exactly this number.
    exact_threads: bool = False
    #: The worker's name in the ledger; ``None``: a new one.
    owner: str | None = None
    #: The study's ``stops`` when its launch began, so that a stop counts that comes while workers
    #: start; ``None``: those when the worker begins.
    seen_stops: int | None = None
    #: Whether the starter of the worker has reached the database: if it can't be reached now, the
    #: worker waits for the end of the outage instead of raising an error.
    database_was_there: bool = False
    #: Whether the worker stays for the confirmation and the ablation of a search with a deadline.
    follows: bool = False
