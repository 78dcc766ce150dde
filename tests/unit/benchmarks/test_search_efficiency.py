"""The simulator behind docs/search-efficiency.md, on the recorded tables themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search_efficiency.contestants import DEFAULTS, METHODS, study_of
from benchmarks.search_efficiency.figures import (
    CHOSEN_ON,
    Interval,
    difference,
    interquartile_mean,
    speed,
    standing,
    verdict,
)
from benchmarks.search_efficiency.ours import FastSearch, LedgerSearch
from benchmarks.search_efficiency.recording import Training
from benchmarks.search_efficiency.replays import (
    MARKS,
    Reached,
    budget,
    reached,
    replay_all,
    replay_once,
)
from benchmarks.search_efficiency.simulation import Job, Searcher, Trace, simulate
from benchmarks.search_efficiency.spaces import TABLES
from benchmarks.search_efficiency.table import Table, branch_paths, read_table, write_table

table_named = cache(read_table)


class _OneRow:
    """Trains one configuration, and picks it from the first epoch on."""

    def __init__(self, row: int) -> None:
        self.row, self.given, self.reported = row, False, False

    def begin(self, worker: int) -> Job | None:
        if self.given:
            return None
        self.given = True
        return Job(key=0, row=self.row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> bool:
        self.reported = True
        return epoch < 5

    def diverged(self, worker: int, job: Job) -> None:
        raise AssertionError("the best row doesn't diverge")

    def pick(self) -> int | None:
        return self.row if self.reported else None


def _run(table: Table, searcher: Searcher, workers: int, replay: int = 0) -> Trace:
    seen, seconds = table.seen(replay), budget(table, workers)
    return simulate(searcher, table, seen, workers=workers, seconds=seconds)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_what_searches_need(name: str) -> None:
    table, recorded = table_named(name), TABLES[name]
    assert len(table) == recorded.spread + recorded.proposed
    for params, curves in zip(table.params, table.curves, strict=True):
        table.space.freeze(params)  # a whole point of the space
        for curve in curves:
            # An epoch that diverged took time and gave no figure
            assert len(curve.seconds) in (len(curve.val_accuracy), len(curve.val_accuracy) + 1)
            assert len(curve.val_accuracy) == table.epochs or curve.test_accuracy == recorded.chance
    repeated = [row for row, curves in enumerate(table.curves) if len(curves) == recorded.seeds]
    assert len(repeated) >= len(table) // 10


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    recorded = TABLES["emoji"]
    params = dict(table_named("emoji").params[0])
    trainings = [
        Training(
            row=0, repeat=0, params=params, test_accuracy=0.5, val_accuracy=[0.25, 0.5],
            val_loss=[1.5, 1.0], train_loss=[1.0, 0.5], seconds=[0.1, 0.2],
        ),
        Training(
            row=0, repeat=1, params=params, test_accuracy=None, val_accuracy=[0.25],
            val_loss=[1.5], train_loss=[1.0], seconds=[0.1, 0.3],
        ),
    ]  # fmt: skip
    write_table(recorded, trainings, tmp_path)
    table = read_table("emoji", tmp_path)
    assert table.params == [params]
    whole, diverged = table.curves[0]
    assert (whole.val_accuracy, whole.seconds, whole.test_accuracy) == (
        [0.25, 0.5],
        [0.1, 0.2],
        0.5,
    )
    assert (diverged.val_accuracy, diverged.seconds) == ([0.25], [0.1, 0.3])
    assert diverged.test_accuracy == TABLES["emoji"].chance


@pytest.mark.parametrize("name", TABLES)
def test_a_proposal_becomes_the_nearest_unused_row_of_its_branch(name: str) -> None:
    table = table_named(name)
    used = np.zeros(len(table), dtype=bool)
    paths = branch_paths(table.space)
    assert paths == ({"model", "optimizer"} if name != "fashion" else set())
    for row, params in enumerate(table.params):
        assert table.nearest_unused(params, used) == row
    wanted = table.params[0]
    same = [all(each[p] == wanted[p] for p in paths) for each in table.params]
    found = []
    for _ in range(len(table)):
        found.append(table.nearest_unused(wanted, used))
        assert not used[found[-1]]
        used[found[-1]] = True
    # Its own branch first, to the last row of it, and none twice
    assert sorted(found) == list(range(len(table)))
    assert all(same[row] for row in found[: sum(same)])
    with pytest.raises(LookupError, match="is used"):
        table.nearest_unused(wanted, used)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    "search",
    [
        (),
        ("pruner={asha: {}}", "pruner_audit=0.3", "sampler={tpe: {startup_trials: 4}}"),
        ("sampler=random", "pruner=none"),
    ],
)
def test_the_ledger_and_the_fast_replay_take_the_same_steps(
    workers: int, search: Sequence[str], tmp_path: Path
) -> None:
    table = table_named("emoji")
    study = study_of(table, 3, *search)
    fast = _run(table, FastSearch(table, study), workers)
    ledger = LedgerSearch(table, study, f"sqlite:///{tmp_path}/hpsearch.db")
    try:
        slow = _run(table, ledger, workers)
    finally:
        ledger.close()
    assert fast.trials > 8
    assert fast.events == slow.events
    assert fast.steps == slow.steps


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_replay_and_another_one_another(method: str) -> None:
    table = table_named("fashion")
    first, again, other = (
        _run(table, METHODS[method](table, seed), workers=4, replay=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.events != other.events
    rows = [row for _, row, epoch, _ in first.events if epoch == 1]
    assert len(set(rows)) == len(rows)  # no configuration is trained twice


def test_time_is_the_recorded_time_and_workers_share_the_budget() -> None:
    table = table_named("fashion")
    make = METHODS["random in full"]
    one = _run(table, make(table, 0), workers=1)
    four = _run(table, make(table, 0), workers=4)
    per_epoch = budget(table, 1) / one.steps[-1][1]
    recorded = np.mean([np.mean(curve.seconds) for curves in table.curves for curve in curves])
    assert 0.7 < per_epoch / recorded < 1.4
    assert 0.7 < four.steps[-1][1] / one.steps[-1][1] < 1.3
    assert four.steps[-1][0] <= budget(table, 4) == budget(table, 1) / 4
    assert {worker for worker, *_ in four.events} == {0, 1, 2, 3}


def test_an_oracle_has_no_regret_and_a_blind_choice_has_the_mean_of_all() -> None:
    table = table_named("small")
    best = int(np.argmax(table.truth))
    found = reached(table, _run(table, _OneRow(best), workers=1), 1, "oracle", 0)
    assert found.regret[0] == pytest.approx(0.0) or found.best_seen[0] == 0.0
    assert found.regret[1:] == [0.0] * (len(MARKS) - 1)
    assert found.within_quarter is not None and found.within_quarter[1] == 1
    nothing = reached(table, Trace(), 1, "nobody", 0)
    assert nothing.regret == pytest.approx([table.truth.max() - table.truth.mean()] * len(MARKS))
    assert nothing.within_1 is None


def test_replays_go_on_where_they_were(tmp_path: Path) -> None:
    table, file = table_named("fashion"), tmp_path / "replays.jsonl"
    methods = ["random in full", "random + ASHA 3"]
    first = list(replay_all([table], [4], methods, range(2), file))
    longer = list(replay_all([table], [4], methods, range(3), file))
    assert [each for each in longer if each.replay < 2] == first
    assert len(file.read_text().splitlines()) == len(longer) == 6
    assert longer[0] == replay_once(table, METHODS[methods[0]], 4, methods[0], 0)


def test_figures_of_replays() -> None:
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0])) == 3.5
    rng = np.random.default_rng(1)
    ours = rng.normal(0, 1, 60)
    theirs = ours + 0.1  # much noise, and every single pair says the same
    told = difference(theirs, ours)
    assert told.value == pytest.approx(0.1) and told.low > 0
    assert difference(ours, ours).high == 0
    assert speed(np.full(60, 0.5), np.full(60, 0.25)).low == 2.0

    def row(method: str, regret: float) -> Reached:
        return Reached(
            table="t", workers=1, method=method, replay=0, regret=[regret] * 5, best_seen=[0.0] * 5,
            within_1=None, within_quarter=None, epochs=1, trials=1,
        )  # fmt: skip

    ranks, behind = standing([row(DEFAULTS, 0.02), row("a", 0.01), row("b", 0.01)])
    assert ranks == {DEFAULTS: 3.0, "a": 1.5, "b": 1.5}
    assert behind[DEFAULTS][1] == pytest.approx(0.01)


def test_faster_needs_both_baselines_and_a_table_that_chose_nothing() -> None:
    clear, open_ = Interval(1.3, 1.1, 1.5), Interval(1.3, 0.9, 1.7)
    assert verdict("emoji", {"a": clear, "b": clear}) == "faster"
    assert verdict("emoji", {"a": clear, "b": open_}) == "not shown to be faster"
    assert verdict(CHOSEN_ON[0], {"a": clear, "b": clear}).startswith("nothing may be claimed")
