"""A process waits, or ends, at a named step and nowhere else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hpsearch import failpoints
from hpsearch.failpoints import WAIT_VARIABLE, FailPoint, hit


def test_a_process_waits_at_its_visit_until_the_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    failpoints._visits.clear()
    monkeypatch.setenv(WAIT_VARIABLE, f"claimed:1:{tmp_path}/none,epoch_reported:2:{gate}")
    hit(FailPoint.CLAIMED)
    hit(FailPoint.EPOCH_REPORTED)
    waits = threading.Thread(target=hit, args=(FailPoint.EPOCH_REPORTED,))
    waits.start()
    waits.join(0.3)
    assert waits.is_alive()
    gate.unlink()
    waits.join(240)
    assert not waits.is_alive()
    gate.touch()
    hit(FailPoint.EPOCH_REPORTED)
    failpoints._visits.clear()
