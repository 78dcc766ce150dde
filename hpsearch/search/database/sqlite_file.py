"""Whether a SQLite file is still the one that was opened.

A connection continues to read and write a file that was deleted or replaced: its data is lost
without an error. So each transaction compares first. It also compares the write-ahead log beside
it, and detects a copy into the file, which would mix the pages of two databases.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import Connection

from hpsearch.errors import DatabaseReplaced
from hpsearch.search.database.prepared import execute_now

#: The key in a connection's ``info`` of the log that it has open.
_LOG = "hpsearch_log"


class SqliteFile:
    """The file at ``path``, identified by the file system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        #: Device and inode; ``None`` before the file was seen. While a process has it open, no
        #: other file gets its inode.
        self._identity: tuple[int, int] | None = None
        #: Bytes at the last check. In SQLite only a VACUUM makes the file smaller.
        self._size = 0

    @property
    def how_to_restore(self) -> str:
        """How to restore a copy, as a sentence: a file in use can't simply be overwritten."""
        name = self._path.name
        return (
            "Before you put a copy in its place, stop every command that uses the file, and remove "
            f"{name}-wal and {name}-shm. "
        )

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
            return  # SQLite reports it in more detail.
        identity = (status.st_dev, status.st_ino)
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise DatabaseReplaced(
                f"the SQLite file {self._path} must stay in its place while hpsearch uses it, but "
                "it was replaced by another file. This command stops, and stores nothing more. Run "
                "the same command again to continue with the current content of the file"
            )

    def require_whole(self, connection: Connection) -> None:
        """Compare the database of an open transaction with the file.

        Raises:
            DatabaseReplaced: Another program has written into the file, or its log is another one.
        """
        try:
            size = os.stat(self._path).st_size  # noqa: PTH116 - once in each transaction
        except OSError:
            return  # The next transaction reports it.
        if size < self._size:
            pages, page_size = (
                execute_now(connection, f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size")
            )
            # After a VACUUM the database itself is smaller.
            if pages * page_size > size:
                raise self._written_over("it was truncated, or overwritten by an older copy")
        self._size = size
        log = _identity_of(self._log)
        before = connection.info.get(_LOG)
        # SQLite removes the log only when no process has the database open.
        if before is None:
            connection.info[_LOG] = log
        elif before != log:
            raise self._written_over(f"its log {self._log.name} was deleted or replaced")

    def _written_over(self, what: str) -> DatabaseReplaced:
        return DatabaseReplaced(
            f"the SQLite file {self._path} must not be changed by other programs while hpsearch "
            f"uses it, but {what}. This command stops, and stores nothing more. "
            f"{self.how_to_restore}Then run the same command again to continue with the content "
            "of the file"
        )


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - once in each transaction
    except OSError:
        return None
    return status.st_dev, status.st_ino
