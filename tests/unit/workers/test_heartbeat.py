"""A supervisor hears its workers' hearts, and doesn't take its own sleep for their silence."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.heartbeat import (
    BEAT_SECONDS,
    LONGEST_GAP_SECONDS,
    Heartbeat,
    _beat,
    new_counter,
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Shared:
    value = 0


def test_silence_is_the_time_since_the_counter_moved() -> None:
    clock, counter = Clock(), Shared()
    pulse = Heartbeat(counter, clock)
    assert not pulse.has_begun
    for seconds in (1.0, 2.0, 3.0):
        clock.now += 1.0
        assert pulse.silence() == seconds
    counter.value += 1
    clock.now += 1.0
    assert pulse.silence() == 0.0
    assert pulse.has_begun
    clock.now += 1.5
    assert pulse.silence() == 1.5


def test_a_gap_in_watching_is_no_silence() -> None:
    """The laptop slept for a night, worker and supervisor alike."""
    clock = Clock()
    pulse = Heartbeat(Shared(), clock)
    clock.now += 8 * 3600
    assert pulse.silence() == LONGEST_GAP_SECONDS


def test_a_living_process_beats_and_a_stopped_one_does_not() -> None:
    context = start_fork_server()
    counter = new_counter(context)
    pulse = Heartbeat(counter)
    process = context.Process(target=_beat, args=(counter,), daemon=True)
    process.start()
    try:
        wait_until(lambda: pulse.silence() == 0.0 and pulse.has_begun)
        os.kill(process.pid or 0, signal.SIGSTOP)
        wait_until(lambda: pulse.silence() > 4 * BEAT_SECONDS)
        os.kill(process.pid or 0, signal.SIGCONT)
        wait_until(lambda: pulse.silence() == 0.0)
    finally:
        process.kill()
        process.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
