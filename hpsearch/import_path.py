"""The folders that Python modules are imported from: never the current one.

``python -c`` and ``python -m`` search the current folder before everything else, and this is how
multiprocessing starts its servers. People run commands in folders that came from elsewhere, such as
an unpacked data set. An ``optuna.py`` in it must not run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Python reads this variable when it starts: if it isn't empty, neither the current folder nor the
#: folder of a script is searched.
VARIABLE = "PYTHONSAFEPATH"

#: Any text turns it on. This one shows that hpsearch did, and not the user.
_OURS = "hpsearch"


def protect_children() -> None:
    """Keep every process that this one starts from importing files of the current folder."""
    if not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = _OURS


@contextmanager
def protected_children() -> Iterator[None]:
    """The same for a while: in a notebook the environment is the user's."""
    before = os.environ.get(VARIABLE)
    protect_children()
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def environment_of_the_user() -> dict[str, str]:
    """Return the environment for programs of the user's: as it was before ``protect_children``."""
    return {name: value for name, value in os.environ.items() if (name, value) != (VARIABLE, _OURS)}


def import_path() -> list[str]:
    """Return ``sys.path`` for a child process.

    The empty entry stands for the current folder; notebooks and ``python -c`` have it.
    """
    return [folder for folder in sys.path if folder]
