"""Worker processes that don't run the caller's script again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hidden() -> Iterator[None]:
    """Hide what ``__main__`` is from new processes.

    Python imports it in each of them, so that a script without ``if __name__ == "__main__"`` would
    launch again in every worker. Ours need nothing of it.
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
