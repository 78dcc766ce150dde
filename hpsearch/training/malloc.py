"""Memory that the process keeps from one training step to the next.

A step allocates megabytes and frees them again. By default glibc hands such blocks back to the
operating system at once and fetches them anew in the next step, page by page: in a virtual machine
a page took 4 us, so that a step of a small CNN spent a third of its time on it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The parameters' numbers in glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

#: Blocks above this size come from the operating system one by one, in bytes; the second is the
#: most that older versions of glibc take.
_LARGEST_KEPT = (2**30, 2**25)


@contextmanager
def keep_freed_pages() -> Iterator[None]:
    """Keep freed memory for the next step inside the block, and give it back at its end.

    Elsewhere than on Linux with glibc nothing changes. The settings themselves stay: glibc can't be
    asked what they were.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    any(libc.mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_KEPT)
    try:
        yield
    finally:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    # Other C libraries have neither
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
