"""Set-up of a command's process: signals, streams, environment.

It imports very little: a signal may come while the rest is imported.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from hpsearch.exit_codes import INTERRUPTED

#: Valid values of COLUMNS and LINES; with others the output isn't readable.
_SIZES = {"COLUMNS": range(20, 2001), "LINES": range(5, 2001)}

#: More objects than the imports of any command create: 700,000, most of them torch's.
_OBJECTS_OF_IMPORTS = 1_000_000


class Terminated(BaseException):
    """SIGTERM, or a terminal that closed, before a command has set its own handlers.

    It isn't a KeyboardInterrupt: Typer turns that into an exit code without a message.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


def end_of(interrupt: KeyboardInterrupt | Terminated) -> int:
    """Return the exit code after ``interrupt``, and print to stderr why the command ends."""
    if not isinstance(interrupt, Terminated):
        return INTERRUPTED
    message = f"error: ended by {interrupt.number.name} before the command had finished"
    with suppress(OSError):  # the terminal may be gone
        print(message, file=sys.stderr)
    return 128 + interrupt.number


def set_up() -> None:
    """Set up this process for a command. Further calls have no effect."""
    # Signals that are ignored or have a handler stay as they are
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)
    from hpsearch import openmp
    from hpsearch.import_path import protect_children
    from hpsearch.library_warnings import hide
    from hpsearch.output_streams import replace_streams

    openmp.wait_passively()  # before any command imports torch
    protect_children()
    replace_streams()
    hide()
    for name, sizes in _SIZES.items():
        size = os.environ.get(name, "").strip()
        if size.isdecimal() and int(size) not in sizes:
            del os.environ[name]


def delay_garbage_collection() -> None:
    """Let Python's garbage collector run for the first time when the imports are over.

    It would run a thousand times during the import of torch, which takes a fifth of a command's
    start and finds nothing. After the first run, or ``gc.collect()``, it runs as usual.
    """
    usual = gc.get_threshold()

    def run_as_usual(phase: str, info: dict[str, int]) -> None:
        gc.set_threshold(*usual)
        gc.callbacks.remove(run_as_usual)

    gc.callbacks.append(run_as_usual)
    gc.set_threshold(_OBJECTS_OF_IMPORTS, *usual[1:])


def require_current_folder() -> None:
    """Check that the current folder exists.

    Raises:
        UserError: It was deleted or moved.
    """
    try:
        os.getcwd()  # noqa: PTH109 - pathlib's raises another error
    except OSError as error:
        from hpsearch.errors import UserError

        raise UserError(
            "the current folder must exist, since paths are relative to it, but it can't be found "
            f"({error.strerror}): it was deleted or moved; change to another folder (cd) first"
        ) from None


def _terminate(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        # The terminal and the shell send one each; the second must not disturb the clean-up
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise Terminated(signal.Signals(number))
