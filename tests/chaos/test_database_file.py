"""A launch whose SQLite file is deleted, or replaced by an older copy, stops and says so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
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


@pytest.mark.parametrize("how", ["deleted", "an older copy"])
def test_a_launch_whose_database_goes_stops_with_one_message(
    launch: Launch, tmp_path: Path, how: str
) -> None:
    path, copy = tmp_path / "hpsearch.db", tmp_path / "copy.db"
    # A stored study without any trial: what somebody has as a backup
    launch.start(workers=0)
    launch.finish(PATIENCE)
    launch.database.close()
    shutil.copy(path, copy)
    launch.start()
    launch.wait_for(lambda: launch.running_after_epoch(1), PATIENCE)
    before = copy.read_bytes()
    path.unlink() if how == "deleted" else copy.replace(path)
    assert launch.process is not None
    output, _ = launch.process.communicate(timeout=PATIENCE)
    assert launch.process.returncode == 1, output
    assert "Traceback" not in output
    assert output.count("error:") == 1
    says = "deleted or moved" if how == "deleted" else "replaced by another file"
    assert re.search(rf"error: the SQLite file \S+hpsearch\.db must stay .*{says}", output)
    assert "finished;" not in output
    if how == "deleted":
        assert not path.exists(), "no empty database takes its place"
    else:
        assert path.read_bytes() == before
