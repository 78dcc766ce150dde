"""What a storm does, drawn from its seed: the same seed is the same storm for whoever is in it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from support.postgres import PostgresServer


class Kind(StrEnum):
    """A disturbance."""

    #: SIGKILL to a worker.
    KILL = "kill"
    #: SIGSTOP to a worker for longer than its lease, then SIGCONT.
    STOP = "stop"
    #: SIGSTOP to a worker for less than its lease.
    NAP = "nap"
    #: SIGSTOP to a launch and all its workers at once, as Ctrl-Z or a closed laptop do.
    SLEEP = "sleep"
    #: SIGKILL to a supervisor (to a worker where there is none).
    BEHEAD = "behead"
    #: The database is away or locked for some seconds.
    OUTAGE = "outage"
    #: Every connection is cut, and may be made again at once (Postgres; SQLite: a short lock).
    CUT = "cut"
    #: The database takes no writes for some seconds, as after a failover or on a full disk
    #: (Postgres; SQLite: another program holds the write lock).
    READ_ONLY = "read-only"
    #: SIGKILL to a launch's fork server (to a worker where there is none).
    UPROOT = "uproot"


#: How often each comes, relative to the others.
_WEIGHTS = {
    Kind.KILL: 8,
    Kind.STOP: 4,
    Kind.NAP: 2,
    Kind.SLEEP: 1,
    Kind.BEHEAD: 2,
    Kind.OUTAGE: 2,
    Kind.CUT: 2,
    Kind.READ_ONLY: 2,
    Kind.UPROOT: 2,
}


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One blow of a storm."""

    #: Seconds after the one before.
    after: float
    kind: Kind
    #: Which of those that can be hit, 0 to 1.
    aim: float
    #: How long a stop or an outage lasts.
    seconds: float


def storm(seed: int, *, lease: float, gap: tuple[float, float]) -> Iterator[Disturbance]:
    """Yield blows without end. ``lease`` and ``gap`` (shortest, longest) are in seconds."""
    draw = random.Random(seed)
    kinds = list(_WEIGHTS)
    while True:
        after = draw.uniform(*gap)
        (kind,) = draw.choices(kinds, weights=[_WEIGHTS[each] for each in kinds])
        aim, share = draw.random(), draw.random()
        longest = {
            Kind.STOP: (1.2 * lease, 3.0 * lease),
            Kind.NAP: (0.1 * lease, 0.5 * lease),
            Kind.SLEEP: (1.2 * lease, 2.0 * lease),
            Kind.OUTAGE: (1.0, 2.0 * lease),
            Kind.CUT: (0.2, 1.0),
            Kind.READ_ONLY: (1.0, 2.0 * lease),
        }
        low, high = longest.get(kind, (0.0, 0.0))
        yield Disturbance(after=after, kind=kind, aim=aim, seconds=low + share * (high - low))


class Weather(Protocol):
    """What a storm can do to a database."""

    def outage(self) -> Callable[[], None] | None:
        """Begin an outage; returns what ends it, ``None`` where there is one without us."""

    def cut(self) -> Callable[[], None] | None:
        """Cut every connection; returns what must be done some moments later, as ``outage``."""

    def read_only(self) -> Callable[[], None] | None:
        """Take no writes; returns what ends it, as ``outage``."""


class SqliteWeather:
    """Another program that holds the write lock."""

    def __init__(self, url: str) -> None:
        self._path = Path(str(make_url(url).database))

    def outage(self) -> Callable[[], None] | None:
        """Hold the write lock until the returned function is called.

        ``None`` where somebody else holds it: a process that was stopped amid a write does, and
        goes on only when the storm, which would wait here, says so.
        """
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=2)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            connection.close()
            return None

        def end() -> None:
            connection.execute("ROLLBACK")
            connection.close()

        return end

    def cut(self) -> Callable[[], None] | None:
        """SQLite has no connections to cut: a short lock."""
        return self.outage()

    def read_only(self) -> Callable[[], None] | None:
        """Readers go on, and writers wait."""
        return self.outage()


class PostgresWeather:
    """A server that crashes, and one that throws everybody out."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._url = url

    def outage(self) -> Callable[[], None]:
        """Crash the server; the returned function starts it again."""
        self._server.crash()
        return self._server.start_again

    def cut(self) -> Callable[[], None]:
        """End every connection from the server's side."""
        self._server.cut_connections(self._url)
        return lambda: None

    def read_only(self) -> Callable[[], None]:
        """Be a standby; whoever connects meanwhile stays read-only when it ends."""
        self._server.set_read_only(self._url, True)
        return lambda: self._server.set_read_only(self._url, False)
