"""How many threads a worker may compute with: its share of this machine's cores.

A worker that trains has a ticket in the ledger under a name that begins with its host's. Each
worker counts the workers of its host before every trial, so its share is never out of date for
long.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from hpsearch.formatting import count_noun
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.queries import owners_at_work
from hpsearch.workers.devices import cores
from hpsearch.workers.owners import is_alive, this_host

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ThreadShare:
    """The threads of one worker; it calls ``now`` before every trial."""

    database: Database
    #: The worker's name in the ledger.
    owner: str
    #: The maximum.
    most: int
    #: Whether the user asked for exactly ``most``: then other workers change nothing.
    exact: bool = False
    _last: int = field(init=False)
    _workers: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        self._last = self.most

    def now(self) -> int:
        """Return how many threads the next trial may use.

        Logs a warning if that is less than before, or too many for the workers that train now.
        """
        workers = 1 + len(others_on_this_host(self.database, self.owner))
        share = self.most if self.exact else min(self.most, share_of_cores(workers))
        if share < self._last:
            logger.warning(
                "%d workers run on this host now, on %s: new trials use %s instead of %d",
                workers,
                count_noun(cores(), "core"),
                count_noun(share, "thread"),
                self._last,
            )
        elif self.exact and workers > self._workers and workers * share > cores():
            logger.warning(
                "%d workers run on this host now, on %s, and this one has --threads %d, so they "
                "slow each other down; leave --threads out to share the cores",
                workers,
                count_noun(cores(), "core"),
                self.most,
            )
        self._last, self._workers = share, workers
        return share


def others_on_this_host(database: Database, owner: str | None = None) -> set[str]:
    """Return the names of this host's workers that train, except ``owner``.

    Workers of every study in the database count, except dead ones whose trial is still running.
    """
    owners = owners_at_work(database, host=this_host())
    return {name for name, pid in owners.items() if name != owner and is_alive(pid)}


def share_of_cores(workers: int) -> int:
    """Return the threads that each of ``workers`` processes on this machine may use.

    Two processes with two threads each on two cores ran 4.9 times slower than with one each.
    """
    return max(1, cores() // workers)


def crowding(workers: int, others: int) -> str | None:
    """Return a warning for ``workers`` processes that begin beside ``others``.

    Args:
        workers: Workers that are about to train on this machine's CPU.
        others: Workers of this host that train already.

    Returns:
        The warning; ``None`` if there are no others and a core for each worker.
    """
    everybody = workers + others
    if others == 0 and everybody <= cores():
        return None
    beside = f", {others} of them already running" if others else ""
    text = (
        f"{count_noun(everybody, 'worker')} share the {count_noun(cores(), 'core')} of this "
        f"host{beside}"
    )
    if everybody > cores():
        return f"{text}: one worker per core would be as fast"
    return f"{text}: each trains with {count_noun(share_of_cores(everybody), 'thread')} at most"
