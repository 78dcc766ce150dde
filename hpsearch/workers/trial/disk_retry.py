"""Files that must be written before a trial can end: a full or a locked disk is waited for.

Neither is the trial's fault: failing it would spend the whole budget on a folder that was mounted
read-only for a minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hpsearch.training.durable import is_full, is_storage_error

logger = logging.getLogger(__name__)

#: Between two tries, and between two warnings.
PAUSE_SECONDS = 2.0
WARNING_SECONDS = 60.0


def retry_until_writable(write: Callable[[], object], what: str, leave: Callable[[], bool]) -> bool:
    """Call ``write`` until the disk takes it; returns False where the worker must leave.

    ``leave`` is asked twenty times a second while waiting. Other errors are raised.
    """
    warned_at: float | None = None
    while True:
        try:
            write()
            return True
        except OSError as error:
            if not is_storage_error(error):
                raise
            if warned_at is None or time.monotonic() - warned_at >= WARNING_SECONDS:
                warned_at = time.monotonic()
                awaited = "room" if is_full(error) else "that to change"
                logger.warning("%s: %s; waiting for %s", describe_fault(error), what, awaited)
        until = time.monotonic() + PAUSE_SECONDS
        while time.monotonic() < until:
            if leave():
                return False
            time.sleep(0.05)


def describe_fault(error: OSError) -> str:
    """Return what keeps files from being written, in words."""
    return f"{'the disk is full' if is_full(error) else 'the runs folder is unwritable'} ({error})"
