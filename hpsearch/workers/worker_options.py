"""The options of one worker. Apart from ``worker``, which imports torch: a launch needs none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The options of one worker."""

    study_name: str
    storage: str
    #: ``cpu``, ``cuda:0``, ``mps``.
    device: str
    #: The maximum: a trial gets the worker's share of this machine, and a small network one thread.
    threads: int
    runs: Path
    data: Path | None = None
    #: Whether the user asked for ``threads``: then every trial gets exactly this number.
    exact_threads: bool = False
    #: Seconds after which the worker pauses its trial and leaves; ``None``: no limit.
    timeout: float | None = None
    lease_seconds: float = 30.0
    checkpoint_seconds: float = 30.0
    #: The worker's name in the ledger; ``None``: a new one.
    owner: str | None = None
    #: Whether the starter of the worker has reached the database: if it can't be reached now, the
    #: worker waits for the end of the outage instead of raising an error.
    database_was_there: bool = False
