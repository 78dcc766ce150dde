"""What is done as soon as something else is true, so that no test guesses how long it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def as_soon_as(condition: Callable[[], object], act: Callable[[], object]) -> Iterator[None]:
    """Do ``act`` in another thread once ``condition`` is true; it must be by the block's end."""
    over, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not condition():
            if over.wait(0.005):
                return
        act()
        done.set()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert done.is_set(), "it never came true"
