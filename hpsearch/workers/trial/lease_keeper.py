"""Keeps one lease alive beside the training loop, and tells the loop when to stop.

A thread renews, not the loop: one long epoch must not look like death. Where renewing fails for a
whole lease (the database is away), others may hold the trial already, so the loop waits at its next
batch until the ledger has answered: go on, or drop the trial.

Since the thread renews, a loop that hangs would hold its trial for ever. So the thread also watches
that batches are finished; where none is for the study's ``trial_timeout``, it ends the attempt and
the process, as there is no other way to stop code that doesn't come back.
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
from hpsearch.search.ledger import Ledger
from hpsearch.search.ledger_types import Claim
from hpsearch.search.storage import GaveUpWaiting
from hpsearch.study_file.durations import format_duration

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Renewals per lease: two may be lost before others may think that we are dead.
RENEWALS_PER_LEASE = 4

#: A renewal also tells that somebody asked the study to stop; people wait for that.
LONGEST_PAUSE_SECONDS = 2.0

#: Exit code of a worker that hung. It says that trying again may help (sysexits' EX_TEMPFAIL).
HUNG = 75

#: Innermost lines of the hanging loop that the trial's error shows.
_FRAMES = 15


class LeaseKeeper:
    """Renews ``claim`` while the ``with`` block runs.

    Args:
        leave: Asked at every batch; True means that the worker has been told to leave.
        seen_stops: A larger count in the study means that somebody asked it to stop.
        trial_timeout: Seconds in which code that is watched must finish a batch.
        exit_process: Ends a process that hangs.
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
    ) -> None:
        self._ledger = ledger
        self._claim = claim
        self._lease_seconds = lease_seconds
        self._leave = leave
        self._seen_stops = seen_stops
        self._trial_timeout = trial_timeout
        self._exit_process = exit_process
        self._watched_thread = threading.get_ident()
        self._renewed_at = time.monotonic()
        #: When the code that is watched last came back to us; ``None`` while none is.
        self._progress_at: float | None = None
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
        watched = self._progress_at is not None
        # Waiting here for the database is no hang.
        self._progress_at = None
        try:
            return self._must_leave(in_doubt=True)
        finally:
            self._progress_at = time.monotonic() if watched else None

    def must_leave(self) -> bool:
        """Whether the worker must leave the trial; answers at once."""
        return self._must_leave(in_doubt=False)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the block: it must end, or ask ``should_stop``, within ``trial_timeout``."""
        self._progress_at = time.monotonic()
        try:
            yield
        finally:
            self._progress_at = None

    def watched(self, steps: Iterator[T]) -> Iterator[T]:
        """Yield from ``steps``, watching what they do and not what the consumer does."""
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
        pause = min(
            self._lease_seconds / RENEWALS_PER_LEASE,
            self._trial_timeout / RENEWALS_PER_LEASE,
            LONGEST_PAUSE_SECONDS,
        )
        renewing = True
        while not self._over.wait(pause):
            if self._hangs():
                self._end_attempt()
                return
            # A lease that is gone isn't renewed; the loop may hang all the same.
            renewing = renewing and self._renew()

    def _renew(self) -> bool:
        """Show a sign of life; returns whether there is any use in another one."""
        # Taken before asking: the lease runs from when the ledger saw us at the latest.
        asked_at = time.monotonic()
        try:
            stops = self._ledger.renew(self._claim)
        except (LeaseLost, DatabaseReplaced):
            # Also if the trial ended a moment ago; then nobody looks at this any more. Without its
            # database the trial is lost, too: the loop ends, and its next write says why.
            self.lost = True
            return False
        except GaveUpWaiting:
            return False
        except Exception as error:
            # A thread that ended here would leave the loop waiting for ever; the next renewal
            # may succeed, and until then the lease is in doubt.
            logger.warning("the lease could not be renewed", exc_info=error)
            return True
        self._renewed_at = asked_at
        self.stop_requested = stops > self._seen_stops
        return True

    def _hangs(self) -> bool:
        progress_at = self._progress_at
        return progress_at is not None and time.monotonic() - progress_at > self._trial_timeout

    def _end_attempt(self) -> None:
        """Tell the ledger where the loop hangs, and end the process."""
        frame = sys._current_frames().get(self._watched_thread)
        where = "".join(traceback.format_stack(frame, None)[-_FRAMES:]) if frame else ""
        error = (
            f"no progress for {format_duration(self._trial_timeout)}: no batch was finished in "
            f"that time (budget.trial_timeout)\n\nIt stood here:\n{where}"
        )
        logger.error("ticket %d hangs; this worker ends\n%s", self._claim.ticket, error)
        try:
            self._ledger.fail(self._claim, error, retry=True)
        except (LeaseLost, GaveUpWaiting, DatabaseReplaced) as refused:
            logger.warning("ticket %d: %s", self._claim.ticket, refused)
        finally:
            self._exit_process(HUNG)
