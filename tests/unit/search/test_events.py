"""The event log's kinds: stored for ever, so none of them may change."""

from __future__ import annotations

from hpsearch.search.ledger.decision import Decision
from hpsearch.search.ledger.events import EventKind

#: What databases of earlier versions contain.
STORED = {
    "attempt_failed", "budget_changed", "checkpoint", "checkpoint_forgotten", "checkpoint_skipped",
    "checkpoint_unusable", "claimed", "complete", "epoch_redone", "failed", "forgotten",
    "infeasible", "invalidated", "latency_measured", "learned", "lease_expired", "no_room",
    "paused", "pruned", "reinstated", "released", "reopened", "repaired", "resumed", "spared",
    "started", "test_opened", "withdrawn", "worker_died", "write_refused",
}  # fmt: skip


def test_stored_kinds_keep_their_values():
    assert {kind.value for kind in EventKind} >= STORED


def test_stored_decisions_keep_their_values():
    assert {decision.value for decision in Decision} == {
        "continue", "paused", "pruned", "complete", "spared",
    }  # fmt: skip
