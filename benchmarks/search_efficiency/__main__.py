"""``python -m benchmarks.search_efficiency record|replay``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.search_efficiency.contestants import METHODS
from benchmarks.search_efficiency.figures import show
from benchmarks.search_efficiency.recording import read_lines, record
from benchmarks.search_efficiency.replays import replay_all
from benchmarks.search_efficiency.spaces import TABLES
from benchmarks.search_efficiency.table import FOLDER, read_table, write_table


def main(arguments: Sequence[str] | None = None) -> None:
    """Record, or replay what was recorded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_efficiency")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="train what is missing, write the tables")
    recording.add_argument("--table", action="append", choices=list(TABLES))
    recording.add_argument("--work", type=Path, required=True, help="folder of what is done")
    recording.add_argument("--data", type=Path, help="root of prepared pictures (in --work)")
    recording.add_argument("--emoji", type=Path, help="the pickled pictures of the table emoji")
    recording.add_argument("--most", type=int, default=-1, help="so many trainings in this call")
    replaying = commands.add_parser("replay", help="let everybody search on the tables")
    replaying.add_argument("--table", action="append", choices=list(TABLES))
    replaying.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    replaying.add_argument("--replays", type=int, default=50)
    replaying.add_argument("--method", action="append", choices=list(METHODS))
    replaying.add_argument("--keep", type=Path, help="a file (JSON lines) to go on from")
    given = parser.parse_args(arguments)
    names = given.table or list(TABLES)
    if given.command == "record":
        given.work.mkdir(parents=True, exist_ok=True)
        for name in names:
            data = given.data or given.work / "data"
            if record(TABLES[name], given.work, data, given.emoji, given.most):
                write_table(TABLES[name], read_lines(given.work / f"{name}.jsonl"), FOLDER)
        return
    tables = [read_table(name) for name in names if _is_recorded(name)]
    methods = given.method or list(METHODS)
    replays = range(given.replays)
    show(list(replay_all(tables, given.workers, methods, replays, given.keep)))


def _is_recorded(name: str) -> bool:
    return (FOLDER / f"{name}.epochs.csv.gz").exists()


if __name__ == "__main__":
    main()
