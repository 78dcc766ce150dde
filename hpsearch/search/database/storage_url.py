"""URLs of databases: which are accepted, and how they are shown without their secrets."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hpsearch.errors import StorageError

DEFAULT_STORAGE = "sqlite:///hpsearch.db"

#: File systems on which SQLite's locks and shared memory don't work between hosts.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    ]
)

#: The only drivers that are tested; ``postgresql`` and ``postgres`` alone mean psycopg 3.
_DRIVERS = frozenset(["sqlite", "sqlite+pysqlite", "postgresql+psycopg"])

_MOUNTS = Path("/proc/self/mountinfo")

#: Replaces a secret in the query of a URL; there ``***`` would become ``%2A%2A%2A``.
_HIDDEN = "..."


def parse_url(url: str) -> URL:
    """Parse and check the URL of a database.

    Raises:
        StorageError: The URL is invalid, is for another kind of database, or its SQLite file can't
            be used; the message doesn't show the password.
    """
    if url.count("@") > 1 and not url.startswith("sqlite"):
        # Parsed, the rest of such a password would be the host, which every error shows.
        raise StorageError(
            "a storage must be a URL with one @, before the host, but this one has more; write "
            "each @ of a password as %40, or put the password into a file "
            "(HPSEARCH_STORAGE_PASSWORD_FILE)"
        )
    try:
        url.encode()
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that isn't a number, a half surrogate
        raise StorageError(
            "a storage must be a URL like sqlite:///hpsearch.db or "
            "postgresql://user@host/database, but this one can't be parsed"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _DRIVERS:
        raise StorageError(
            f"a storage must be SQLite or PostgreSQL, but {parsed.drivername!r} was given; "
            "use sqlite:///FILE or postgresql://user@host/database"
        )
    if parsed.get_backend_name() == "sqlite":
        return _checked_sqlite(parsed)
    return parsed


def _checked_sqlite(url: URL) -> URL:
    if url.database in (None, "", ":memory:"):
        raise StorageError(
            "a SQLite storage must be a file that workers can share, but the URL has no file; use "
            "sqlite:///hpsearch.db"
        )
    if url.host or url.username or url.query:
        raise StorageError(
            "a SQLite storage must be a path after three slashes and nothing else, as in "
            "sqlite:///hpsearch.db, but this one has "
            + (f"the options {sorted(url.query)}" if url.query else f"the host {url.host!r}")
            + "; leave them out"
        )
    path = Path(os.path.expanduser(str(url.database))).absolute()  # noqa: PTH111
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # too long, a NUL, no right to read the folder
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"a SQLite file can't be named {str(path)[:200]!r}: {reason}") from None
    if not path.parent.is_dir():
        raise StorageError(
            f"the folder of a SQLite file must exist, but {path.parent} doesn't; create it first"
        )
    kind = file_system_of(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StorageError(
            f"a SQLite file must be on a local disk, but {path.parent} is on {kind}, whose locks "
            "don't work between hosts; use a local path, or Postgres for several hosts"
        )
    return url.set(database=str(path))


def file_system_of(folder: Path) -> str:
    """Return the type of the file system of ``folder``; '' if it is unknown."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    folder = folder.resolve()
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def mask(text: str, url: URL) -> str:
    """Remove the URL's secrets from ``text``, both plain and as URLs quote them."""
    for secret in _secrets(url):
        for form in {secret, quote(secret, safe=" +"), quote(secret, safe=""), quote_plus(secret)}:
            text = text.replace(form, "***")
    return text


def display_url(url: URL) -> str:
    """Return the URL with its secrets masked; the only form that may be shown."""
    hidden = {key: _HIDDEN if _is_secret(key) else value for key, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def storage_option(url: URL) -> str:
    """Return the option that names ``url`` in a command: `` --storage sqlite:///x.db``."""
    return f" --storage {'...' if has_secret(url) else shlex.quote(display_url(url))}"


def has_secret(url: URL) -> bool:
    """Whether the URL contains a secret."""
    return bool(_secrets(url))


def _secrets(url: URL) -> list[str]:
    """Return the URL's secrets, the longest first: one may contain another."""
    secrets = [] if url.password is None else [str(url.password)]
    for key, values in url.normalized_query.items():
        secrets += values if _is_secret(key) else []
    return sorted(filter(None, secrets), key=len, reverse=True)


def _is_secret(key: str) -> bool:
    """Whether libpq reads a secret from this key: ``password``, ``sslpassword``, client secrets."""
    return "password" in key or "secret" in key
