"""``python -m benchmarks.search_efficiency record|replay|prior|forecast|interim``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.search_efficiency import forecast, interim
from benchmarks.search_efficiency.contestants import DEFAULTS, METHODS
from benchmarks.search_efficiency.figures import as_json, show
from benchmarks.search_efficiency.plotting import plot
from benchmarks.search_efficiency.prior import judge, lessons_of
from benchmarks.search_efficiency.recording import read_lines, record
from benchmarks.search_efficiency.replays import replay_all
from benchmarks.search_efficiency.simulation import Trouble
from benchmarks.search_efficiency.spaces import PLANS, TABLES, names_in, plans_in, read_recorded
from benchmarks.search_efficiency.table import read_tables, write_table
from hpsearch.errors import UserError
from hpsearch.priors.prior_file import learned_from, write


def main(arguments: Sequence[str] | None = None) -> None:
    """Record tables, replay searches on them, or build a prior from them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_efficiency")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="train what is missing, write the tables")
    recording.add_argument("--tables", type=Path, default=TABLES, help="folder of tables")
    recording.add_argument("--table", action="append", help="only this one (several times)")
    recording.add_argument("--work", type=Path, required=True, help="folder of what is done")
    recording.add_argument("--data", type=Path, help="root of prepared images (in --work)")
    recording.add_argument("--file", type=Path, help="images that NAME.yaml names by a file")
    recording.add_argument("--most", type=int, default=-1, help="so many trainings in this call")
    replaying = commands.add_parser("replay", help="let everybody search on the tables")
    replaying.add_argument("--tables", type=Path, default=TABLES, help="folder of tables")
    replaying.add_argument("--table", action="append", help="only this one (several times)")
    replaying.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    replaying.add_argument("--replays", type=int, default=30)
    replaying.add_argument("--method", action="append", choices=list(METHODS))
    replaying.add_argument(
        "--reference", choices=list(METHODS), default=DEFAULTS, help="whom all are compared with"
    )
    replaying.add_argument(
        "--stragglers", type=float, default=0.0, help="share of workers 4 times as slow"
    )
    replaying.add_argument(
        "--crashes", type=float, default=0.0, help="probability that a worker dies in an epoch"
    )
    replaying.add_argument("--keep", type=Path, help="a file (JSON lines) to go on from")
    replaying.add_argument("--plot", type=Path, help="draw regret over the budget into this file")
    replaying.add_argument("--json", type=Path, help="write every figure to this file")
    building = commands.add_parser("prior", help="build a prior, judge it on unseen images")
    building.add_argument(
        "--tables", type=Path, nargs="+", default=[TABLES, PLANS], help="folders of tables"
    )
    building.add_argument("--out", type=Path, help="the file to write (.npz)")
    forecasting = commands.add_parser("forecast", help="judge what early epochs say of the end")
    forecasting.add_argument("--tables", type=Path, default=TABLES, help="folder of tables")
    answering = commands.add_parser("interim", help="judge what searches answer before their end")
    answering.add_argument("--tables", type=Path, default=TABLES, help="folder of tables")
    answering.add_argument("--table", action="append", help="only this one (several times)")
    answering.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    answering.add_argument("--replays", type=int, default=10)
    answering.add_argument("--method", choices=list(METHODS), default=DEFAULTS)
    options = parser.parse_args(arguments)
    does = {"record": _record, "replay": _replay, "prior": _prior, "forecast": _forecast,
            "interim": _interim}  # fmt: skip
    try:
        does[options.command](options)
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _record(options: argparse.Namespace) -> None:
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.table or plans_in(options.tables):
        recorded, data = read_recorded(name, options.tables), options.data or options.work / "data"
        if record(recorded, options.work, data, options.file, options.most):
            write_table(recorded, read_lines(options.work / f"{name}.jsonl"))


def _prior(options: argparse.Namespace) -> None:
    tables = [
        table for folder in options.tables if names_in(folder) for table in read_tables(folder)
    ]
    lessons = [lessons_of(table) for table in tables]
    if options.out is not None:
        write(learned_from(lessons), options.out)
    print("rank correlation with the truth; the trees never saw images of the table's data set")
    for table in tables:
        others = [lesson for lesson in lessons if lesson.data_set != table.recorded.data_set]
        if others:
            judgement = judge(table, learned_from(others))
            print(f"{judgement.table:14} rule {judgement.rule:5.2f}  trees {judgement.trees:5.2f}  "
                  f"both {judgement.both:5.2f}")  # fmt: skip


def _forecast(options: argparse.Namespace) -> None:
    forecast.show(read_tables(options.tables))


def _interim(options: argparse.Namespace) -> None:
    interim.show(
        [
            moment
            for table in read_tables(options.tables, options.table or ())
            for workers in options.workers
            for replay in range(options.replays)
            for moment in interim.moments(table, options.method, workers, replay)
        ]
    )


def _replay(options: argparse.Namespace) -> None:
    results = list(
        replay_all(
            read_tables(options.tables, options.table or ()),
            options.workers,
            options.method or list(METHODS),
            range(options.replays),
            trouble=Trouble(stragglers=options.stragglers, crashes=options.crashes),
            file=options.keep,
        )
    )
    show(results, reference=options.reference)
    if options.plot is not None:
        plot(results, options.plot)
    if options.json is not None:
        content = as_json(results, reference=options.reference)
        options.json.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
