"""How threads of OpenMP, which torch computes with, wait for work: asleep, never by spinning.

By default a thread that has nothing to do spins for a while in case more comes. On a machine with
other work it spins on the very core that another thread, or another worker, needs: two workers on
two cores were up to 60 times slower. The runtimes read their settings once, when they are loaded,
so they must stand in the environment before torch is imported. Importing this module imports
nothing.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

#: GNU's runtime (pip's torch on Linux) reads the first, LLVM's and Intel's (macOS, conda) both.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def wait_passively(environment: MutableMapping[str, str] | None = None) -> None:
    """Let this process's threads sleep while they wait, and those of processes that it starts.

    What the user has set stays. Call it before torch is imported; later it changes nothing here.

    Args:
        environment: Where to set it, that of this process by default.
    """
    found = os.environ if environment is None else environment
    # One setting of the user's speaks for both: the runtimes may read either
    if not PASSIVE.keys() & found.keys():
        found.update(PASSIVE)
