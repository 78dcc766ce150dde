"""Reads and writes the files of trials, waiting while the disk is full or locked, or a store down.

None of these is the trial's fault: if trials failed, a folder that is read-only for a minute would
use up the whole budget.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hpsearch.durable_files import is_full, is_storage_error
from hpsearch.errors import RunsUnreachable

logger = logging.getLogger(__name__)

#: Seconds between two tries, and between two warnings.
PAUSE_SECONDS = 2.0
WARNING_SECONDS = 60.0


def retry_until_usable(call: Callable[[], object], what: str, leave: Callable[[], bool]) -> bool:
    """Call ``call`` until the disk, or the object store, accepts it.

    Args:
        call: Reads or writes a file.
        what: What can't be done, as a clause for the warning.
        leave: Whether the worker must leave; called twenty times a second while waiting.

    Returns:
        Whether ``call`` succeeded; False if the worker must leave.

    Raises:
        OSError: ``call`` failed for another reason.
    """
    warned_at: float | None = None
    while True:
        try:
            call()
            return True
        except OSError as error:
            if not is_storage_error(error):
                raise
            if warned_at is None or time.monotonic() - warned_at >= WARNING_SECONDS:
                warned_at = time.monotonic()
                change = "room" if is_full(error) else "that to change"
                logger.warning("%s: %s; waiting for %s", describe_fault(error), what, change)
        until = time.monotonic() + PAUSE_SECONDS
        while time.monotonic() < until:
            if leave():
                return False
            time.sleep(0.05)


def describe_fault(error: OSError) -> str:
    """Return in words why files can't be written."""
    if isinstance(error, RunsUnreachable):
        return str(error)
    return f"{'the disk is full' if is_full(error) else 'the runs folder is unwritable'} ({error})"
