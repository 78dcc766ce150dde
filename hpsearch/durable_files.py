"""The one way to replace a file: readers see the old contents or the new ones, never a part.

A file is written beside its path, synced to the disk and renamed to the path; then the folder is
synced. If the process or the machine is killed at any moment, the path contains what it did before
or the whole new file.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from hpsearch.errors import RunsUnreachable
from hpsearch.failpoints import FailPoint, hit

_ENDING = ".unfinished"

#: The pattern of the names of unfinished files.
UNFINISHED = f".*{_ENDING}"


class WritePoints(NamedTuple):
    """The failpoints in a write, for files that the chaos tests interrupt."""

    written: FailPoint
    synced: FailPoint
    renamed: FailPoint


def write_file(
    path: Path, content: str | bytes | memoryview, at: WritePoints | None = None
) -> None:
    """Write a whole file, replacing what is there; its folder is created if it doesn't exist.

    Args:
        path: The file.
        content: Its contents; text is written as UTF-8.
        at: The failpoints of this write; ``None``: it has none.

    Raises:
        OSError: If the disk is full or can't be written; ``path`` is then unchanged, and no
            unfinished file is left.
    """
    with replacing(path, at) as unfinished, unfinished.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, at: WritePoints | None = None) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to, and rename it to ``path`` after the block.

    If the block raises, the unfinished file is deleted.

    Args:
        path: The file; its folder is created if it doesn't exist.
        at: The failpoints of this write; ``None``: it has none.

    Raises:
        OSError: As for ``write_file``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary_name(path)
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            if at is not None:
                hit(at.written)
            os.fsync(file.fileno())
        if at is not None:
            hit(at.synced)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if at is not None:
        hit(at.renamed)
    sync_folder(path.parent)


def temporary_name(path: Path) -> Path:
    """Return a hidden name beside ``path``.

    It is unique, since a worker that lost its lease may still write to the same path.
    """
    return path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}{_ENDING}")


def remove_unfinished(folder: Path) -> None:
    """Delete the unfinished files of killed writes. Call it only if nothing writes there."""
    for left in folder.glob(UNFINISHED):
        with suppress(OSError):  # the next call tries again
            left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: without it, a power cut can undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_full(error: OSError) -> bool:
    """Whether ``error`` means that the disk, or the user's quota, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_storage_error(error: OSError) -> bool:
    """Whether ``error`` means that nothing can be written now: full, read-only, no permission.

    A person can fix that while the process waits: free space, mount the disk again, change
    permissions, start the object store again.
    """
    return (
        is_full(error)
        or isinstance(error, RunsUnreachable)
        or error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ESTALE)
    )


def why_unwritable(folder: Path) -> str | None:
    """Return why files below ``folder`` can't be written; ``None`` if they can.

    ``folder`` need not exist, and nothing is left behind. A full disk isn't a reason here, since
    writers wait for free space.
    """
    ancestor = folder.absolute()
    while not ancestor.exists() and ancestor != ancestor.parent:
        ancestor = ancestor.parent
    if not ancestor.is_dir():
        return f"{ancestor} isn't a folder"
    try:
        with tempfile.TemporaryFile(dir=ancestor):
            return None
    except OSError as error:
        return None if is_full(error) else f"{ancestor}: {error.strerror or error}"
