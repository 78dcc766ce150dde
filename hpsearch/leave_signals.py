"""The signals that ask a process to end cleanly: Ctrl-C, SIGTERM, a terminal that closes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


def leave_signals() -> tuple[signal.Signals, ...]:
    """Return the signals; SIGHUP only if it isn't ignored, as it is under ``nohup``.

    SIGHUP usually comes twice, from the terminal and from the shell: it must never count as a
    second Ctrl-C, which ends a process at once.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ignored(*numbers: signal.Signals) -> Iterator[None]:
    """Ignore signals in the block; a process that is started in it ignores them for good."""
    with ExitStack() as stack:
        for number in numbers:
            before = signal.signal(number, signal.SIG_IGN)
            stack.callback(signal.signal, number, before)
        yield
