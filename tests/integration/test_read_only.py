"""A Postgres that takes no writes for a while, as after a failover or on a full disk: it is waited
for, with a new connection, and everything is written once.
"""

from __future__ import annotations

import threading

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from support.ledger import open_search
from support.searching import study_file

from hpsearch.errors import StorageError
from hpsearch.search.database.storage import Database, Patience


@pytest.fixture
def url(postgres):
    """A database of its own: others must not see it read-only."""
    from hpsearch.search.database.schema_version import ensure_tables

    url = postgres.create()
    database = Database(url)
    ensure_tables(database)
    database.close()
    yield url
    postgres.drop(url)


def test_a_read_only_server_is_waited_for(postgres, url):
    """Sessions that began while it was read-only stay so: only a new one may write again."""
    database = Database(url, Patience(seconds=float("inf")))
    opened = open_search(database, study_file(trials=1))
    hand = opened.hand()
    claim = hand.started()
    postgres.set_read_only(url, True)
    waits = threading.Event()
    real, refused = database._once, []

    def once(work, *, writes):
        try:
            return real(work, writes=writes)
        except Exception as error:
            refused.append(getattr(error, "orig", None))
            if len([each for each in refused if _sqlstate(each) == "25006"]) >= 2:
                waits.set()
            raise

    database._once = once
    answers: list[str] = []
    reporter = threading.Thread(target=lambda: answers.append(hand.report(claim, 1, 0.5)))
    reporter.start()
    assert waits.wait(timeout=240)
    assert answers == []
    assert opened.counts().running == 1, "reading goes on"
    postgres.set_read_only(url, False)
    reporter.join(timeout=240)
    assert answers == ["continue"]
    assert hand.report(claim, 2, 0.5) == "continue"
    assert opened.ticket().epochs_done == 2
    assert opened.events() == ["claimed", "started"]
    database.close()


def test_a_server_that_stays_read_only_is_told(postgres, url):
    postgres.set_read_only(url, True)
    database = Database(url, Patience(seconds=0.3))
    with pytest.raises(StorageError, match=r"within 0\.3 s, but .*read-only transaction"):
        open_search(database, study_file())
    database.close()


def test_no_room_for_one_more_connection_is_waited_for(postgres, url):
    """A role's or a database's limit gives the same answer as the server's."""
    name = sql.Identifier(str(make_url(url).database))
    postgres.execute("DROP ROLE IF EXISTS guest")
    postgres.execute("CREATE ROLE guest LOGIN")
    try:
        postgres.execute(sql.SQL("ALTER DATABASE {} OWNER TO guest").format(name))
        postgres.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest", url)
        postgres.execute("ALTER ROLE guest CONNECTION LIMIT 0")
        guest = Database(make_url(url).set(username="guest").render_as_string(False))
        with pytest.raises(StorageError, match="too many connections"):
            Database(str(guest.url), Patience(seconds=0.3)).read(lambda connection: None)
        timer = threading.Timer(0.5, postgres.execute, ["ALTER ROLE guest CONNECTION LIMIT -1"])
        timer.start()
        guest.read(lambda connection: None)
        timer.join()
        guest.close()
    finally:
        postgres.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(name))
        postgres.execute("DROP OWNED BY guest", url)
        postgres.execute("DROP ROLE guest")


def _sqlstate(error):
    return getattr(error, "sqlstate", None)
