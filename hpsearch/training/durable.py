"""Renamed files that survive a power cut, for caches and checkpoints."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

#: The ending of the names of unfinished files.
UNFINISHED = ".unfinished"


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: without it, a power cut can undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to, and rename it to ``path`` after the block.

    If the process or the machine is killed, ``path`` contains what it did before or the whole new
    file. If the block raises, the unfinished file is deleted.
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
    """Whether ``error`` says that the disk, or the user's quota, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_storage_error(error: OSError) -> bool:
    """Whether ``error`` means that nothing can be written now: full, read-only, no permission.

    A person can fix that while the process waits: free space, mount the disk again, change
    permissions.
    """
    return is_full(error) or error.errno in (
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.ESTALE,
    )


def why_unwritable(folder: Path) -> str | None:
    """Return why files below ``folder`` can't be written; ``None`` if they can.

    ``folder`` need not exist, and nothing is left behind. A full disk isn't a reason here, since
    writers wait for free space.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f"{there} is no folder"
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        return None if is_full(error) else f"{there}: {error.strerror or error}"
