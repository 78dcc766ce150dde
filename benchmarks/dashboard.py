"""How long a study's page waits for its data: ours beside stock optuna-dashboard.

Each turn is a process of its own that knows nothing yet. It asks for a study's data twice, as a
page does that was opened and then reloads, and for the importances. Both read the same SQLite file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal
from wsgiref.util import setup_testing_defaults

from rich.console import Console
from rich.table import Table

from benchmarks.past_trials import insert_finished
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.study_file.goals import Objective
from hpsearch.study_file.space import Choice, Group, Range, Space
from hpsearch.study_file.study import Budget, Component, StudyFile

Side = Literal["ours", "stock"]

#: Eight parameters, of every kind.
SPACE = Space(
    Group(
        {
            **{f"rate_{n}": Range(low=1e-4, high=1.0, log=True) for n in range(5)},
            "units": Range(low=16, high=128, step=16, integer=True),
            "momentum": Range(low=0.0, high=0.99),
            "activation": Choice(("relu", "gelu", "silu")),
        }
    )
)


@dataclass(frozen=True)
class Waited:
    """Seconds of wall time until the answer was complete, and its size."""

    first: float
    again: float
    importances: float
    megabytes: float


def fill(url: str, trials: int, epochs: int) -> None:
    """Create a study with ``trials`` finished trials."""
    document = {
        "study": "big",
        "objective": {"metric": "val_accuracy", "at": "last"},
        "pruner": {"none": {}},
        "budget": {"trials": trials, "epochs_per_trial": epochs},
    }
    file = StudyFile(
        name="big",
        description="",
        seed=0,
        objective=Objective(metric="val_accuracy", at="last"),
        budget=Budget(trials=trials, epochs_per_trial=epochs),
        sampler=Component("random"),
        pruner=Component("none"),
        space=SPACE,
        try_first=(),
        plugins=(),
        text="study: big\n",
        document=document,
    )
    with closing(Database(url)) as database:
        ensure_tables(database)
        stored = studies.attach(database, file)
        insert_finished(database, stored.study_id, SPACE, trials, epochs_each=epochs)


def waited(side: Side, url: str) -> Waited:
    """Measure one cold process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (side, url))


def _measure(side: Side, url: str) -> Waited:
    application = _ours(url) if side == "ours" else _stock(url)

    def seconds(path: str) -> tuple[float, int]:
        began = time.perf_counter()
        size = len(_get(application, path))
        return time.perf_counter() - began, size

    first, size = seconds("/api/studies/1")
    again, _ = seconds("/api/studies/1")
    importances, _ = seconds("/api/studies/1/param_importances")
    return Waited(first, again, importances, size / 1e6)


def _ours(url: str) -> Any:
    import optuna_dashboard  # noqa: F401  # imported by both before the clock runs

    from hpsearch.dashboard.app import application

    return application(Database(url, read_only=True))


def _stock(url: str) -> Any:
    import optuna_dashboard

    return optuna_dashboard.wsgi(url)


def _get(application: Any, path: str) -> bytes:
    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
    environ["HTTP_ACCEPT_ENCODING"] = "gzip"
    setup_testing_defaults(environ)
    response: list[Any] = []
    take: Callable[..., Any] = lambda *arguments: response.extend(arguments)  # noqa: E731
    body = b"".join(application(environ, take))
    if not str(response[0]).startswith("200"):
        raise RuntimeError(f"{path}: {response[0]}")
    return body


def main(arguments: list[str] | None = None) -> None:
    """Print the medians of both sides, and how many times longer the stock dashboard takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args(arguments)
    table = Table(
        title=f"{options.epochs} epochs, {len(SPACE.parameters())} parameters; medians of "
        f"{options.turns} cold processes each, in turns (load at the start "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)"
    )
    for column in ("trials", "", "first answer", "again", "importances", "sent"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for trials in options.trials:
            url = f"sqlite:///{Path(folder) / f'{trials}.db'}"
            fill(url, trials, options.epochs)
            sides: tuple[Side, ...] = ("ours", "stock")
            turns = [[waited(side, url) for side in sides] for _ in range(options.turns)]
            ours, stock = ([astuple(turn[place]) for turn in turns] for place in (0, 1))
            for side, samples in (("ours", ours), ("stock", stock)):
                *times, size = map(statistics.median, zip(*samples, strict=True))
                cells = [f"{seconds:.2f} s" for seconds in times]
                table.add_row(f"{trials:,}", side, *cells, f"{size:.1f} MB")
            ratios = [
                statistics.median(
                    theirs[place] / mine[place] for mine, theirs in zip(ours, stock, strict=True)
                )
                for place in range(3)
            ]
            table.add_row("", "stock / ours", *(f"{factor:.1f}" for factor in ratios), "")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
