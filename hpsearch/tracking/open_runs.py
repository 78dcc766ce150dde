"""Locks of runs that are open in a tracker, so that another worker can close a dead worker's runs.

It is the lock of an empty file, and belongs to the process that has the run open. The kernel
releases it when the process ends, even after SIGKILL.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

_FOLDER = "tracking"
_PREFIX = "open-trial-"


class RunLock:
    """The lock of one open run of one tracker."""

    def __init__(self, folder: Path, tracker: str, number: int) -> None:
        self._path = folder / _FOLDER / tracker / f"{_PREFIX}{number}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            #: Whether no other process has the run open.
            self.is_ours = True
        except OSError:
            self.is_ours = False

    def release(self) -> None:
        """Release the lock of a run that hasn't ended."""
        os.close(self._file)

    def close(self) -> None:
        """Remove the file of a run that has ended in the tracker."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def orphaned_runs(folder: Path, tracker: str) -> list[int]:
    """Return the trials whose run is open in ``tracker`` but locked by no process."""
    numbers = []
    with suppress(OSError):
        for path in sorted((folder / _FOLDER / tracker).glob(f"{_PREFIX}*")):
            number = path.name.removeprefix(_PREFIX)
            if not number.isdecimal():
                continue
            mark = RunLock(folder, tracker, int(number))
            if mark.is_ours:
                numbers.append(int(number))
            mark.release()
    return numbers
