"""Keeps one lease alive beside the training loop, and tells the loop when to stop.

A thread renews, not the loop: one long epoch must not look like death. Where renewing fails for a
whole lease (the database is away), others may hold the trial already, so the loop waits at its next
batch until the ledger has answered: go on, or drop the trial.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from hpsearch.errors import LeaseLost
from hpsearch.search.ledger import Ledger
from hpsearch.search.ledger_types import Claim
from hpsearch.search.storage import GaveUpWaiting

logger = logging.getLogger(__name__)

#: Renewals per lease: two may be lost before others may think that we are dead.
RENEWALS_PER_LEASE = 4

#: A renewal also tells that somebody asked the study to stop; people wait for that.
LONGEST_PAUSE_SECONDS = 2.0


class LeaseKeeper:
    """Renews ``claim`` while the ``with`` block runs.

    Args:
        leave: Asked at every batch; True means that the worker has been told to leave.
        seen_stops: A larger count in the study means that somebody asked it to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        claim: Claim,
        *,
        lease_seconds: float,
        leave: Callable[[], bool],
        seen_stops: int,
    ) -> None:
        self._ledger = ledger
        self._claim = claim
        self._lease_seconds = lease_seconds
        self._leave = leave
        self._seen_stops = seen_stops
        self._renewed_at = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
        #: The ledger refused: another worker owns the trial.
        self.lost = False
        #: Somebody asked the study to stop.
        self.stop_requested = False

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        # No renewal may be under way while the worker goes on to another trial.
        self._thread.join()

    def should_stop(self) -> bool:
        """Whether training must stop at this batch. Blocks while the lease is in doubt."""
        while not (self.lost or self.stop_requested or self._leave()):
            if time.monotonic() - self._renewed_at < self._lease_seconds:
                return False
            self._over.wait(0.05)
        return True

    def _keep(self) -> None:
        pause = min(self._lease_seconds / RENEWALS_PER_LEASE, LONGEST_PAUSE_SECONDS)
        while not self._over.wait(pause):
            # Taken before asking: the lease runs from when the ledger saw us at the latest.
            asked_at = time.monotonic()
            try:
                stops = self._ledger.renew(self._claim)
            except LeaseLost:
                # Also where the trial ended a moment ago; then nobody looks at this any more.
                self.lost = True
                return
            except GaveUpWaiting:
                return
            except Exception as error:
                # A thread that ended here would leave the loop waiting for ever; the next renewal
                # may succeed, and until then the lease is in doubt.
                logger.warning("the lease could not be renewed", exc_info=error)
                continue
            self._renewed_at = asked_at
            self.stop_requested = stops > self._seen_stops
