"""What ``evaluate: ema`` adds to an epoch: CPU seconds with the average over those without.

The networks of ``benchmarks.epoch_speed``, with and without in turns, each in a process of its own.
The ratio is the median over pairs of turns; an epoch has its validation in it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.epoch_speed import ratio, trials
from benchmarks.loops import our_epochs
from benchmarks.turns import Contender, rounds


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=9, help="counted epochs of each")
    parser.add_argument("--limit", type=int, default=2000, help="gray pictures")
    parser.add_argument("--colour", type=Path, help="a pickled dictionary of 32x32 pictures")
    parser.add_argument("--only", default="", help="models whose name contains this")
    options = parser.parse_args(arguments)
    table = Table(
        title=f"CPU seconds of an epoch with the average / without, {options.epochs} pairs"
    )
    for column in ("model", "batch", "ratio"):
        table.add_column(column)
    for case, plain in trials(options):
        both = (replace(plain, evaluate="ema"), plain)
        all_turns = rounds(
            [Contender(our_epochs, (config,), 1) for config in both], options.epochs, warm_up=1
        )
        slowdown = ratio(all_turns, 0, 1, "cpu")
        table.add_row(case.model.name, str(case.batch_size), f"{slowdown:.3f}")
    Console(width=100).print(table)
    Console().print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
