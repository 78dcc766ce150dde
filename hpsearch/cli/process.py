"""The console script: the first lines that run.

It imports very little: a signal may come while the rest is imported.
"""

from __future__ import annotations

import gc
import sys

from hpsearch.cli.process_setup import Terminated, delay_garbage_collection, end_of, set_up


def main() -> None:
    """Run one command and exit: the console script."""
    try:
        set_up()
        delay_garbage_collection()
        from hpsearch.cli.app import run_command

        code = run_command(sys.argv[1:])
    except (KeyboardInterrupt, Terminated) as interrupt:  # during the imports
        code = end_of(interrupt)
    # Examining every object of torch and matplotlib once more would take seconds
    gc.freeze()
    sys.exit(code)
