"""Databases that are locked, cut off or restarted: writes wait, and succeed once."""

from __future__ import annotations

import shutil
import sqlite3
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from support.ledger import line_row, open_search
from support.searching import study_file

from hpsearch.errors import StorageError
from hpsearch.search.database.storage import Database, GaveUpWaiting, Patience
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.statements import lock_study


@pytest.fixture
def sqlite_path(tmp_path, sqlite_template):
    path = tmp_path / "hpsearch.db"
    shutil.copy(sqlite_template, path)
    return path


class WriteLock:
    """Another program that holds SQLite's write lock, until it is told to release it."""

    def __init__(self, path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("BEGIN IMMEDIATE")
        self.timer: threading.Timer | None = None
        self.is_held = True

    def release_after(self, seconds: float) -> None:
        self.timer = threading.Timer(seconds, self._release)
        self.timer.start()

    def _release(self) -> None:
        self.is_held = False
        self.connection.execute("ROLLBACK")

    def __enter__(self) -> WriteLock:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer.join()
        self.connection.close()


def test_a_locked_sqlite_file_is_waited_for(sqlite_path):
    """3 s, three times the busy wait of a single attempt; reads go on meanwhile."""
    database = Database(f"sqlite:///{sqlite_path}", Patience(seconds=30))
    opened = open_search(database, study_file(trials=1))
    hand = opened.hand()
    claim = hand.started()
    with WriteLock(sqlite_path) as lock:
        assert opened.counts().running == 1, "a reader needs no lock"
        lock.release_after(3.0)
        assert hand.report(claim, 1, 0.5) == "continue"
        assert not lock.is_held
    assert opened.ticket().epochs_done == 1
    assert opened.events() == ["claimed", "started"]
    database.close()


def test_a_lock_that_outlasts_the_patience_is_told(sqlite_path):
    database = Database(f"sqlite:///{sqlite_path}", Patience(seconds=0.2))
    with WriteLock(sqlite_path), pytest.raises(StorageError) as caught:
        open_search(database, study_file())
    assert "must answer within 0.2 s" in str(caught.value)
    assert "database is locked" in str(caught.value)
    database.close()


def test_a_worker_leaves_a_locked_database_when_it_is_told_to(sqlite_path):
    leave = threading.Event()
    patience = Patience(seconds=float("inf"), interrupted=leave.is_set)
    database = Database(f"sqlite:///{sqlite_path}", patience)
    opened = open_search(database, study_file())
    with WriteLock(sqlite_path):  # for ever
        threading.Timer(0.3, leave.set).start()
        with pytest.raises(GaveUpWaiting):
            opened.hand().claim()
    assert opened.counts().total == 0
    database.close()


def test_threads_of_one_worker_share_a_database(sqlite_path):
    """The training loop reports while the lease keeper renews."""
    database = Database(f"sqlite:///{sqlite_path}")
    opened = open_search(database, study_file(trials=1, epochs=30))
    hand = opened.hand()
    claim = hand.started()
    answers: list[int] = []

    def keep() -> None:
        answers.extend(hand.ledger.renew(claim) for _ in range(20))

    keeper = threading.Thread(target=keep)
    keeper.start()
    for epoch in range(1, 30):
        assert hand.report(claim, epoch, 0.5) == "continue"
    keeper.join()
    assert hand.report(claim, 30, 0.5) == "complete"
    assert answers == [0] * 20
    assert opened.ticket().epochs_done == 30
    database.close()


@pytest.fixture
def on_postgres(postgres, postgres_prepared):
    database = Database(postgres_prepared)
    yield database
    database.close()
    postgres.empty(postgres_prepared)


def test_a_connection_cut_between_two_writes_is_replaced(on_postgres, postgres, postgres_prepared):
    opened = open_search(on_postgres, study_file(trials=1))
    hand = opened.hand()
    claim = hand.started()
    for epoch, decision in ((1, "continue"), (2, "continue"), (3, "complete")):
        assert postgres.cut_connections(postgres_prepared) >= 1
        assert hand.report(claim, epoch, 0.5) == decision
    assert opened.events() == ["claimed", "started", "complete"]


def test_a_connection_cut_within_a_write_loses_and_doubles_nothing(
    on_postgres, postgres, postgres_prepared, monkeypatch
):
    """Between the fence and the commit: the transaction is gone whole, and made again whole."""
    opened = open_search(on_postgres, study_file(trials=1))
    hand = opened.hand()
    claim = hand.claim()
    cuts = []
    insert = Ledger._insert_trial

    def cut_after(self, connection, *args):
        answer = insert(self, connection, *args)
        if not cuts:
            cuts.append(postgres.cut_connections(postgres_prepared))
        return answer

    monkeypatch.setattr(Ledger, "_insert_trial", cut_after)
    hand.ledger.start(claim, line_row(0.5))
    assert cuts == [1]
    assert [trial.params for trial in opened.trials()] == [{"lr": 0.5}]
    assert opened.events() == ["claimed", "started"]


def test_a_lock_held_too_long_on_postgres_is_waited_for(on_postgres, postgres_prepared):
    """Another session holds the study's row; claims wait, and take turns afterwards."""
    opened = open_search(on_postgres, study_file(trials=2))
    other = Database(postgres_prepared)
    held, release = threading.Event(), threading.Event()

    def hold(connection):
        lock_study(connection, opened.study_id)
        held.set()
        release.wait(timeout=240)

    holder = threading.Thread(target=lambda: other.write(hold))
    holder.start()
    held.wait(timeout=240)
    threading.Timer(0.5, release.set).start()
    assert opened.hand().claim().ticket == 1
    assert release.is_set(), "it didn't wait"
    holder.join()
    other.close()


def test_reports_do_not_wait_for_claims(on_postgres, postgres_prepared):
    """Whoever counts tickets holds the study's lock; training elsewhere must not feel it."""
    opened = open_search(on_postgres, study_file(trials=1))
    hand = opened.hand()
    claim = hand.started()
    other = Database(postgres_prepared)

    def hold(connection):
        lock_study(connection, opened.study_id)
        # If they waited for the lock, it would be for ever: it is released when `hold` returns
        hand.report(claim, 1, 0.5)
        hand.ledger.renew(claim)

    other.write(hold)
    other.close()


def test_every_session_speaks_utc(on_postgres, postgres, postgres_prepared):
    """With mixed session time zones a fresh time looks stale."""
    name = make_url(postgres_prepared).database
    postgres.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    show = sa.text("SHOW timezone")
    assert on_postgres.read(lambda connection: connection.execute(show).scalar()) == "UTC"
    postgres.execute(f"ALTER DATABASE {name} RESET timezone")
