"""What a storm's checks see: each fault that a storm may leave is planted, and must be found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import torch
from sqlalchemy.engine import Connection
from support.crews import Crew, Member
from support.launches import Launch
from support.storms import Storm
from support.stormy_study import Setting, Tally, is_exact, study_of, tally_of
from support.trials import open_small
from support.weather import SqliteWeather

from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import epochs, events, tickets

SETTING = Setting(
    trials=2, epochs=2, lease=30.0, checkpoint=1e-6, gap=(1.0, 1.0), blows=0, longest=0.0
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that nobody disturbed: ``storm.db`` and ``runs``."""
    folder = tmp_path_factory.mktemp("calm")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with closing(Database(f"sqlite:///{folder}/storm.db")) as database:
        ensure_tables(database)
        open_small(database, folder, folder / "data", text=study_of(SETTING)).run_all()
    torch.set_num_threads(before)
    return folder


class Left:
    """A copy of the calm study, in which a test plants a fault."""

    def __init__(self, calm: Path, folder: Path) -> None:
        shutil.copytree(calm, folder)
        url = f"sqlite:///{folder}/storm.db"
        self.folder = folder
        self.launch = Launch(folder, url, study_of(SETTING))
        self.expected = self.launch.figures()
        self.ended = True
        member = Member(["true"], {}, folder, supervises=False)
        self.storm = Storm(Crew([member]), SqliteWeather(url), iter(()))
        assert self.storm.wait_for_crew(60)

    def damage(self, work: Callable[[Connection], object]) -> None:
        self.launch.database.write(lambda connection: work(connection) and None)

    def again(self, table: sa.Table, where: Any, **changes: Any) -> None:
        """Write a row a second time, with ``changes``."""

        def work(connection: Connection) -> None:
            row = connection.execute(sa.select(table).where(where)).mappings().first()
            assert row is not None
            connection.execute(sa.insert(table).values({**row, **changes}))

        self.launch.database.write(work)

    def tally(self) -> Tally:
        return tally_of(
            self.launch,
            self.folder / "runs",
            self.storm,
            SETTING,
            self.expected,
            ended=self.ended,
            seconds=1.0,
        )


@pytest.fixture
def left(calm: Path, tmp_path: Path):
    made = Left(calm, tmp_path / "left")
    yield made
    made.storm.crew.end()
    made.launch.end()


def a_lost_ticket(left: Left) -> None:
    left.damage(lambda each: each.execute(sa.delete(tickets).where(tickets.c.ticket == 2)))


def a_trial_that_never_ended(left: Left) -> None:
    left.damage(
        lambda each: each.execute(
            sa.update(tickets).where(tickets.c.ticket == 2).values(state="running")
        )
    )


def a_budget_over_by_one(left: Left) -> None:
    left.again(tickets, tickets.c.ticket == 2, ticket=3, number=2, trial_id=None, claim_key="k")


def a_trial_that_ended_twice(left: Left) -> None:
    left.again(events, events.c.kind == "complete", event_id=None)


def a_trial_that_failed(left: Left) -> None:
    left.damage(
        lambda each: each.execute(
            sa.update(tickets).where(tickets.c.ticket == 2).values(state="failed")
        )
    )


def an_epoch_that_is_missing(left: Left) -> None:
    left.damage(
        lambda each: each.execute(
            sa.delete(epochs).where(epochs.c.ticket == 1, epochs.c.epoch == 1)
        )
    )


def an_epoch_that_counts_twice(left: Left) -> None:
    left.again(epochs, epochs.c.epoch == 2, epoch=3)


def another_curve(left: Left) -> None:
    """As after a checkpoint that lacks a state: the last digits alone."""
    left.damage(
        lambda each: each.execute(
            sa.update(epochs)
            .where(epochs.c.ticket == 1, epochs.c.epoch == 2)
            .values(train_loss=epochs.c.train_loss * (1 + 1e-12))
        )
    )


def more_than_a_checkpoints_interval_lost(left: Left) -> None:
    detail = '{"pid": 1, "epochs_done": 2, "checkpoint_epoch": null}'
    left.again(
        events, events.c.kind == "complete", event_id=None, kind="resumed", attempt=2, detail=detail
    )


def a_row_of_optuna_that_differs(left: Left) -> None:
    left.damage(lambda each: each.execute(sa.text("UPDATE trial_values SET value = value + 0.25")))


def weights_that_are_damaged(left: Left) -> None:
    (best,) = (left.folder / "runs").rglob("best.pt")
    best.write_bytes(best.read_bytes()[:-1000])


def a_checkpoint_that_is_left_over(left: Left) -> None:
    (best,) = (left.folder / "runs").rglob("best.pt")
    best.with_name("epoch-0001.attempt-1.pt").write_bytes(b"x")


def a_traceback(left: Left) -> None:
    (left.folder / "crew.log").write_text("Traceback (most recent call last)\n")


def a_worker_that_gave_up(left: Left) -> None:
    (member,) = left.storm.crew.members
    member.command, member.done = ["false"], False
    member.start()
    assert member.process is not None
    member.process.wait()
    left.storm.crew.tend()


def test_a_calm_study_is_exact(left: Left) -> None:
    tally = left.tally()
    assert is_exact(tally, SETTING), tally


@pytest.mark.parametrize(
    ("plant", "seen"),
    [
        (a_lost_ticket, "lost"),
        (a_trial_that_never_ended, "lost"),
        (a_budget_over_by_one, "doubled"),
        (a_trial_that_ended_twice, "doubled"),
        (a_trial_that_failed, "failed"),
        (an_epoch_that_is_missing, "different"),
        (an_epoch_that_counts_twice, "different"),
        (another_curve, "different"),
        (more_than_a_checkpoints_interval_lost, "worst_loss"),
        (a_row_of_optuna_that_differs, "problems"),
        (weights_that_are_damaged, "problems"),
        (a_checkpoint_that_is_left_over, "problems"),
        (a_traceback, "tracebacks"),
        (a_worker_that_gave_up, "gave_up"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_fault_is_seen(left: Left, plant: Callable[[Left], None], seen: str) -> None:
    plant(left)
    tally = left.tally()
    assert getattr(tally, seen), tally
    assert not is_exact(tally, SETTING)


def test_a_crew_that_never_ended_is_seen(left: Left) -> None:
    left.ended = False
    assert not is_exact(left.tally(), SETTING)
