"""Files that must be written before a trial can end: a full disk is waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hpsearch.training.durable import is_full

logger = logging.getLogger(__name__)

#: Between two tries, and between two warnings.
PAUSE_SECONDS = 2.0
WARNING_SECONDS = 60.0


def write_once_there_is_room(
    write: Callable[[], object], what: str, leave: Callable[[], bool]
) -> bool:
    """Call ``write`` until the disk has room for it; returns False where the worker must leave.

    ``leave`` is asked twenty times a second while waiting. Other errors are raised.
    """
    warned_at: float | None = None
    while True:
        try:
            write()
            return True
        except OSError as error:
            if not is_full(error):
                raise
            if warned_at is None or time.monotonic() - warned_at >= WARNING_SECONDS:
                warned_at = time.monotonic()
                logger.warning("the disk is full (%s): %s; waiting for room", error, what)
        until = time.monotonic() + PAUSE_SECONDS
        while time.monotonic() < until:
            if leave():
                return False
            time.sleep(0.05)
