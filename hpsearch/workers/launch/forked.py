"""A process forked from the server, whose end is noticed even if the server has ended.

multiprocessing learns of a child's end only from the fork server. If the server is killed, its
children continue but count as dead (with exit code 255), so other workers would get their work. So
each child has one end of its own pipe, the line: it breaks when the child ends, and not before.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.workers.launch.fork_server import (
    new_process,
    replace_fork_server,
    start_fork_server,
)
from hpsearch.workers.owners import is_alive as exists

#: What multiprocessing reports as the exit code of a process whose fork server has ended.
_LOST = 255

#: Seconds that the fork server has to report the exit code of a process that has ended.
_CODE_SECONDS = 2.0

#: The child's end of its line; open as long as the child lives.
_line: Connection | None = None


class ForkServerLost(HpsearchError):
    """The fork server ended before it had forked a process, or can't be reached."""


class ForkedProcess:
    """A process that runs ``target(*args)`` once ``begin`` is called.

    Args:
        target: A module's function.
        args: Its arguments; they are pickled.
        name: The process's name.
        daemon: Whether it is killed at this process's end.

    Raises:
        ForkServerLost: No process was started, nor will be; another try may succeed.
    """

    def __init__(
        self, target: Callable[..., None], args: tuple[Any, ...], *, name: str, daemon: bool = False
    ) -> None:
        context = start_fork_server()
        self._line, theirs = context.Pipe()
        self._process = new_process(
            context, _begin, (theirs, target, args), name=name, daemon=daemon
        )
        self._broken = False
        #: The exit code that the process itself sent.
        self._sent_code: int | None = None
        try:
            self._process.start()
        except (EOFError, OSError) as error:
            # A process that was forked in the last moment finds the line broken, and ends
            self._line.close()
            replace_fork_server()
            raise ForkServerLost(
                "worker processes are started by the fork server, but it ended before it started "
                f"one ({error}; see the messages above). Check the free memory and how many "
                "processes this user may start (`ulimit -u`)."
            ) from error
        except BaseException:
            self._line.close()
            raise
        finally:
            theirs.close()

    def begin(self) -> None:
        """Let it run. Until then it does nothing, so that no unknown process ever runs."""
        with suppress(OSError):
            self._line.send(None)

    @property
    def pid(self) -> int:
        """Its process id."""
        pid = self._process.pid
        assert pid is not None  # it has been started
        return pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it lives, or if that isn't known."""
        code = self._process.exitcode
        if code is not None and code != _LOST:
            return code
        self._listen()
        return self._sent_code

    def is_alive(self) -> bool:
        """Whether the process is alive, even if the server isn't."""
        self._listen()
        if self._broken:
            return False
        code = self._process.exitcode
        return exists(self.pid) if code is None or code == _LOST else False

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        # Not by multiprocessing: it takes the process for dead if its server is
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def join(self, seconds: float) -> bool:
        """Wait for its end, at most ``seconds``; return whether it has ended."""
        deadline = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        self._process.join(_CODE_SECONDS)
        return True

    def close(self) -> None:
        """Close the line, after the process has ended."""
        self._listen()
        self._broken = True
        self._line.close()

    def _listen(self) -> None:
        """Read the line, and whether it broke."""
        while not self._broken:
            try:
                if not self._line.poll():
                    return
                self._sent_code = self._line.recv()
            except (EOFError, OSError):
                self._broken = True


def _begin(line: Connection, target: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Run the target; the entry of the process."""
    global _line
    _line = line
    try:
        line.recv()
    except (EOFError, OSError):
        return  # the starter counts this process as not started
    code: Any = 1
    try:
        target(*args)
        code = 0
    except SystemExit as end:
        code = 0 if end.code is None else end.code
        raise
    finally:
        with suppress(OSError):
            line.send(code if isinstance(code, int) else 1)
