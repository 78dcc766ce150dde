"""What both caches and checkpoints need so that a renamed file survives a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

#: How the name of a file ends that is still being written.
UNFINISHED = ".unfinished"


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: a rename alone may be lost."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; once written, it takes ``path``'s place.

    Whatever kills the process or the machine, ``path`` holds what it held before or all of what
    was written. Where the block raises, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}{UNFINISHED}")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_full(error: OSError) -> bool:
    """Whether it says that there is no room left: on the disk, or in the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
