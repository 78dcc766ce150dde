"""A lease is free only where its counter stood still for a whole lease of watching."""

from __future__ import annotations

import pytest

from hpsearch.search.ledger.lease import LeaseState, LeaseWatch


class Clock:
    """A monotonic clock that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LeaseWatch:
    return LeaseWatch(clock)


def lease(ticket: int = 1, *, attempt: int = 1, renewals: int = 0, seconds: float = 30.0):
    return LeaseState(ticket=ticket, attempt=attempt, renewals=renewals, lease_seconds=seconds)


def pass_time(clock: Clock, watch: LeaseWatch, seconds: float, *leases: LeaseState) -> list[int]:
    """Watch every second; returns the tickets that were free at the end."""
    free: list[LeaseState] = []
    for _ in range(round(seconds)):
        clock.now += 1.0
        free = watch.expired(leases)
    return [state.ticket for state in free]


def test_first_sight_never_frees(watch):
    # However old the row is: nobody knows since when it stood still.
    assert watch.expired([lease()]) == []


def test_frees_after_a_whole_lease_and_not_before(clock, watch):
    watch.expired([lease()])
    assert pass_time(clock, watch, 29, lease()) == []
    assert pass_time(clock, watch, 1, lease()) == [1]
    assert pass_time(clock, watch, 1, lease()) == [1], "until somebody takes it"


def test_a_moved_counter_starts_anew(clock, watch):
    watch.expired([lease()])
    assert pass_time(clock, watch, 29, lease()) == []
    assert pass_time(clock, watch, 29, lease(renewals=1)) == []
    assert pass_time(clock, watch, 2, lease(renewals=1)) == [1]


def test_a_new_attempt_starts_anew(clock, watch):
    watch.expired([lease(renewals=4)])
    assert pass_time(clock, watch, 29, lease(renewals=4)) == []
    # The same counter, another owner.
    assert pass_time(clock, watch, 29, lease(attempt=2, renewals=4)) == []


def test_a_lease_that_vanished_and_came_back_starts_anew(clock, watch):
    watch.expired([lease()])
    assert pass_time(clock, watch, 20, lease()) == []
    watch.expired([])
    assert pass_time(clock, watch, 29, lease()) == []


def test_each_lease_has_its_own_length(clock, watch):
    short, long = lease(1, seconds=5), lease(2, seconds=50)
    watch.expired([short, long])
    assert pass_time(clock, watch, 10, short, long) == [1]
    assert pass_time(clock, watch, 40, short, long) == [1, 2]


def test_a_suspended_watcher_does_not_count_the_gap(clock, watch):
    """Ctrl-Z on the whole job: watcher and owner were both stopped, so the owner may be alive."""
    watch.expired([lease()])
    assert pass_time(clock, watch, 10, lease()) == []
    clock.now += 3600.0
    assert watch.expired([lease()]) == []
    # The owner woke up as well, and renews.
    assert pass_time(clock, watch, 5, lease(renewals=1)) == []


def test_a_watcher_that_looks_rarely_frees_at_its_third_look(clock, watch):
    """A worker that trains for minutes between two claims must free the dead's tickets as well."""
    looks = []
    for _ in range(3):
        looks.append(watch.expired([lease()]))
        clock.now += 600.0
    assert looks == [[], [], [lease()]]
