"""Contenders that take turns, each in its own process.

Own processes separate the contenders' settings and memory; turns, measured as pairs, cancel the
drift of the machine's speed.
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
    """The time of one turn, in seconds."""

    wall: float
    #: CPU time, which other processes on the machine disturb less.
    cpu: float


class Contender:
    """The iterator ``start(*arguments)`` in its own process; each ``next`` is a turn."""

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
        """Run one turn.

        Raises:
            EOFError: The process died; its traceback is on stderr.
        """
        self._ours.send(None)
        turn: Turn = self._ours.recv()
        return turn

    def stop(self) -> None:
        """End the process."""
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
    """Return ``count`` rounds of one turn each, after ``warm_up`` others; end all processes."""
    try:
        all_turns = [
            tuple(contender.turn() for contender in contenders) for _ in range(warm_up + count)
        ]
    finally:
        for contender in contenders:
            contender.stop()
    return all_turns[warm_up:]
