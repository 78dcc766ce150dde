"""The folders that Python modules are imported from: never the current one.

``python -c`` and ``python -m`` search the current folder first, and this is how multiprocessing
starts its servers. The current folder may come from someone else, such as an unpacked data set. An
``optuna.py`` in it must not run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Python reads this variable when it starts: if it isn't empty, neither the current folder nor the
#: folder of a script is searched.
VARIABLE = "PYTHONSAFEPATH"

#: Any text turns it on. This one shows that hpsearch set it, and not the user.
_OURS = "hpsearch"


def protect_children() -> None:
    """Keep every process that this one starts from importing files of the current folder."""
    if not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = _OURS


@contextmanager
def protected_children() -> Iterator[None]:
    """Do the same within the block: in a notebook the environment is the user's."""
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
    """Return the environment for the user's programs, as it was before ``protect_children``."""
    return {name: value for name, value in os.environ.items() if (name, value) != (VARIABLE, _OURS)}


def import_path() -> list[str]:
    """Return ``sys.path`` for a child process.

    It lacks the empty entry of notebooks and ``python -c``, which is the current folder.
    """
    return [folder for folder in sys.path if folder]


def own_command() -> tuple[str, ...]:
    """Return the words that start hpsearch of this environment in another process.

    The current folder of that process isn't searched for modules.
    """
    return (sys.executable, "-P", "-m", "hpsearch")
