"""Secrets in files, as container platforms provide them: one line each, never shown."""

from __future__ import annotations

import os
from pathlib import Path

from hpsearch.errors import UserError

#: Bytes; a longer file isn't a secret but a wrong file.
_LONGEST = 8192


def read_secret(variable: str, name: str) -> str:
    """Return the only line of the file ``name``, which the environment's ``variable`` names.

    Raises:
        UserError: The file can't be read, is empty, isn't UTF-8, is too large or has several
            lines; the message shows nothing of the content.
    """
    rule = f"{variable} must name a readable file that holds one line"
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
        what = "is empty" if not text else "holds something else"
        raise UserError(f"{rule}, but {name!r} {what}")
    return text
