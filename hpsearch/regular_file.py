"""Opens untrusted files only if they are regular files.

Reading a FIFO may wait without end, reading a device may never end, and opening either can have
side effects. A file's name doesn't show what it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotARegularFile(OSError):
    """The path is a FIFO, a socket, a device or a folder; ``strerror`` is the reason in words."""


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; a symbolic link is followed.

    Raises:
        NotARegularFile: ``path`` is anything else. It is not opened.
        OSError: As in ``Path.open``.
    """
    _require(os.stat(path).st_mode, path)  # noqa: PTH116 - several times as fast
    # Without O_NONBLOCK, a FIFO that has just replaced the file would block here
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a regular file's bytes. Raises ``OSError``."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular(path: Path) -> None:
    """Check a file that a library will open.

    Raises:
        NotARegularFile: It isn't a regular file.
        OSError: It can't be found.
    """
    _require(os.stat(path).st_mode, path)  # noqa: PTH116


def kind_of(mode: int) -> str:
    """Return the kind of file of ``st_mode``: ``a FIFO``, ``a regular file``."""
    return _KINDS.get(stat.S_IFMT(mode), "a regular file" if stat.S_ISREG(mode) else "no file")


def _require(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise NotARegularFile(errno.EINVAL, f"not a regular file, but {kind_of(mode)}", str(path))
