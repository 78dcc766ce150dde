"""Whether a SQLite file is still the one that was opened.

A connection goes on reading and writing a file that was deleted or replaced: whatever is stored
there is lost, and nobody is told. So each transaction compares first.
"""

from __future__ import annotations

import os
from pathlib import Path

from hpsearch.errors import DatabaseReplaced


class SqliteFile:
    """The file at ``path``, by what the file system knows of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Device and inode; ``None`` before the file was seen. As long as somebody has it open, no
        #: other file gets its inode.
        self._identity: tuple[int, int] | None = None

    def require_same(self) -> None:
        """Compare with the file that was there at the first call that found one.

        Raises:
            DatabaseReplaced: The file is gone, or another one is in its place.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 - once in each transaction
        except FileNotFoundError:
            if self._identity is None:
                return  # SQLite creates it.
            raise DatabaseReplaced(
                f"the SQLite file {self._path} must stay in its place while hpsearch uses it, but "
                "it was deleted or moved. This command stops, and stores nothing more. Put the "
                "file (or a backup) back and run the same command again"
            ) from None
        except OSError:
            return  # SQLite says more about it.
        found = (status.st_dev, status.st_ino)
        if self._identity is None:
            self._identity = found
        elif found != self._identity:
            raise DatabaseReplaced(
                f"the SQLite file {self._path} must stay in its place while hpsearch uses it, but "
                "it was replaced by another file. This command stops, and stores nothing more. The "
                "same command again goes on with what the file holds now"
            )
