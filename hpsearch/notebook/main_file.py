"""Keeps worker processes from running the caller's script again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hidden() -> Iterator[None]:
    """Hide the file of ``__main__`` from new processes.

    Python imports it in each of them, so a script without ``if __name__ == "__main__"`` would
    launch again in every worker. Workers need nothing from it.
    """
    main: Any = sys.modules["__main__"]
    missing = object()
    before = {name: vars(main).get(name, missing) for name in ("__file__", "__spec__")}
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                vars(main).pop(name, None)
            else:
                vars(main)[name] = value
