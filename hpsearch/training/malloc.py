"""Memory that the process keeps from one training step to the next.

A step allocates megabytes and frees them again. By default glibc returns such blocks to the
operating system at once and requests them again in the next step, page by page. In a virtual
machine a page took 4 us, a third of a step of a small CNN.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of the parameters in glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

#: Blocks above this size, in bytes, come from the operating system one by one. The second value is
#: the largest that older versions of glibc accept.
_LARGEST_KEPT = (2**30, 2**25)


@contextmanager
def keep_freed_pages() -> Iterator[None]:
    """Keep freed memory for the next step inside the block, and release it at the block's end.

    Without Linux and glibc this does nothing. The settings stay after the block, since glibc can't
    return the earlier values.
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
    # Other C libraries have neither function
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
