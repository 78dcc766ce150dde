"""Storms of kills, stops and outages over hpsearch and over stock Optuna, seed by seed.

``make storm``, or ``python -m benchmarks.storm --seeds 3 --trials 10 --epochs 6``. Each storm is a
study of real training by four workers; its blows come from its seed, so both libraries are hit by
the same things at the same seconds.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

# The storms are those of the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.postgres import PostgresServer, running_server
from support.stormy_study import Figures, Setting, Tally, is_exact, undisturbed
from support.stormy_study import weather_the_storm as over_hpsearch
from support.weather import PostgresWeather, SqliteWeather, Weather

from benchmarks.optuna_storm import weather_the_storm as over_optuna

#: A few seconds between two blows, so that some work is done in between. Ten seeds on two databases
#: with two libraries are forty storms, which take about an hour.
SETTING = Setting(
    trials=6, epochs=6, lease=5.0, checkpoint=2.0, gap=(1.0, 6.0), blows=10_000, longest=60
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
    "tracebacks": "tracebacks",
    "seconds": "seconds",
}


#: (seed, kind of database) -> the result of the storm.
Tallies = dict[tuple[int, str], Tally]


@contextmanager
def place(kind: str, folder: Path, server: PostgresServer) -> Iterator[tuple[str, Weather]]:
    """Yield a new database and the blows that it can receive."""
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
    """Run one storm with one library on one kind of database."""
    with tempfile.TemporaryDirectory(prefix="storm-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        with place(kind, folder, server) as (url, weather):
            if library == "optuna":
                return over_optuna(folder, url, weather, seed, setting)
            return over_hpsearch(folder, url, weather, seed, setting, expected)


def cells(seed: int, kind: str, tally: Tally) -> list[str]:
    """Return one line of the table."""
    labels = {"seed": seed, "database": kind}
    values = [labels.get(name, getattr(tally, name, None)) for name in COLUMNS]
    return [f"{value:.0f}" if isinstance(value, float) else str(value) for value in values]


def total(tallies: list[Tally]) -> list[str]:
    """Return the sums of all storms."""
    sums = [
        sum(getattr(tally, name) for tally in tallies) if name not in ("seed", "database") else ""
        for name in COLUMNS
    ]
    return ["all", *(f"{value:.0f}" if value != "" else "" for value in sums[1:])]


def table_of(library: str, tallies: Tallies, setting: Setting) -> Table:
    """Return one line per storm, and the sums."""
    table = Table(title=f"{library}: {setting.trials} trials of {setting.epochs} epochs a storm")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for (seed, kind), tally in tallies.items():
        table.add_row(*cells(seed, kind, tally))
    table.add_section()
    table.add_row(*total(list(tallies.values())))
    return table


def main() -> None:
    """Print a table per library; exit with 1 if hpsearch wasn't exact in a storm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="storms of each kind")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--trials", type=int, default=SETTING.trials, help="trials of each storm")
    parser.add_argument("--epochs", type=int, default=SETTING.epochs, help="epochs of each trial")
    parser.add_argument("--longest", type=float, default=SETTING.longest, help="seconds of a storm")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--libraries", default="hpsearch,optuna")
    options = parser.parse_args()
    setting = replace(
        SETTING, trials=options.trials, epochs=options.epochs, longest=options.longest
    )
    # SIGTERM must run the clean-up too, so that no worker and no server is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(width=160)
    exact = True
    results: dict[str, Tallies] = {library: {} for library in options.libraries.split(",")}
    with tempfile.TemporaryDirectory(prefix="storm-") as calm:
        os.environ.setdefault("HPSEARCH_RUNS", f"{calm}/runs")
        expected = undisturbed(Path(calm), setting)
    with running_server(Path(tempfile.gettempdir()) / f"hpsearch-storm-{os.getpid()}") as server:
        # In turns, so that both libraries run on the machine in the same hour.
        for seed in range(options.first, options.first + options.seeds):
            for kind in options.databases.split(","):
                for library, tallies in results.items():
                    tally = one_storm(library, kind, seed, server, setting, expected)
                    tallies[seed, kind] = tally
                    load = os.getloadavg()[1]
                    console.log(library, seed, kind, tally, f"load of 5 minutes: {load:.1f}")
                    exact &= library != "hpsearch" or is_exact(tally, setting)
    for library, tallies in results.items():
        console.print(table_of(library, tallies, setting))
    sys.exit(0 if exact else 1)


if __name__ == "__main__":
    main()
