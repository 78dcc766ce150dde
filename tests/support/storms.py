"""A crew in a storm: kills, stops and outages until its study is finished, all of them counted."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator

from support.crews import Crew
from support.weather import Disturbance, Kind, Weather

#: Between two looks whether the study is finished.
LOOK_SECONDS = 0.5

#: For the first epoch of a crew that starts, on a busy machine.
BEGIN_SECONDS = 300.0


class Storm:
    """Hits a crew and its database.

    Args:
        spared: Asked before a blow: processes that must not be hit now (a trial that dies three
            times without an epoch in between is FAILED by design; that is no storm's subject).
        at_work: Processes that hold a trial. A stop hits one of them where there is one, and
            lasts until its trial was taken from it: only so it comes back as a late writer.
        patience: For how many seconds at most a stop is drawn out for that.
    """

    def __init__(
        self,
        crew: Crew,
        weather: Weather,
        blows: Iterator[Disturbance],
        *,
        spared: Callable[[], frozenset[int]] = frozenset,
        at_work: Callable[[], frozenset[int]] = frozenset,
        patience: float = 0.0,
    ) -> None:
        self.crew = crew
        self.weather = weather
        self.blows = blows
        #: What was really done: a blow that found nobody to hit isn't counted.
        self.counts: Counter[Kind] = Counter()
        self.database_is_away = False
        self._ask_spared = spared
        self._ask_at_work = at_work
        self._patience = patience
        self._is_calm = False
        self._spared: frozenset[int] = frozenset()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._stopped: Counter[int] = Counter()

    @property
    def kills(self) -> int:
        """Processes that were killed."""
        return self.counts[Kind.KILL] + self.counts[Kind.BEHEAD] + self.counts[Kind.UPROOT]

    @property
    def stops(self) -> int:
        """Times that somebody was stopped."""
        return self.counts[Kind.STOP] + self.counts[Kind.NAP] + self.counts[Kind.SLEEP]

    @property
    def outages(self) -> int:
        """Times that the database was away, locked, read-only, or cut off."""
        return self.counts[Kind.OUTAGE] + self.counts[Kind.CUT] + self.counts[Kind.READ_ONLY]

    def rage(
        self, has_begun: Callable[[], bool], is_finished: Callable[[], bool], *, seconds: float
    ) -> None:
        """Storm until the study is finished, the blows are over, or ``seconds`` have passed.

        It waits for ``has_begun``: processes that are still starting are no worthy victims. The
        seconds run from then: on a busy machine a storm would be over before it found anybody.
        """
        until = time.monotonic() + max(seconds, BEGIN_SECONDS)
        while not has_begun() and time.monotonic() < until:
            self.crew.tend()
            time.sleep(0.1)
        until = time.monotonic() + seconds
        blow = next(self.blows, None)
        # From one to the next, not from when each was struck: the same storm for everybody.
        due = time.monotonic() + (blow.after if blow else 0.0)
        asked_at = 0.0
        while blow is not None and time.monotonic() < until:
            self._catch_up()
            self.crew.tend()
            if not self.database_is_away and time.monotonic() - asked_at > LOOK_SECONDS:
                if is_finished():
                    break
                asked_at = time.monotonic()
            if time.monotonic() >= due:
                if self._strike(blow):
                    self.counts[blow.kind] += 1
                blow = next(self.blows, None)
                due += blow.after if blow else 0.0
            time.sleep(0.05)
        self.calm()

    def calm(self) -> None:
        """End every outage and every stop."""
        self._is_calm = True
        for _, _, action in sorted(self._later, key=lambda each: each[:2]):
            action()
        self._later.clear()

    def wait_for_crew(self, seconds: float) -> bool:
        """Give the crew time to end well; returns whether it did."""
        until = time.monotonic() + seconds
        while not self.crew.done and time.monotonic() < until:
            self.crew.tend()
            time.sleep(0.05)
        return self.crew.done

    def _catch_up(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()

    def _do_later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), action))

    def _strike(self, blow: Disturbance) -> bool:
        match blow.kind:
            case Kind.KILL:
                return self._on_worker(blow, self.crew.kill)
            case Kind.STOP | Kind.NAP:
                at_work = frozenset() if self.database_is_away else self._ask_at_work()

                def stop(pid: int) -> None:
                    drawn_out = blow.kind is Kind.STOP and pid in at_work
                    self._stop([pid], blow.seconds, until_taken=drawn_out)

                return self._on_worker(blow, stop, preferred=at_work)
            case Kind.SLEEP:
                return self._on_launch(
                    blow, lambda pid: self._stop(self.crew.session_of(pid), blow.seconds)
                )
            case Kind.BEHEAD:
                return self._on_launch(blow, self.crew.kill)
            case Kind.OUTAGE:
                return self._to_database(blow, self.weather.outage)
            case Kind.CUT:
                return self._to_database(blow, self.weather.cut)
            case Kind.READ_ONLY:
                return self._to_database(blow, self.weather.read_only)
            case Kind.UPROOT:
                return self._uproot(blow)

    def _on_worker(
        self,
        blow: Disturbance,
        hit: Callable[[int], None],
        *,
        preferred: frozenset[int] = frozenset(),
    ) -> bool:
        spared = self._look_for_spared()
        targets = [pid for pid in self.crew.workers() if pid not in spared]
        targets = [pid for pid in targets if pid in preferred] or targets
        if targets:
            hit(targets[int(blow.aim * len(targets))])
        return bool(targets)

    def _on_launch(self, blow: Disturbance, hit: Callable[[int], None]) -> bool:
        launches = self.crew.supervisors()
        if not launches:
            return self._on_worker(blow, hit)
        launch = launches[int(blow.aim * len(launches))]
        if not self._look_for_spared().isdisjoint(self.crew.session_of(launch)):
            return False
        hit(launch)
        return True

    def _uproot(self, blow: Disturbance) -> bool:
        """Kill a launch's fork server; its workers may die with it."""
        servers = self.crew.fork_servers()
        if not servers:
            return self._on_worker(blow, self.crew.kill)
        server = servers[int(blow.aim * len(servers))]
        spared = self._look_for_spared()
        if not spared.isdisjoint(self.crew.session_of(server)):
            return False
        self.crew.kill(server)
        return True

    def _to_database(
        self, blow: Disturbance, begin: Callable[[], Callable[[], None] | None]
    ) -> bool:
        if self.database_is_away:
            return False
        self._look_for_spared()
        end = begin()
        if end is None:
            return False
        self.database_is_away = True

        def back() -> None:
            end()
            self.database_is_away = False

        self._do_later(blow.seconds, back)
        return True

    def _look_for_spared(self) -> frozenset[int]:
        # While the database is away nobody claims, so what was true before still is.
        if not self.database_is_away:
            self._spared = self._ask_spared()
        return self._spared

    def _stop(self, pids: list[int], seconds: float, *, until_taken: bool = False) -> None:
        for pid in pids:
            self._stopped[pid] += 1
            self.crew.stop(pid)
        latest = time.monotonic() + seconds + self._patience

        def wake() -> None:
            drawn_out = until_taken and not self._is_calm and time.monotonic() < latest
            # Where nobody can be asked, it may still hold its trial.
            if drawn_out and (self.database_is_away or self._ask_at_work() & set(pids)):
                self._do_later(0.2, wake)
                return
            for pid in pids:
                self._stopped[pid] -= 1
                if not self._stopped[pid]:
                    self.crew.go_on(pid)

        self._do_later(seconds, wake)
