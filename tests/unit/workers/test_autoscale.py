"""The number of workers on one GPU, on machines whose throughput is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hpsearch.workers.launch.autoscale import PATIENCE, WARM_UP, WINDOW, Autoscaler


class Machine:
    """Does ``rate(workers)`` units of work a second, with as many workers as are wanted."""

    def __init__(self, packing: Autoscaler, rate: Callable[[int], float]) -> None:
        self.packing = packing
        self.rate = rate
        self.now = self.work = 0.0
        self.seen: list[int] = [packing.workers]

    def run(self, seconds: float) -> int:
        end = self.now + seconds
        while self.now < end:
            self.work += self.rate(self.packing.workers) * 0.5
            self.now += 0.5
            self.packing.update(self.now, self.work)
            if self.packing.workers != self.seen[-1]:
                self.seen.append(self.packing.workers)
        return self.packing.workers


STEP = WINDOW + WARM_UP + 2


def saturating(at: int) -> Callable[[int], float]:
    """Each worker adds as much, up to ``at`` of them; then none adds anything."""
    return lambda workers: 100.0 * min(workers, at)


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_workers_are_added_as_long_as_more_gets_done(at):
    machine = Machine(Autoscaler(most=8), saturating(at))
    assert machine.run(STEP * (at + 1)) == at
    # One more is tried, and taken back.
    assert machine.seen == [*range(1, at + 2), at]


def test_never_more_than_allowed():
    machine = Machine(Autoscaler(most=3), saturating(8))
    assert machine.run(STEP * 20) == 3
    assert max(machine.seen) == 3


def test_a_number_that_falls_back_is_left():
    machine = Machine(Autoscaler(most=8), lambda workers: {1: 100, 2: 180, 3: 120}.get(workers, 60))
    assert machine.run(STEP * 4) == 2


def test_what_does_not_fit_into_memory_is_not_tried_again():
    machine = Machine(Autoscaler(most=8), saturating(8))
    machine.run(STEP * 3)
    fitted = machine.packing.workers - 1
    assert machine.packing.out_of_memory() == fitted == 3
    assert machine.run(STEP * PATIENCE * 3) == fitted


def test_one_worker_is_left_where_nothing_fits():
    packing = Autoscaler(most=4)
    assert packing.out_of_memory() == 1


def test_it_backs_off_when_others_come_and_returns_when_they_leave():
    machine = Machine(Autoscaler(most=4), saturating(4))
    assert machine.run(STEP * 6) == 4
    machine.rate = lambda workers: 120.0  # somebody else takes most of it
    assert machine.run(STEP * 12) < 4
    machine.rate = saturating(4)
    assert machine.run(STEP * PATIENCE * 4) == 4


def test_one_slow_window_is_no_reason():
    machine = Machine(Autoscaler(most=2), saturating(2))
    machine.run(STEP * 4)
    machine.rate = lambda workers: 100.0
    machine.run(WINDOW)
    machine.rate = saturating(2)
    assert machine.run(WINDOW * 5) == 2
    assert machine.seen == [1, 2]


def test_a_window_without_an_epoch_tells_nothing():
    machine = Machine(Autoscaler(most=4), lambda workers: 0.0)
    assert machine.run(STEP * 5) == 1
    assert machine.seen == [1]
