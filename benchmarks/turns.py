"""Contenders that take turns, each in a process of its own.

A process of its own keeps one contender's settings and memory from another's; turns, measured as
pairs, keep the machine's drift from all of them.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch


@dataclass(frozen=True)
class Turn:
    """What one turn took, in seconds."""

    wall: float
    #: Of the CPU: other processes on the machine disturb these less.
    cpu: float


class Contender:
    """``start(*arguments)`` in its own process: an iterator, each ``next`` of which is a turn."""

    def __init__(
        self, start: Callable[..., Iterator[object]], arguments: Sequence[Any], threads: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, start, tuple(arguments), threads), daemon=True
        )
        self._process.start()
        theirs.close()

    def turn(self) -> Turn:
        """Let it work once; ``EOFError`` where it died (its traceback is on stderr)."""
        self._ours.send(None)
        turn: Turn = self._ours.recv()
        return turn

    def stop(self) -> None:
        """End its process."""
        self._ours.close()
        self._process.join()


def _serve(
    ours: Connection, start: Callable[..., Iterator[object]], arguments: Any, threads: int
) -> None:
    torch.set_num_threads(threads)
    works = start(*arguments)
    while True:
        try:
            ours.recv()
        except EOFError:
            return
        wall, cpu = time.perf_counter(), time.process_time()
        next(works)
        ours.send(Turn(time.perf_counter() - wall, time.process_time() - cpu))


def rounds(contenders: Sequence[Contender], count: int, warm_up: int) -> list[tuple[Turn, ...]]:
    """Return ``count`` rounds of one turn each, after ``warm_up`` that don't count; then end."""
    try:
        taken = [
            tuple(contender.turn() for contender in contenders) for _ in range(warm_up + count)
        ]
    finally:
        for contender in contenders:
            contender.stop()
    return taken[warm_up:]
