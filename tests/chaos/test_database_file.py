"""A launch whose SQLite file is deleted, replaced or written over stops and says so."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.launches import STUDY, Launch

pytestmark = pytest.mark.timeout(1800)

PATIENCE = 300


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    launch = Launch(tmp_path, f"sqlite:///{tmp_path}/hpsearch.db", STUDY)
    yield launch
    launch.end()


#: How the file is lost -> what the launch says.
SAYS = {
    "deleted": "must stay in its place .* deleted or moved",
    "another file": "must stay in its place .* replaced by another file",
    # By its size or, if that is the same, by what it has lost; or SQLite itself finds pages of two
    # databases first
    "written over": (
        r"must not (.* by an older copy\.|be replaced by an older copy)|: database disk image is "
        r"malformed; restore a backup\. Before you put a copy in its place, stop every command"
    ),
    # By the file's absence, or by the transactions that were lost with it
    "its log deleted": (
        r"must not be (changed .* hpsearch\.db-wal was deleted|replaced by an older copy)"
    ),
}


@pytest.mark.parametrize("how", SAYS)
def test_a_launch_whose_database_goes_stops_with_one_message(
    launch: Launch, tmp_path: Path, how: str
) -> None:
    path, copy = tmp_path / "hpsearch.db", tmp_path / "copy.db"
    # A stored study without any trial: what somebody has as a backup
    launch.store()
    launch.database.close()
    shutil.copy(path, copy)
    launch.start(hold_after=[1])
    launch.held(seconds=PATIENCE)
    before = copy.read_bytes()
    match how:
        case "deleted":
            path.unlink()
        case "another file":
            copy.replace(path)
        case "written over":
            # Until a checkpoint the log holds every page, and nothing in the file counts
            with closing(sqlite3.connect(path, timeout=PATIENCE)) as other:
                while other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    pass  # somebody reads
            path.write_bytes(before)  # `cp copy.db hpsearch.db`
        case "its log deleted":
            path.with_name("hpsearch.db-wal").unlink()
    launch.let_go()
    assert launch.process is not None
    output, _ = launch.process.communicate(timeout=PATIENCE)
    malformed = how == "written over" and "malformed" in output
    assert launch.process.returncode == (2 if malformed else 1), output
    assert "Traceback" not in output
    assert output.count("error:") == 1
    assert re.search(rf"error: .*hpsearch\.db ?({SAYS[how]})", output)
    assert "finished;" not in output
    if how == "deleted":
        assert not path.exists(), "no empty database takes its place"
    elif how == "another file":
        assert path.read_bytes() == before
