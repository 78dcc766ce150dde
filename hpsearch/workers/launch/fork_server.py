"""The process that worker processes are forked from; importing this module imports no torch.

It imports them once: a worker then starts in a fraction of a second and shares that memory. Start
it first thing in a launch, so that its imports run while the launch reads the study.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
from multiprocessing.context import ForkServerContext

from hpsearch import openmp

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start_fork_server() -> ForkServerContext:
    """Start the fork server where it isn't running yet, without waiting for its imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpsearch.workers.launch.preload"])
    before = dict(os.environ)
    # Read once, when the libraries load. Each worker then sets torch's own number of threads;
    # a pool of numpy's threads beside them would only get in their way.
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    openmp.wait_passively()
    # Ctrl-C reaches it too; amid its imports that would be a traceback. It ends with its parent.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        for name in {*_ONE_THREAD, *openmp.PASSIVE}:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
    return context
