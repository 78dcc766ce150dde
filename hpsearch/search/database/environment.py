"""The database that the environment names, and secrets in files that it names.

Container platforms provide secrets as files: one line each, never shown. Importing this needs no
SQLAlchemy.
"""

from __future__ import annotations

import os
from pathlib import Path

from hpsearch.errors import StorageError, UserError

#: ``search.database.storage_url.DEFAULT_STORAGE``, repeated so that ``--help`` needs no SQLAlchemy.
DEFAULT_STORAGE = "sqlite:///hpsearch.db"

URL, URL_FILE = "HPSEARCH_STORAGE", "HPSEARCH_STORAGE_FILE"
PASSWORD_FILE = "HPSEARCH_STORAGE_PASSWORD_FILE"

#: Bytes; a longer file isn't a secret but a wrong file.
_LONGEST = 8192


def storage_of_the_environment() -> str:
    """Return the URL that a command uses without ``--storage``.

    Raises:
        StorageError: Both variables of the URL are set, or as ``with_password``.
        UserError: The file with the URL or the password can't be used.
    """
    url, file = os.environ.get(URL), os.environ.get(URL_FILE)
    if url and file:
        raise StorageError(f"{URL} and {URL_FILE} must not both be set; unset one of them")
    if file:
        return with_password(read_secret(URL_FILE, file), URL_FILE)
    return with_password(url or DEFAULT_STORAGE, URL)


def environment_with(storage: str) -> dict[str, str]:
    """Return this process's environment for a child process that uses ``storage``."""
    inherited = {k: v for k, v in os.environ.items() if k not in (URL_FILE, PASSWORD_FILE)}
    return {**inherited, URL: storage}


def with_password(url: str, origin: str) -> str:
    """Return ``url`` with the password from a file, if the environment names one.

    Args:
        url: The URL of a database.
        origin: Its source, for messages: a variable or an option.

    Raises:
        StorageError: The environment names a file, but ``url`` is invalid, is SQLite's or already
            has a password.
        UserError: The file can't be used.
    """
    file = os.environ.get(PASSWORD_FILE)
    if not file:
        return url
    from hpsearch.search.database.storage_url import parse_url

    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        raise StorageError(
            f"{PASSWORD_FILE} belongs to a Postgres database, but {origin} names a SQLite file, "
            "which has no password; unset it, or set the URL of the database"
        )
    if parsed.password is not None:
        raise StorageError(
            f"{PASSWORD_FILE} must not be set if the URL has a password, but that of {origin} has "
            "one; take it out of the URL, or unset the variable"
        )
    complete = parsed.set(password=read_secret(PASSWORD_FILE, file))
    return complete.render_as_string(hide_password=False)


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; ``None`` for another database. Imports nothing slow."""
    if not url.startswith("sqlite:///"):
        return None
    file = url.removeprefix("sqlite:///").partition("?")[0]
    return Path(os.path.expanduser(file)).absolute()  # noqa: PTH111


def read_secret(variable: str, name: str) -> str:
    """Return the only line of the file ``name``, which the environment's ``variable`` names.

    Raises:
        UserError: The file can't be read, is empty, isn't UTF-8, is too large or has several
            lines; the message shows nothing of the content.
    """
    rule = f"{variable} must name a readable file that contains one line"
    try:
        with Path(os.path.expanduser(name)).open("rb") as file:  # noqa: PTH111
            content = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{rule}, but {name!r} can't be read: {reason}") from None
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UserError(f"{rule}, but {name!r} isn't UTF-8 text") from None
    if not text or len(content) > _LONGEST or any(sign in text for sign in "\r\n\0"):
        what = "is empty" if not text else "contains something else"
        raise UserError(f"{rule}, but {name!r} {what}")
    return text
