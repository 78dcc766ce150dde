"""Makes threads of OpenMP, which torch uses, sleep while they wait for work instead of spinning.

By default an idle thread spins for a while in case more work comes. On a busy machine it spins on a
core that another thread, or another worker, needs: two workers on two cores were up to 60 times
slower. The runtimes read their settings once, when they are loaded, so these must be in the
environment before torch is imported. This module imports neither torch nor NumPy.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

#: GNU's runtime (pip's torch on Linux) reads the first, LLVM's and Intel's (macOS, conda) both.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def wait_passively(environment: MutableMapping[str, str] | None = None) -> None:
    """Let threads of this process, and of processes that it starts, sleep while they wait.

    The user's own settings stay. Call it before torch is imported; later it has no effect here.

    Args:
        environment: The environment to change; ``None``: that of this process.
    """
    variables = os.environ if environment is None else environment
    # If the user has set one of them, neither is changed: the runtimes may read either
    if not PASSIVE.keys() & variables.keys():
        variables.update(PASSIVE)
