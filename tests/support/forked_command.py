"""``hpsearch ARGUMENTS`` in a process that this process's fork server forks.

It is a process like any other: it can be killed, stopped, and told to leave. But it has imported
everything when it begins, and its workers are forked from the same server. A command that is
started by ``python -m hpsearch`` takes a second to import what it needs, and its own fork server
takes three to import torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import forkserver, reduction
from pathlib import Path
from typing import Any

from hpsearch.cli.process import main
from hpsearch.workers.launch import worker_pool
from hpsearch.workers.launch.fork_server import start_fork_server
from support.processes import _without_main_module


class ForkedCommand:
    """The command's process, with the methods of a ``subprocess.Popen`` whose output is a pipe.

    Args:
        arguments: What follows ``hpsearch``.
        folder: Its current folder.
        environment: Its environment.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        context = start_fork_server()
        reading, writing = os.pipe()
        given = (_Streams(writing, writing), list(arguments), str(folder), dict(environment))
        with _without_main_module():
            self._process = context.Process(target=_run, args=given)
            self._process.start()
        os.close(writing)
        self._printed: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("hpsearch", timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        self._reader.join(timeout)
        if self._reader.is_alive():
            raise subprocess.TimeoutExpired("hpsearch", timeout or 0)
        self.wait(timeout)
        return "".join(self._printed), None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self, reading: int) -> None:
        with open(reading, errors="replace") as output:
            self._printed.extend(output)


class _Streams:
    """Descriptors that become stdout and stderr of the process that unpickles this."""

    def __init__(self, out: int, err: int) -> None:
        self.out, self.err = out, err

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Any, ...]]:
        return _take_streams, (reduction.DupFd(self.out), reduction.DupFd(self.err))


def _take_streams(out: Any, err: Any) -> None:
    for given, own in ((out.detach(), 1), (err.detach(), 2)):
        os.dup2(given, own)
        os.close(given)
    # The server's may be files
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _run(_: None, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    _be_in(environment)
    os.chdir(folder)
    # As for a command of a shell; a fork server ignores both
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Its workers come from the server that it comes from itself
    server: Any = forkserver
    server.ensure_running = server._forkserver.ensure_running = lambda: None
    own = partial(_be_worker, _Streams(1, 2), environment)
    worker_pool.worker_process = own  # type: ignore[assignment]
    sys.argv = ["hpsearch", *arguments]
    main()


def _be_worker(_: None, environment: dict[str, str], *arguments: Any) -> None:
    """Be a worker with the environment and the output of its launch."""
    _be_in(environment)
    worker_pool.worker_process(*arguments)


def _be_in(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
