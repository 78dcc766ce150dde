"""What the process of a command needs before anything else: signals, streams, surroundings.

It imports next to nothing: ``SIGTERM`` may come while the rest is imported.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

#: What COLUMNS and LINES may ask for; with less or more nothing that can be read is printed.
_SIZES = {"COLUMNS": range(20, 2001), "LINES": range(5, 2001)}


#: Exit codes, as shells know them.
INTERRUPTED, TERMINATED = 130, 143


class Terminated(BaseException):
    """SIGTERM before a command has set up something better.

    It is no KeyboardInterrupt: Typer makes an exit code of that, without a word.
    """


def end_of(interrupt: KeyboardInterrupt | Terminated) -> int:
    """Return the exit code after ``interrupt``, and say on stderr why the command ends."""
    if not isinstance(interrupt, Terminated):
        return INTERRUPTED
    print("error: ended by SIGTERM before the command had finished", file=sys.stderr)
    return TERMINATED


def set_up() -> None:
    """Set up this process for a command. To call it again changes nothing."""
    # Whoever ignores it, or has set a handler, shall keep that
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
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


def require_current_folder() -> None:
    """Refuse a current folder that isn't there any more. Raises ``UserError``."""
    try:
        os.getcwd()  # noqa: PTH109 - pathlib's raises another error
    except OSError as error:
        from hpsearch.errors import UserError

        raise UserError(
            "the current folder must exist, since paths are relative to it, but it can't be found "
            f"({error.strerror}): it was deleted or moved; change to another folder (cd) first"
        ) from None


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def main() -> None:
    """Run one command and exit: the console script."""
    try:
        set_up()
        from hpsearch.cli.app import run_command

        code = run_command(sys.argv[1:])
    except (KeyboardInterrupt, Terminated) as interrupt:  # amid the imports
        code = end_of(interrupt)
    sys.exit(code)
