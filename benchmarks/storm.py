"""Storms of kills, stops and outages over hpsearch and over stock Optuna, seed by seed.

``make storm``, or ``python -m benchmarks.storm --seeds 3 --seconds 60``. Each storm is a study of
real training on two processes' worth of cores with four workers; its blows come from its seed, so
both libraries are hit at the same seconds by the same things.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

# The storms are the tests' own.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.postgres import PostgresServer, running_server
from support.stormy_study import Figures, Setting, Tally, undisturbed
from support.stormy_study import weather_the_storm as over_hpsearch
from support.weather import PostgresWeather, SqliteWeather, Weather

from benchmarks.optuna_storm import weather_the_storm as over_optuna

#: Some seconds between two blows: enough that work gets done, too little to rest.
SETTING = Setting(
    trials=24, epochs=8, lease=5.0, checkpoint=2.0, gap=(1.0, 4.0), blows=10_000, longest=600
)

COLUMNS = {
    "seed": "seed",
    "database": "database",
    "kills": "kills",
    "stops": "stops",
    "outages": "outages",
    "asked": "asked",
    "finished": "finished",
    "lost": "lost",
    "doubled": "doubled",
    "redone": "epochs again",
    "different": "wrong curves",
    "gave_up": "restarts by hand",
    "seconds": "seconds",
}


@contextmanager
def place(kind: str, folder: Path, server: PostgresServer) -> Iterator[tuple[str, Weather]]:
    """Yield a new database and what a storm can do to it."""
    if kind == "sqlite":
        url = f"sqlite:///{folder}/storm.db"
        yield url, SqliteWeather(url)
        return
    url = server.create()
    yield url, PostgresWeather(server, url)
    server.drop(url)


def one_storm(
    library: str, kind: str, seed: int, server: PostgresServer, setting: Setting, expected: Figures
) -> Tally:
    """Run one storm over one library on one kind of database."""
    with tempfile.TemporaryDirectory(prefix="storm-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        with place(kind, folder, server) as (url, weather):
            if library == "optuna":
                return over_optuna(folder, url, weather, seed, setting)
            return over_hpsearch(folder, url, weather, seed, setting, expected)


def cells(seed: int, kind: str, tally: Tally) -> list[str]:
    """Return one line of the table."""
    known = {"seed": seed, "database": kind}
    values = [known.get(name, getattr(tally, name, None)) for name in COLUMNS]
    return [f"{value:.0f}" if isinstance(value, float) else str(value) for value in values]


def total(tallies: list[Tally]) -> list[str]:
    """Return the sums of all storms."""
    sums = [
        sum(getattr(tally, name) for tally in tallies) if name not in ("seed", "database") else ""
        for name in COLUMNS
    ]
    return ["all", *(f"{value:.0f}" if value != "" else "" for value in sums[1:])]


def main() -> None:
    """Print a table per library; exit 1 where a storm over hpsearch wasn't exact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="storms of each kind")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--trials", type=int, default=SETTING.trials, help="trials of each storm")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--libraries", default="hpsearch,optuna")
    options = parser.parse_args()
    setting = replace(SETTING, trials=options.trials)
    console = Console()
    exact = True
    with tempfile.TemporaryDirectory(prefix="storm-") as calm:
        os.environ.setdefault("HPSEARCH_RUNS", f"{calm}/runs")
        expected = undisturbed(Path(calm), setting)
    with running_server(Path(tempfile.gettempdir()) / f"hpsearch-storm-{os.getpid()}") as server:
        for library in options.libraries.split(","):
            table = Table(title=f"{library}: {setting.trials} trials of {setting.epochs} epochs")
            for title in COLUMNS.values():
                table.add_column(title, justify="right")
            tallies = []
            for seed in range(options.first, options.first + options.seeds):
                for kind in options.databases.split(","):
                    tally = one_storm(library, kind, seed, server, setting, expected)
                    tallies.append(tally)
                    table.add_row(*cells(seed, kind, tally))
                    console.log(library, kind, tally)
                    exact &= library != "hpsearch" or is_exact(tally)
            table.add_section()
            table.add_row(*total(tallies))
            console.print(table)
    sys.exit(0 if exact else 1)


def is_exact(tally: Tally) -> bool:
    """Whether a storm left exactly what was asked for."""
    wrong = (tally.lost, tally.doubled, tally.failed, tally.different, tally.gave_up)
    return tally.ended and not any(wrong) and not tally.problems


if __name__ == "__main__":
    main()
