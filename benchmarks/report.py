"""What the report of a long search costs: seconds and megabytes, part by part.

The study is made up: finished trials of 20 epochs over 8 parameters (``benchmarks.past_trials``),
whose values have nothing to do with their parameters.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks.growth import fill
from benchmarks.untrained import EPOCHS, NAME
from hpsearch.reporting.assemble import assemble, read_report
from hpsearch.reporting.page import page
from hpsearch.reporting.writing import write_report
from hpsearch.search.database.storage import Database


def main(arguments: list[str] | None = None) -> None:
    """Print one row per number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    options = parser.parse_args(arguments)
    table = Table(
        title=f"report of a study with so many trials of {EPOCHS} epochs: seconds "
        f"({os.cpu_count()} cores, load at the start {os.getloadavg()[0]:.1f})"
    )
    for column in ("trials", "read", "page", "all files, with figures", "page, MB"):
        table.add_column(column, justify="right")
    for trials in options.trials:
        table.add_row(f"{trials:,}", *_measured(trials))
    Console(width=100).print(table)


def _measured(trials: int) -> list[str]:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/hpsearch.db"
        fill(url, trials)
        with closing(Database(url)) as database:
            began = time.perf_counter()
            content = read_report(database, [NAME])
            read = time.perf_counter()
            text = page(assemble(content))
            assembled_at = time.perf_counter()
            write_report(content, Path(folder) / "report")
            written = time.perf_counter()
    seconds = (read - began, assembled_at - read, written - assembled_at)
    return [*(f"{interval:.1f}" for interval in seconds), f"{len(text.encode()) / 1e6:.1f}"]


if __name__ == "__main__":
    main()
