"""Does a second thread pay where ``training.threads`` says so? One row per model and batch size.

A training step with one thread against one with ``--threads``, in turn, by the clock: threads that
wait for each other cost time, not arithmetic. Run it on an idle machine and beside other work
(``--beside 2`` starts so many processes that keep a core busy each).
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable

from hpsearch import openmp

openmp.wait_passively()  # before torch is loaded, as every process of hpsearch does

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.precision_rule import CASES, CPU, Case, choice, stepper  # noqa: E402
from hpsearch.registry import Component  # noqa: E402
from hpsearch.training import precision, threads  # noqa: E402
from hpsearch.training.malloc import keep_freed_pages  # noqa: E402
from hpsearch.training.models.inspection import describe  # noqa: E402


def busy() -> None:
    """Keep a core busy."""
    while True:
        math.sqrt(2.0)


def seconds(step: Callable[[], None], times: int, count: int) -> float:
    """Return the seconds that ``times`` steps take with ``count`` threads."""
    torch.set_num_threads(count)
    step()  # starts the threads
    began = time.perf_counter()
    for _ in range(times):
        step()
    return time.perf_counter() - began


def speed_up(
    case: Case, batch: int, kind: precision.ComputePrecision, rounds: int, count: int
) -> float:
    """Return how many times faster ``count`` threads are: the median of pairs taken in turn."""
    step = stepper(case, batch, kind)
    times = max(2, math.ceil(0.03 / max(1e-5, seconds(step, 2, 1) / 2)))
    return statistics.median(
        seconds(step, times, 1) / seconds(step, times, count) for _ in range(rounds)
    )


def main() -> None:
    """Print one row per model and batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--beside", type=int, default=0, help="processes that keep cores busy")
    options = parser.parse_args()
    others = [multiprocessing.Process(target=busy, daemon=True) for _ in range(options.beside)]
    for process in others:
        process.start()
    title = f"a training step with {options.threads} threads against 1, {options.beside} beside"
    table = Table(title=title)
    for column in ("model", "input", "batch", "precision", "million mult-adds", "faster", "rule"):
        table.add_column(column, justify="right" if column != "model" else "left")
    with keep_freed_pages():
        for case in CASES:
            model = describe(
                Component(case.model, case.settings), input_shape=case.shape, classes=10
            )
            for batch in case.batches:
                kind = choice(model, batch) if precision.cpu_has_bf16() else "fp32"
                table.add_row(
                    case.model,
                    "x".join(map(str, case.shape)),
                    str(batch),
                    kind,
                    f"{model.multiply_adds * batch / 1e6:.1f}",
                    f"{speed_up(case, batch, kind, options.rounds, options.threads):.2f}",
                    str(
                        threads.threads_for(
                            CPU,
                            available=options.threads,
                            multiply_adds=model.multiply_adds,
                            batch_size=batch,
                        )
                    ),
                )
    for process in others:
        process.kill()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
