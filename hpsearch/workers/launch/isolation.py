"""Work in a process of its own, forked from the server that has imported torch.

The command itself then needs no torch, which takes seconds to import, and user code (a plug-in, a
model) that crashes or hangs affects only its own process.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, ParamSpec, TypeVar

from hpsearch.errors import HpsearchError, UserError
from hpsearch.import_path import protect_children
from hpsearch.machine_limits import limit_reached
from hpsearch.registry import plugin_fault
from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.forked import ForkedProcess, ForkServerLost

#: Fork servers that may end in a row before an error is raised.
_TRIES = 5

#: How long the operating system may take to end a process that was killed.
_KILL_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


def run_isolated(work: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
    """Return what ``work`` returns in another process; ``HpsearchError`` is raised here again.

    ``work`` is a module's function; arguments and results are pickled.

    Raises:
        UserError: The process died.
        RuntimeError: Any other exception in the process, with its traceback.
    """
    with _IsolatedProcess(_once, work, arguments, settings) as other:
        try:
            answer = other.receiving.recv()
        except EOFError:
            other.process.join(_KILL_SECONDS)
            code = other.process.exit_code or 0
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise UserError(
                "the study is read and checked in a process of its own, but that process died "
                f"({how}; see the messages above); check the study's plug-ins and models"
            ) from None
    if isinstance(answer, _Raised):
        raise answer.rebuild()
    if isinstance(answer, _Broken):
        raise RuntimeError(answer.traceback)
    result: T = answer
    return result


def stream_isolated(
    work: Callable[P, Iterator[T]], timeout: float, *arguments: P.args, **settings: P.kwargs
) -> list[T]:
    """Return what ``work`` yields in another process until it ends, dies or times out.

    Args:
        work: A module's function; arguments and results are pickled.
        timeout: Seconds after which the process is killed.
        arguments: Positional arguments of ``work``.
        settings: Keyword arguments of ``work``.
    """
    (answers,) = stream_isolated_processes(work, 1, timeout, *arguments, **settings)
    return answers


def stream_isolated_processes(
    work: Callable[P, Iterator[T]],
    processes: int,
    timeout: float,
    *arguments: P.args,
    **settings: P.kwargs,
) -> list[list[T]]:
    """Return what ``work`` yields in each of several processes that run at the same time.

    Args:
        work: A module's function; arguments and results are pickled.
        processes: The number of processes.
        timeout: Seconds after which the processes that still run are killed.
        arguments: Positional arguments of ``work``.
        settings: Keyword arguments of ``work``.

    Returns:
        A list for each process: what it yielded until it ended or died.
    """
    deadline = time.monotonic() + timeout
    answer_lists: list[list[T]] = [[] for _ in range(processes)]
    with ExitStack() as stack:
        others = [
            stack.enter_context(_IsolatedProcess(_one_by_one, work, arguments, settings))
            for _ in range(processes)
        ]
        for answers, other in zip(answer_lists, others, strict=True):
            with suppress(EOFError):
                while other.receiving.poll(max(0.0, deadline - time.monotonic())):
                    answers.append(other.receiving.recv())
    return answer_lists


class _Raised:
    """An ``HpsearchError`` to be pickled; its ``args`` may differ from its ``__init__``'s."""

    def __init__(self, error: HpsearchError) -> None:
        self._kind, self._arguments, self._state = type(error), error.args, dict(vars(error))

    def rebuild(self) -> HpsearchError:
        error = self._kind.__new__(self._kind)
        error.args = self._arguments
        vars(error).update(self._state)
        return error


class _Broken(NamedTuple):
    """The traceback of any other exception."""

    traceback: str


class _IsolatedProcess:
    """The process, and this end of the pipe to it; killed at the end if it still runs."""

    def __init__(
        self, entry: Callable[..., None], work: Any, arguments: Any, settings: Mapping[str, Any]
    ) -> None:
        self.receiving, sending = start_fork_server().Pipe(duplex=False)
        # The server's environment is that of its start.
        process_arguments = (sending, dict(os.environ), work, arguments, settings)
        self.process = _fork(entry, process_arguments)
        sending.close()
        self.process.begin()

    def __enter__(self) -> _IsolatedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.join(_KILL_SECONDS)
        self.process.close()
        self.receiving.close()


def _fork(entry: Callable[..., None], arguments: tuple[Any, ...]) -> ForkedProcess:
    """Start the process, with another fork server if one is killed meanwhile.

    Raises:
        MachineLimit: This machine lets no more processes start.
        ForkServerLost: The fork server ends each time.
    """
    for _ in range(_TRIES - 1):
        with suppress(ForkServerLost):
            return ForkedProcess(entry, arguments, name="apart", daemon=True)
    try:
        return ForkedProcess(entry, arguments, name="apart", daemon=True)
    except ForkServerLost as error:
        raise (limit_reached(error) or error) from error


def _once(
    sending: Connection,
    environment: Mapping[str, str],
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    settings: Mapping[str, Any],
) -> None:
    _settle_in(environment)
    try:
        answer = work(*arguments, **settings)
    except HpsearchError as error:
        answer = _Raised(error)
    except Exception as error:  # noqa: BLE001 - it is raised in the process that waits
        fault = limit_reached(error) or plugin_fault(error)
        answer = _Broken(traceback.format_exc()) if fault is None else _Raised(fault)
    with suppress(BrokenPipeError):
        sending.send(answer)


def _one_by_one(
    sending: Connection,
    environment: Mapping[str, str],
    work: Callable[..., Iterator[Any]],
    arguments: tuple[Any, ...],
    settings: Mapping[str, Any],
) -> None:
    _settle_in(environment)
    # If the command was killed, the pipe is broken
    with suppress(BrokenPipeError):
        for answer in work(*arguments, **settings):
            sending.send(answer)


def _settle_in(environment: Mapping[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    os.environ.clear()
    os.environ.update(environment)
    protect_children()
