"""Builds large data without runs of Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause Python's garbage collector.

    It runs again after every few thousand new objects, which takes a third of the time for a large
    study and finds nothing, as rows contain no cycles. If two threads are inside, the first to
    leave ends the pause for both, so that the collector can't stay off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
