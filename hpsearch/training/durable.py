"""What both caches and checkpoints need so that a renamed file survives a power cut."""

from __future__ import annotations

import errno
import os
import tempfile
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


def is_storage_error(error: OSError) -> bool:
    """Whether nothing can be written there now, whatever it is: no room, read-only, no right to.

    Somebody can mend that while we wait: free room, mount the disk again, give the right back.
    """
    return is_full(error) or error.errno in (
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.ESTALE,
    )


def why_unwritable(folder: Path) -> str | None:
    """Return why files below ``folder`` couldn't be written; ``None`` where they could.

    ``folder`` need not exist, and nothing is left behind. A full disk is no reason here: it is
    waited for.
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
