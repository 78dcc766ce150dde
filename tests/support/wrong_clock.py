"""Run hpsearch where every clock of the wall is off: ``wrong_clock.py SECONDS ARGUMENT..``."""

from __future__ import annotations

import datetime
import sys
import time

off = float(sys.argv[1])
right_time, right_datetime = time.time, datetime.datetime


class WrongDatetime(datetime.datetime):
    """Says a wrong date and time."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        """Return the right time and ``off`` seconds."""
        return right_datetime.now(tz) + datetime.timedelta(seconds=off)


time.time = lambda: right_time() + off
datetime.datetime = WrongDatetime  # type: ignore[misc]

if __name__ == "__main__":
    from hpsearch.cli.app import main

    main(sys.argv[2:])
