"""A process waits, or ends, at a named step and nowhere else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hpsearch import kill_points
from hpsearch.kill_points import WAIT_VARIABLE, Step, passing


def test_a_process_waits_at_its_visit_until_the_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    kill_points._visits.clear()
    monkeypatch.setenv(WAIT_VARIABLE, f"claimed:1:{tmp_path}/none,epoch_reported:2:{gate}")
    passing(Step.CLAIMED)
    passing(Step.EPOCH_REPORTED)
    waits = threading.Thread(target=passing, args=(Step.EPOCH_REPORTED,))
    waits.start()
    waits.join(0.3)
    assert waits.is_alive()
    gate.unlink()
    waits.join(240)
    assert not waits.is_alive()
    gate.touch()
    passing(Step.EPOCH_REPORTED)
    kill_points._visits.clear()
