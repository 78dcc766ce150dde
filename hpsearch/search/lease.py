"""Whose lease is free? Told by the watcher's own monotonic clock, never by comparing clocks.

SQLite has no clock of its own, hosts' clocks differ by days, and laptops sleep. So a lease holds a
counter that its owner moves, and it is free only when the counter stood still for one whole lease
while *this* process watched.
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
    """Remembers since when each lease's counter has not moved."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unmoved_since: dict[tuple[int, int, int], float] = {}

    def expired(self, leases: Iterable[LeaseState]) -> list[LeaseState]:
        """Return the leases that stood still for their whole length; call it every few seconds."""
        now = self._clock()
        seen: dict[tuple[int, int, int], float] = {}
        expired: list[LeaseState] = []
        for lease in leases:
            key = (lease.ticket, lease.attempt, lease.renewals)
            seen[key] = self._unmoved_since.get(key, now)
            if now - seen[key] >= lease.lease_seconds:
                expired.append(lease)
        self._unmoved_since = seen
        return expired
