"""The note of a pruning audit without an estimate names the trials that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from hpsearch.reporting.blocks import Text
from hpsearch.reporting.labels import Unit
from hpsearch.reporting.pruning_audit import KeptTrial, PruningAudit
from hpsearch.reporting.sections.running import pruning

KEPT = KeptTrial(number=3, epoch=1, value=0.8, epochs_run=4)


@pytest.mark.parametrize(
    ("spared", "start"),
    [([], "The audit kept no trial"), ([KEPT], "Only trials that the audit kept")],
)
def test_an_unknown_share_has_its_reason(spared: Sequence[KeptTrial], start: str) -> None:
    audit = PruningAudit(
        pruned=1,
        epochs_saved=3,
        epochs_paid=3 * len(spared),
        spared=spared,
        falsely_pruned=0,
        false_rate=None,
        false_interval=None,
        regret=None,
        rungs=(),
    )
    costs = SimpleNamespace(audit=audit, epochs_saved=3, share_saved=0.4)
    content: Any = SimpleNamespace(costs=costs, unit=Unit("val_accuracy"))
    [note] = [block.text for block in pruning(content).blocks if isinstance(block, Text)]
    assert note.startswith(start)
    assert note.endswith("so the share of falsely stopped trials is unknown.")
