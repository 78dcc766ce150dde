"""What the ledger costs: trials per second without training, beside stock ``study.optimize``.

Trials and workers are those of ``benchmarks.untrained``. Ours and stock run in turn on new
databases, so that both meet the same machine; the table shows medians, and the ratio is the
median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics

from rich.console import Console
from rich.table import Table

from benchmarks.databases import fresh_databases
from benchmarks.untrained import Sampler, trials_per_second

#: (database, sampler).
CASES: tuple[tuple[str, Sampler], ...] = (
    ("sqlite", "random"),
    ("postgres", "random"),
    ("sqlite", "tpe"),
    ("postgres", "tpe"),
)


def main(arguments: list[str] | None = None) -> None:
    """Print one row per database, sampler and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=96, help="trials of one run")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    options = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    table = Table(
        title=f"trials per second, median of {options.rounds} runs of {options.trials} trials "
        f"({os.cpu_count()} cores, load at the start {load:.1f})"
    )
    for column in ("database", "sampler"):
        table.add_column(column)
    for column in ("workers", "stock", "hpsearch", "times faster"):
        table.add_column(column, justify="right")
    with fresh_databases(options.databases) as fresh:
        for kind, sampler in CASES:
            if kind not in options.databases or sampler not in options.samplers:
                continue
            for workers in options.workers:
                pairs = [
                    (
                        trials_per_second("stock", fresh[kind](), workers, options.trials, sampler),
                        trials_per_second("ours", fresh[kind](), workers, options.trials, sampler),
                    )
                    for _ in range(options.rounds)
                ]
                stock, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
                ratio = statistics.median(ours / stock for stock, ours in pairs)
                figures = (f"{stock:.1f}", f"{ours:.1f}", f"{ratio:.1f}")
                table.add_row(kind, sampler, str(workers), *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
