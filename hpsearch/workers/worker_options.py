"""How one worker works. Here, and not beside the worker, since a launch itself needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How one worker works."""

    study_name: str
    storage: str
    #: ``cpu``, ``cuda:0``, ``mps``.
    device: str
    #: At most: a trial gets the worker's share of this machine, and a small network one.
    threads: int
    runs: Path
    data: Path | None = None
    #: Whether ``threads`` is what somebody asked for: then every trial gets exactly so many.
    exact_threads: bool = False
    #: Leave after so many seconds, pausing the trial under way.
    timeout: float | None = None
    lease_seconds: float = 30.0
    checkpoint_seconds: float = 30.0
    #: The worker's name in the ledger; made up where not given.
    owner: str | None = None
    #: Whether whoever started it has reached the database before: then its absence is an outage to
    #: be waited for, and no mistake to be told.
    database_was_there: bool = False
