"""Renews one lease beside the training loop, and tells the loop when to stop.

A thread renews the lease, not the loop: one long epoch must not look like a dead worker. If
renewals fail for a whole lease (the database can't be reached), another worker may have the trial
already, so the loop waits at its next batch for the ledger's answer: continue, or drop the trial.

Since the thread renews, a loop that hangs would never lose its trial. So the thread also watches
the batches; if none is finished for the study's ``trial_timeout``, it ends the attempt and the
process, since code that doesn't return can't be stopped in another way.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from hpsearch.errors import DatabaseReplaced, LeaseLost
from hpsearch.exit_codes import MORE_TO_DO
from hpsearch.search.database.storage import GaveUpWaiting
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.types import Claim
from hpsearch.study_file.durations import format_duration

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Renewals per lease: two may be lost before other workers may claim the trial.
RENEWALS_PER_LEASE = 4

#: The longest time between two renewals: they also read whether the user stopped the study.
LONGEST_PAUSE_SECONDS = 2.0

#: Renewals per second of a whole fleet, each of which is a write. In a larger fleet the pauses are
#: longer, up to those that ``RENEWALS_PER_LEASE`` allows.
MOST_RENEWALS_PER_SECOND = 64

#: Innermost lines of the hanging loop that the trial's error shows.
_FRAMES = 15


class LeaseKeeper:
    """Renews ``claim`` while the ``with`` block runs.

    Args:
        ledger: The ledger of the study.
        claim: The claimed trial.
        lease_seconds: The length of the lease.
        leave: Called at every batch; True means that the worker has been told to leave.
        seen_stops: The study's ``stops`` when the worker began; a larger count stops the worker.
        trial_timeout: Seconds in which watched code must finish a batch.
        exit_process: Ends a process that hangs.
        after_renewal: Called after each renewal, from the keeper's thread.
    """

    def __init__(
        self,
        ledger: Ledger,
        claim: Claim,
        *,
        lease_seconds: float,
        leave: Callable[[], bool],
        seen_stops: int,
        trial_timeout: float = math.inf,
        exit_process: Callable[[int], object] = os._exit,
        after_renewal: Callable[[], object] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._claim = claim
        self._lease_seconds = lease_seconds
        self._leave = leave
        self._seen_stops = seen_stops
        self._trial_timeout = trial_timeout
        self._exit_process = exit_process
        self._after_renewal = after_renewal
        self._watched_thread = threading.get_ident()
        self._renewed_at = time.monotonic()
        #: When the watched code last finished a batch; ``None`` while no code is watched.
        self._progress_at: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
        #: Whether the ledger refused a renewal: another worker owns the trial.
        self.lost = False
        #: Whether the user stopped the study.
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
        # No renewal may still run when the worker continues to another trial.
        self._thread.join()

    def should_stop(self) -> bool:
        """Whether training must stop at this batch. Blocks while the lease is in doubt."""
        is_watched = self._progress_at is not None
        # Waiting for the database here doesn't count as a hang.
        self._progress_at = None
        try:
            return self._must_leave(in_doubt=True)
        finally:
            self._progress_at = time.monotonic() if is_watched else None

    def must_leave(self) -> bool:
        """Whether the worker must leave the trial; returns at once."""
        return self._must_leave(in_doubt=False)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the block: it must end, or call ``should_stop``, within ``trial_timeout``."""
        self._progress_at = time.monotonic()
        try:
            yield
        finally:
            self._progress_at = None

    def watched(self, steps: Iterator[T]) -> Iterator[T]:
        """Yield from ``steps``, watching their code but not the consumer's."""
        while True:
            with self.watching():
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step

    def _must_leave(self, *, in_doubt: bool) -> bool:
        while not (self.lost or self.stop_requested or self._leave()):
            if not in_doubt or time.monotonic() - self._renewed_at < self._lease_seconds:
                return False
            self._over.wait(0.05)
        return True

    def _keep(self) -> None:
        pause = pause_seconds(self._lease_seconds, self._trial_timeout, self._claim.running)
        renewing = True
        while not self._over.wait(pause):
            if self._hangs():
                self._end_attempt()
                return
            # A lost lease isn't renewed, but the loop may still hang.
            renewing = renewing and self._renew()

    def _renew(self) -> bool:
        """Renew the lease; return whether another renewal makes sense."""
        # Before the call, since the ledger may count the lease from that moment.
        asked_at = time.monotonic()
        try:
            stops = self._ledger.renew(self._claim)
            self._after_renewal()
        except (LeaseLost, DatabaseReplaced):
            # Also if the trial ended a moment ago; then this has no effect. Without its database
            # the trial is lost as well: the loop ends, and its next write raises the reason.
            self.lost = True
            return False
        except GaveUpWaiting:
            return False
        except Exception as error:
            # If the thread ended here, the loop would never stop waiting. The next renewal may
            # succeed; until then the lease is in doubt.
            logger.warning("the lease could not be renewed", exc_info=error)
            return True
        self._renewed_at = asked_at
        self.stop_requested = stops > self._seen_stops
        return True

    def _hangs(self) -> bool:
        progress_at = self._progress_at
        return progress_at is not None and time.monotonic() - progress_at > self._trial_timeout

    def _end_attempt(self) -> None:
        """Write to the ledger where the loop hangs, and end the process."""
        frame = sys._current_frames().get(self._watched_thread)
        where = "".join(traceback.format_stack(frame, None)[-_FRAMES:]) if frame else ""
        error = (
            f"no progress for {format_duration(self._trial_timeout)}: no batch was finished in "
            f"that time (budget.trial_timeout)\n\nThe worker was here:\n{where}"
        )
        logger.error("ticket %d hangs; this worker stops\n%s", self._claim.ticket, error)
        try:
            self._ledger.fail(self._claim, error, retry=True)
        except (LeaseLost, GaveUpWaiting, DatabaseReplaced) as refusal:
            logger.warning("ticket %d: %s", self._claim.ticket, refusal)
        finally:
            self._exit_process(MORE_TO_DO)


def pause_seconds(lease_seconds: float, trial_timeout: float, running: int) -> float:
    """Return the seconds between two renewals.

    Args:
        lease_seconds: The length of the lease.
        trial_timeout: Seconds in which watched code must finish a batch.
        running: How many trials of the study run.
    """
    most = max(LONGEST_PAUSE_SECONDS, running / MOST_RENEWALS_PER_SECOND)
    return min(lease_seconds / RENEWALS_PER_LEASE, trial_timeout / RENEWALS_PER_LEASE, most)
