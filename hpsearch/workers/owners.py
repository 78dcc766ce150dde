"""Workers' names in the ledger: ``host:worker-0:1f2e3d4c``."""

from __future__ import annotations

import os
import socket
from uuid import uuid4


def new_owner(kind: str) -> str:
    """Return a unique name for a worker: ``host:worker-0:1f2e3d4c``."""
    return f"{this_host()}:{kind}:{uuid4().hex[:8]}"


def this_host() -> str:
    """Return this host's name as it is in workers' names."""
    return socket.gethostname()[:60]


def host_of(owner: str | None) -> str | None:
    """Return the host that a worker's name begins with; ``None`` if it names none."""
    host, colon, _ = (owner or "").partition(":")
    return host if colon else None


def is_alive(pid: int) -> bool:
    """Whether this host has such a process, of any user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
