"""What an error of the database means: wait, reconnect, report it to the user, or a bug of ours."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

#: Classes of SQLSTATE that pass: connection errors, rollbacks (deadlock, serialization), resources
#: (full disk, too many connections), locks, and an operator's actions (shutdown, restart).
_PASSING_CLASSES = frozenset(["08", "40", "53", "55", "57"])

#: Single codes of other classes that pass: a read-only transaction (the server is a standby after a
#: failover, or was set to read-only for a while), time limits on idle and on long transactions, an
#: I/O error of the server's disk.
_PASSING = frozenset(["25006", "25P03", "25P04", "58000", "58030"])

#: Codes after which only another connection can help: the server of the old one shuts down, or is
#: no longer the primary.
_OF_THE_CONNECTION = frozenset(["25006", "25P03", "25P04"])

#: Classes that are about the server, not about our statements: wrong role, no such database, its
#: configuration, its disk, damaged pages.
_OF_THE_SERVER = frozenset(["25", "28", "3D", "58", "F0", "XX"])

#: SQLite's messages when another program uses the file, or the disk is full.
_SQLITE_BUSY = ("locked", "busy", "full")

#: SQLite's messages when the file, its folder or its disk can't be used: a file system that was
#: remounted read-only or is missing for a moment, too many open files, changed permissions.
_SQLITE_UNUSABLE = ("readonly database", "unable to open database file", "disk I/O error")

#: A server's messages while connecting, when libpq gives no SQLSTATE: 53300 and 57P03.
_NOT_NOW = (
    "too many clients",
    "too many connections",
    "remaining connection slots",
    "the database system is",
)

#: Errors that don't pass; libpq gives no SQLSTATE here either.
_HOPELESS = ("password authentication", "does not exist", "no password supplied")


def is_transient(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later: locked, full, read-only, restarting, cut off.

    A caller that hasn't used the database yet should report some of these at once
    (``is_unusable``).
    """
    cause = error.orig
    if isinstance(cause, sqlite3.OperationalError):
        return _contains(cause, *_SQLITE_BUSY, *_SQLITE_UNUSABLE)
    if error.connection_invalidated:
        return True
    sqlstate = _sqlstate(error)
    if sqlstate is not None:
        return sqlstate[:2] in _PASSING_CLASSES or sqlstate in _PASSING
    return type(cause).__name__ == "OperationalError" and not _contains(cause, *_HOPELESS)


def is_unusable(error: DBAPIError) -> bool:
    """Whether this may pass, but is more likely a wrong ``--storage`` when a command starts.

    Either no connection could be made, or a SQLite file can't be opened or written.
    """
    if isinstance(error.orig, sqlite3.Error):
        return _contains(error.orig, *_SQLITE_UNUSABLE[:2])
    return (
        not error.connection_invalidated
        and _sqlstate(error) is None
        and not _contains(error.orig, *_NOT_NOW)
    )


def needs_other_connection(error: DBAPIError) -> bool:
    """Whether the same connection would only give the same error."""
    if isinstance(error.orig, sqlite3.Error):
        return _contains(error.orig, *_SQLITE_UNUSABLE)
    sqlstate = _sqlstate(error) or ""
    return sqlstate in _OF_THE_CONNECTION or sqlstate[:2] in ("08", "57")


def is_damaged(error: DBAPIError) -> bool:
    """Whether a SQLite file is damaged, such as one that was overwritten while in use."""
    return isinstance(error.orig, sqlite3.Error) and _contains(error.orig, "malformed")


def is_of_the_database(error: DBAPIError) -> bool:
    """Whether the user must check the database: missing, damaged, foreign, or without a right.

    Every other error is a wrong statement, which is a bug of ours.
    """
    kind = type(error)  # SQLite raises DatabaseError itself if a file isn't a database.
    sqlstate = _sqlstate(error) or ""
    # 23503: the row that ours belongs to was deleted with Optuna's own tools.
    # No statement: the connection was refused, as for an option in the URL that libpq can't take.
    by_code = (
        error.statement is None or sqlstate in ("42501", "23503") or sqlstate[:2] in _OF_THE_SERVER
    )
    return issubclass(kind, OperationalError) or kind is DatabaseError or by_code


def _sqlstate(error: DBAPIError) -> str | None:
    sqlstate = getattr(error.orig, "sqlstate", None)
    return None if sqlstate is None else str(sqlstate)


def _contains(cause: BaseException | None, *words: str) -> bool:
    text = str(cause)
    return any(word in text for word in words)
