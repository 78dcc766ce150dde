"""What tells a worker to leave, and how long it may still take."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from hpsearch.leave_signals import leave_signals
from hpsearch.workers import worker
from hpsearch.workers.worker import LAST_WORDS_SECONDS, StopSignal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The worker's monotonic clock, moved by hand; sleeping moves it, too."""
    fake_clock = SimpleNamespace(now=100.0, slept=[])

    def sleep(seconds: float) -> None:
        fake_clock.slept.append(seconds)
        fake_clock.now += seconds

    time_module = SimpleNamespace(monotonic=lambda: fake_clock.now, sleep=sleep)
    monkeypatch.setattr(worker, "time", time_module)
    return fake_clock


@pytest.fixture
def handler_of() -> Iterator[Any]:
    before = {number: signal.getsignal(number) for number in leave_signals()}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nohup_keeps_sighup_away(handler_of: Any) -> None:
    assert leave_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handler_of(signal.SIGHUP, signal.SIG_IGN)
    assert leave_signals() == (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_noted(handler_of: Any, number: signal.Signals) -> None:
    departure = StopSignal(timeout=None)
    handler_of(number, departure.on_signal)
    assert not departure.requested()
    signal.raise_signal(number)
    assert departure.requested()
    assert not departure.grace_over()


def test_time_is_up_at_the_deadline(clock: SimpleNamespace) -> None:
    departure = StopSignal(timeout=60)
    clock.now += 59.9
    assert not departure.requested()
    clock.now += 0.1
    assert departure.requested()


def test_without_a_timeout_it_works_for_ever(clock: SimpleNamespace) -> None:
    departure = StopSignal(timeout=None)
    clock.now += 1e9
    assert not departure.requested()
    assert not departure.grace_over()


def test_last_words_run_from_when_it_was_told(clock: SimpleNamespace) -> None:
    departure = StopSignal(timeout=None)
    clock.now += 3600  # a long night before
    departure.on_signal(signal.SIGTERM, None)
    assert not departure.grace_over()
    clock.now += LAST_WORDS_SECONDS
    assert not departure.grace_over()
    clock.now += 0.1
    assert departure.grace_over()


def test_a_second_signal_gives_no_more_time(clock: SimpleNamespace) -> None:
    departure = StopSignal(timeout=None)
    departure.on_signal(signal.SIGTERM, None)
    assert departure.requested()
    clock.now += LAST_WORDS_SECONDS + 0.1
    departure.on_signal(signal.SIGTERM, None)
    assert departure.grace_over()


def test_it_leaves_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        alive = SimpleNamespace(is_alive=lambda: parent.poll() is None)
        monkeypatch.setattr(worker, "parent_process", lambda: alive)
        departure = StopSignal(timeout=None)
        assert not departure.requested()
        parent.kill()
        parent.wait()
        assert departure.requested()
    finally:
        parent.communicate()


def test_a_worker_without_a_parent_of_ours_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "parent_process", lambda: None)
    assert not StopSignal(timeout=None).requested()


def test_it_waits_as_long_as_asked(clock: SimpleNamespace) -> None:
    StopSignal(timeout=None).wait(0.5)
    assert clock.now == pytest.approx(100.5)


def test_a_signal_ends_the_wait(handler_of: Any) -> None:
    departure = StopSignal(timeout=None)
    handler_of(signal.SIGTERM, departure.on_signal)
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    began = time.monotonic()
    departure.wait(60)
    timer.join()
    assert time.monotonic() - began < 30


def test_a_signal_at_any_line_of_the_wait_is_harmless() -> None:
    """A handler runs between two lines of what it interrupts, and so must need no lock of theirs.

    Here it runs in a thread for which the waiting one stands still: it would wait for ever, too.
    """
    departure = StopSignal(timeout=None)
    lines, stuck = 0, []

    def interrupt(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if event == "line" and not stuck:
            lines += 1
            handler = threading.Thread(
                target=departure.on_signal, args=(signal.SIGTERM, None), daemon=True
            )
            handler.start()
            handler.join(60)
            if handler.is_alive():
                stuck.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        departure.wait(0.01)
    finally:
        sys.settrace(before)
    assert lines > 0
    assert not stuck, f"a signal at {stuck[0]} would hang the worker"
