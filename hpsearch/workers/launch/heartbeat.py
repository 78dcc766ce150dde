"""A worker's sign of life for its supervisor: a counter in shared memory.

The ledger doesn't show whether a worker hangs or has nothing to do, and a thread in the worker
can't report that other code never releases the interpreter. So the worker counts, and the
supervisor sees if the counter stops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import Protocol

#: Seconds between two beats.
BEAT_SECONDS = 0.5

#: The most that one look adds to the silence. A longer time between two looks may mean that the
#: whole machine slept.
LONGEST_GAP_SECONDS = 5.0


class Counter(Protocol):
    """A number in memory that two processes share."""

    value: int


def new_counter(context: BaseContext) -> Counter:
    """Return a counter to be passed to a new process."""
    counter: Counter = context.RawValue("L", 0)
    return counter


def start_heartbeat(counter: Counter) -> None:
    """Start a thread that counts as long as this process can run Python code."""
    threading.Thread(target=_beat, args=(counter,), name="pulse", daemon=True).start()


def _beat(counter: Counter) -> None:
    while True:
        counter.value += 1
        time.sleep(BEAT_SECONDS)


class Heartbeat:
    """Watches one worker's counter by this process's own monotonic clock."""

    def __init__(self, counter: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        self._counter = counter
        self._clock = clock
        self._last_count = counter.value
        self._looked_at = clock()
        self._silence = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether the worker has ever counted."""
        return self._last_count > 0

    def silence(self) -> float:
        """Return the seconds for which the counter hasn't changed; call it every few seconds."""
        now = self._clock()
        gap, self._looked_at = now - self._looked_at, now
        count = self._counter.value
        self._silence = (
            0.0 if count != self._last_count else self._silence + min(gap, LONGEST_GAP_SECONDS)
        )
        self._last_count = count
        return self._silence
