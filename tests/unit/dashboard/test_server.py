from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from hpsearch.dashboard.app import dashboard_server
from hpsearch.errors import DatabaseReplaced, NothingStored, StorageError, UserError
from hpsearch.search.database.storage import Database, Patience


@contextmanager
def serving(database: Database, host: str = "127.0.0.1") -> Iterator[str]:
    with dashboard_server(database, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_study_is_served(searched):
    with serving(searched.database) as url:
        with urllib.request.urlopen(f"{url}/api/studies", timeout=240) as answer:
            (study,) = json.load(answer)["study_summaries"]
        with urllib.request.urlopen(
            f"{url}/api/studies/{study['study_id']}", timeout=240
        ) as answer:
            detail = json.load(answer)
    assert study["study_name"] == "made_up"
    assert detail["objective_names"] == ["val_accuracy"]
    assert len(detail["trials"]) == 7
    assert [trial["number"] for trial in detail["best_trials"]] == [2]


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_the_study_cant_be_deleted(searched, method):
    with serving(searched.database) as url:
        request = urllib.request.Request(f"{url}/api/studies/1", method=method, data=b"{}")
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=240)
        raised.value.close()
        assert raised.value.code == 405
        with urllib.request.urlopen(f"{url}/api/studies", timeout=240) as answer:
            assert len(json.load(answer)["study_summaries"]) == 1


def test_a_database_that_is_deleted_ends_the_server(searched):
    """It would go on showing what nobody else sees any more."""
    with dashboard_server(searched.database, "127.0.0.1", 0) as server:
        raised: list[BaseException] = []

        def serve() -> None:
            try:
                server.serve_forever(poll_interval=0.01)
            except DatabaseReplaced as error:
                raised.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        with urllib.request.urlopen(
            f"http://127.0.0.1:{server.server_port}/api/studies", timeout=240
        ) as answer:
            assert answer.status == 200
        Path(str(searched.database.url.database)).unlink()
        thread.join(timeout=240)
    assert "deleted or moved" in str(raised[0])


def test_even_the_database_refuses_its_writes(prepared_url):
    database = Database(prepared_url, Patience(seconds=0.2), read_only=True)
    try:
        with pytest.raises(
            (OperationalError, sa.exc.InternalError, StorageError), match=r"read-?only|readonly"
        ):
            database.write(lambda each: each.execute(sa.text("DELETE FROM studies")))
        assert database.read(lambda each: each.execute(sa.text("SELECT 1")).scalar_one()) == 1
    finally:
        database.close()


def test_ipv6_works_too(searched):
    with (
        serving(searched.database, "::1") as url,
        urllib.request.urlopen(f"{url}/api/studies", timeout=240) as answer,
    ):
        assert answer.status == 200


def test_a_port_that_is_taken(searched):
    with dashboard_server(searched.database, "127.0.0.1", 0) as first:
        port = first.server_port
        with (
            pytest.raises(UserError, match=f"127.0.0.1:{port} can't be used .*another --port"),
            dashboard_server(searched.database, "127.0.0.1", port),
        ):
            pass


def test_no_database_is_created(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(NothingStored), dashboard_server(database, "127.0.0.1", 0):
        pass
    assert list(tmp_path.iterdir()) == []
