"""Which leases are free, by the watcher's own monotonic clock, never by comparing clocks.

SQLite has no clock of its own, hosts' clocks differ by days, and laptops sleep. So a lease has a
counter that its owner increases, and it is free only if the counter didn't change for one whole
lease while *this* process watched.

A long time between two looks doesn't prove that the process watched: the whole job, its owner
included, may have been stopped (Ctrl-Z, a paused virtual machine). So one gap counts for at most
half a lease. An owner renews four times in a lease; after waking up it has time to do so before
another worker takes over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LeaseState:
    """One running ticket's lease, as read from the ledger."""

    ticket: int
    attempt: int
    renewals: int
    lease_seconds: float


class LeaseWatch:
    """Remembers for how long each lease's counter hasn't changed while it watched."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._watched: dict[tuple[int, int, int], float] = {}

    def expired(self, leases: Iterable[LeaseState]) -> list[LeaseState]:
        """Return the leases that have expired; call it every few seconds."""
        now = self._clock()
        gap, self._looked_at = now - self._looked_at, now
        watched: dict[tuple[int, int, int], float] = {}
        expired: list[LeaseState] = []
        for lease in leases:
            key = (lease.ticket, lease.attempt, lease.renewals)
            watched[key] = 0.0
            if key in self._watched:
                watched[key] = self._watched[key] + min(gap, lease.lease_seconds / 2)
            if watched[key] >= lease.lease_seconds:
                expired.append(lease)
        self._watched = watched
        return expired
