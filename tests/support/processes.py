"""What tests run in processes of their own; functions here are importable by a new process."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import BrokenBarrierError
from types import ModuleType
from typing import Any, TypeVar

from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.types import Claim, Idle
from hpsearch.workers.launch.fork_server import start_fork_server
from support.ledger import open_search
from support.searching import study_file

T = TypeVar("T")

_barrier: Any = None


def in_processes(function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """Call ``function`` once in each of as many new processes, all at the same moment."""
    # The launches' own: if another came first, each worker of later launches would import torch.
    context = start_fork_server()
    barrier = context.Barrier(len(arguments))
    with (
        _without_main_module(),
        ProcessPoolExecutor(
            len(arguments), mp_context=context, initializer=_remember, initargs=(barrier,)
        ) as pool,
    ):
        futures = [pool.submit(_together, function, each) for each in arguments]
        return [future.result(timeout=240) for future in futures]


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide pytest from new processes: each would import it again, as its parent's main module."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _remember(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _together(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    try:
        _barrier.wait(timeout=240)
    except BrokenBarrierError:
        raise RuntimeError("the other processes didn't start") from None
    return function(*arguments)


def open_and_attach(url: str, number: int) -> int:
    """Open a database that may be empty, create or find the study; returns its id."""
    database = Database(url)
    ensure_tables(database)
    search = open_search(database, study_file(trials=number + 1))
    database.close()
    return search.study_id


def work_until_finished(url: str, owner: str, trials: int) -> Counter[int]:
    """Claim and finish tickets until there are none left; returns how often each was finished."""
    database = Database(url)
    search = open_search(database, study_file(trials=trials, epochs=1))
    hand = search.hand(owner)
    done: Counter[int] = Counter()
    while True:
        claim = hand.claims.claim()
        if isinstance(claim, Claim):
            hand.ledger.start(claim, _row(claim.ticket, trials))
            assert hand.report(claim, 1, claim.ticket / trials) == "complete"
            done[claim.ticket] += 1
        elif claim is Idle.FINISHED:
            database.close()
            return done


def _row(ticket: int, trials: int) -> Any:
    from support.ledger import line_row

    return line_row(ticket / trials)
