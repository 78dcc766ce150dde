"""Trials that kill, hang or starve their workers end with their reason, and the study goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState
from support.commands import Ran
from support.launches import Launch
from support.ledger import optuna_study
from support.poison import KINDS, poison_study

from hpsearch.results.error_text import first_line

pytestmark = pytest.mark.timeout(1800)

GOOD = 3

#: What `status` says of each kind, how often it is tried, and what Optuna sees.
EXPECTED = {
    "raise": ("RuntimeError: poison", {3}, TrialState.FAIL),
    "nan": ("the training loss must be a finite number", {1}, TrialState.FAIL),
    "memory": ("out of memory on cpu: at most ", {2}, TrialState.PRUNED),
    "cuda": ("out of memory on cpu: at most ", {2}, TrialState.PRUNED),
    "cpu": ("out of memory on cpu: at most ", {2}, TrialState.PRUNED),
    "segfault": ("the worker process died (SIGSEGV)", {3}, TrialState.FAIL),
    "hang": ("no progress for 6s: no batch was finished", {3}, TrialState.FAIL),
    # The lease is over before the supervisor kills the process; whoever is first says why.
    "stuck": ("no heartbeat for ", {3}, TrialState.FAIL),
}


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    study = poison_study(tmp_path, *KINDS, good=GOOD)
    made = Launch(tmp_path, f"sqlite:///{tmp_path}/hpsearch.db", study)
    yield made
    made.end()


def test_every_poison_ends_with_its_reason_and_the_study_goes_on(
    hpsearch: Callable[..., Ran], launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.start("--lease", "4")
    output = launch.finish(500)

    tickets = {each.ticket: each for each in launch.tickets()}
    assert sorted(tickets) == list(range(1, len(KINDS) + GOOD + 1)), "they count toward N"
    rows = {
        trial.number: trial
        for trial in optuna_study(launch.database, launch.name).get_trials(deepcopy=False)
    }
    assert len(rows) == len(tickets)
    for number, kind in enumerate(KINDS, start=1):
        ticket, (reason, attempts, state) = tickets[number], EXPECTED[kind]
        assert ticket.state == "failed", kind
        assert reason in first_line(ticket.last_error or ""), kind
        # On a starved machine a lease may run out in between; nothing is tried for ever.
        assert ticket.attempt in attempts | {max(attempts) + 1}, kind
        row = rows[ticket.number or 0]
        assert row.state is state, kind
        infeasible = state is TrialState.PRUNED
        assert (row.constraints.get("infeasible") == 1.0) is infeasible, kind
        assert ("memory_peak_mb" in row.user_attrs) is infeasible, kind
    asked = {kind: _row(rows, tickets, kind).get("memory_asked_mb") for kind in ("cuda", "cpu")}
    assert asked == {"cuda": 2684.4, "cpu": round(2**46 / 1e6, 1)}
    assert "in forward\n" in (tickets[KINDS.index("hang") + 1].last_error or "")

    good = [tickets[number] for number in range(len(KINDS) + 1, len(tickets) + 1)]
    assert [each.state for each in good] == ["complete"] * GOOD
    assert [each.epochs_done for each in good] == [2] * GOOD
    best = optuna_study(launch.database, launch.name).best_trial
    assert best.number in {each.number for each in good}

    assert "8 failed" in output
    assert "Segmentation fault" in output, "faulthandler tells the line"
    monkeypatch.setenv("COLUMNS", "200")
    status = ("status", "--study=storm", "--storage", launch.storage)
    told = hpsearch(*status).out
    assert "11 of 11 trials finished" in told
    # Numbers go by who starts first, tickets by who claims first.
    raising = tickets[KINDS.index("raise") + 1].number
    assert f"trial {raising} failed: RuntimeError: poison\n" in told
    assert hpsearch(*status, "--json").json["trials"] == {
        "total": 11, "complete": 3, "pruned": 0, "failed": 8,
        "running": 0, "paused": 0, "infeasible": 0,
    }  # fmt: skip


def _row(rows, tickets, kind: str) -> dict[str, object]:
    return rows[tickets[KINDS.index(kind) + 1].number].user_attrs
