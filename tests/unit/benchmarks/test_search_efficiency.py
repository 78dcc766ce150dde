"""The simulator behind docs/search-efficiency.md, on the recorded tables themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search_efficiency.__main__ import main
from benchmarks.search_efficiency.contestants import DEFAULTS, METHODS, study_of
from benchmarks.search_efficiency.figures import (
    as_json,
    capped,
    difference,
    figures_of,
    interquartile_mean,
    ratio,
    standing,
)
from benchmarks.search_efficiency.ours import FastSearch, LedgerSearch
from benchmarks.search_efficiency.prior import (
    fair_prior,
    lessons_of,
    sha256_of,
    shipped,
    unseen_by,
)
from benchmarks.search_efficiency.replays import (
    MARKS,
    Reached,
    budget,
    budget_epochs,
    reached,
    replay_all,
    replay_once,
)
from benchmarks.search_efficiency.simulation import (
    RESTART_SECONDS,
    Answer,
    Job,
    Searcher,
    Trace,
    Trouble,
    simulate,
)
from benchmarks.search_efficiency.spaces import (
    PLANS,
    TABLES,
    names_in,
    plans_in,
    read_recorded,
)
from benchmarks.search_efficiency.table import (
    Table,
    Training,
    branch_paths,
    read_table,
    read_tables,
    write_table,
)
from hpsearch.errors import UserError
from hpsearch.priors.prior_file import learned_from
from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.training.models.inspection import describe

table_named = cache(read_table)

NAMES = ("emoji", "fashion", "small")

#: Workers -> share of the budget, for searches on the ledger: it is read after each epoch, so twice
#: as many epochs take four times as long. One worker's trials end later.
SHARES = {1: 0.4, 4: 0.3}


class _OneRow:
    """Trains one configuration, and picks it from the first epoch on."""

    def __init__(self, row: int) -> None:
        self.row, self.given, self.reported = row, False, False

    def begin(self, worker: int) -> Job | None:
        if self.given:
            return None
        self.given = True
        return Job(key=0, row=self.row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        self.reported = True
        return "continue" if epoch < 5 else "ended"

    def diverged(self, worker: int, job: Job) -> None:
        raise AssertionError("the best row doesn't diverge")

    def pick(self) -> int | None:
        return self.row if self.reported else None


class _TwoSlices:
    """Trains one configuration to epoch 2, hands it out again, and ends it at epoch 4."""

    def __init__(self, row: int, pauses: bool = True) -> None:
        self.row, self.pauses, self.ready = row, pauses, True
        self.reports: list[tuple[int, float]] = []

    def begin(self, worker: int) -> Job | None:
        if not self.ready:
            return None
        self.ready = False
        return Job(key=0, row=self.row, epochs_done=len(self.reports))

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        self.reports.append((epoch, value))
        self.ready = self.pauses and epoch == 2
        return "paused" if self.ready else "ended" if epoch == 4 else "continue"

    def diverged(self, worker: int, job: Job) -> None:
        raise AssertionError("the best row doesn't diverge")

    def pick(self) -> int | None:
        return None


def _run(
    table: Table,
    searcher: Searcher,
    workers: int,
    replay: int = 0,
    trouble: Trouble | None = None,
    share: float = 1.0,
) -> Trace:
    """Search for a share of the budget."""
    seen, seconds = table.draw_curves(replay), share * budget(table, workers)
    return simulate(
        searcher, table, seen, workers=workers, seconds=seconds, trouble=trouble, seed=replay
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_what_searches_need(name: str) -> None:
    table, recorded = table_named(name), read_recorded(name)
    plan = recorded.recording
    assert plan is not None and len(table) == plan.spread + plan.proposed
    for params, curves in zip(table.params, table.curves, strict=True):
        table.space.freeze(params)  # a whole point of the space
        for curve in curves:
            # An epoch that diverged took time and gave no figure
            assert len(curve.seconds) in (len(curve.val_accuracy), len(curve.val_accuracy) + 1)
            assert len(curve.val_accuracy) == table.epochs or curve.test_accuracy == recorded.chance
    repeated = [row for row, curves in enumerate(table.curves) if len(curves) == plan.seeds]
    assert len(repeated) >= len(table) // 10


@pytest.mark.parametrize("name", plans_in(PLANS))
def test_what_is_to_be_recorded_can_be_and_is_broad(name: str) -> None:
    recorded = read_recorded(name, PLANS)
    study, plan = recorded.study(data=Path("images.pkl")), recorded.recording
    assert study.name == name and plan is not None and plan.proposed == 0 and plan.best == 0.2
    # A prior that learns from one family of optimizers misleads with any other
    assert study.space.parameters()["optimizer"].labels == ("sgd", "adamw", "rmsprop")
    for optimizer in ("sgd", "adamw", "rmsprop"):
        lr = study.space.parameters()[f"optimizer.{optimizer}.lr"]
        assert lr.high / lr.low >= 1e4 * (1 - 1e-9)
    model = study.space.parameters()["model"].labels[0]
    rng = np.random.default_rng(0)
    draw = study.space.draw(
        lambda path, each: model if path == "model" else at_unit(each, float(rng.random()))
    )
    images = recorded.images
    component = study.trial_config(draw.params, ticket=1).model
    assert describe(component, input_shape=images.shape, classes=images.classes).parameters > 0


def test_a_prior_is_never_judged_on_images_that_it_was_built_with() -> None:
    everything = shipped()
    known = {each.sha256: each for each in everything.examples}
    for table in read_tables():
        assert sha256_of(table) in known
        with pytest.raises(ValueError, match="never saw"):
            fair_prior(table, study_of(table, 0), everything)
        # Not the table, but its images
        others = [each for each in everything.examples if each.sha256 != sha256_of(table)]
        if any(each.data_set == table.recorded.data_set for each in others):
            with pytest.raises(ValueError, match="never saw"):
                fair_prior(table, study_of(table, 0), learned_from(others))
        fair_prior(table, study_of(table, 0))
        unseen = unseen_by(table.recorded.data_set).examples
        assert unseen and all(each.data_set != table.recorded.data_set for each in unseen)


def test_the_shipped_prior_was_built_from_the_tables_that_are_here() -> None:
    here = {
        each.recorded.name: each
        for folder in (TABLES, PLANS) if names_in(folder)
        for each in read_tables(folder)
    }  # fmt: skip
    learned = shipped()
    checked = [each for each in learned.examples if each.name in here]
    assert {"emoji", "fashion", "small"} <= {each.name for each in checked}
    for each in checked:
        # Every third row: each one's model is built
        again = lessons_of(here[each.name], every=3)
        assert again.sha256 == each.sha256
        assert (again.families, again.data_set) == (each.families, each.data_set)
        assert np.array_equal(again.rows, each.rows[::3])
        assert np.array_equal(again.ranks, each.ranks)


def test_a_table_is_read_from_any_folder_as_it_was_written(tmp_path: Path) -> None:
    for kind in ("yaml", "json"):
        (tmp_path / f"mine.{kind}").write_bytes((TABLES / f"emoji.{kind}").read_bytes())
    recorded = read_recorded("mine", tmp_path)
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
    write_table(recorded, trainings)
    (table,) = read_tables(tmp_path)
    assert table.recorded == recorded
    assert table.params == [params]
    whole, diverged = table.curves[0]
    assert (whole.val_accuracy, whole.seconds, whole.test_accuracy) == (
        [0.25, 0.5],
        [0.1, 0.2],
        0.5,
    )
    assert (diverged.val_accuracy, diverged.seconds) == ([0.25], [0.1, 0.3])
    assert diverged.test_accuracy == recorded.chance


def test_a_recording_goes_on_where_it_was_and_becomes_a_table(tmp_path: Path) -> None:
    folder, work = tmp_path / "tables", tmp_path / "work"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(
        "study: tiny\nbudget: {trials: 9, epochs_per_trial: 2}\n"
        "data: {source: digits, limit: 100}\nmodel: {mlp: {hidden: {values: [[4], [8]]}}}\n"
        "optimizer: {sgd: {lr: {min: 0.01, max: 1, log: true}}}\n"
    )
    record = {"spread": 2, "seeds": 2, "best": 0.5}
    (folder / "tiny.json").write_text(json.dumps({"budget": 2, "chance": 0.1, "record": record}))
    assert plans_in(folder) == ["tiny"] and names_in(folder) == []

    def go_on(most: int) -> None:
        main(["record", "--tables", f"{folder}", "--work", f"{work}", "--most", f"{most}"])

    go_on(1)
    first = (work / "tiny.jsonl").read_text()
    assert names_in(folder) == []
    go_on(-1)
    assert (work / "tiny.jsonl").read_text().startswith(first)
    (table,) = read_tables(folder)
    # The better one of both is trained again
    better = int(np.argmax([each[0].val_accuracy[-1] for each in table.curves]))
    assert [len(each) for each in table.curves] == [1 + (row == better) for row in range(2)]
    for curve in (curve for curves in table.curves for curve in curves):
        assert len(curve.val_accuracy) == len(curve.seconds) == 2
        assert 0 <= curve.test_accuracy <= 1
    figures = tmp_path / "figures.json"
    method = "random + promotion ASHA"
    main(
        ["replay", "--tables", f"{folder}", "--workers", "1", "--replays", "2", "--method", method,
         "--reference", method, "--json", f"{figures}"]
    )  # fmt: skip
    (case,) = json.loads(figures.read_text())["cases"]
    assert (case["table"], case["workers"], case["replays"]) == ("tiny", 1, 2)
    assert set(case["methods"]) == {method}


def test_a_folder_says_which_file_of_a_table_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no NAME\.configurations"):
        read_tables(tmp_path)
    for kind in ("configurations.csv.gz", "epochs.csv.gz", "yaml", "json"):
        (tmp_path / f"emoji.{kind}").write_bytes((TABLES / f"emoji.{kind}").read_bytes())
    assert names_in(tmp_path) == ["emoji"]
    assert len(read_tables(tmp_path, ["emoji"])[0]) == len(table_named("emoji"))
    with pytest.raises(UserError, match="has no table 'other'; it has emoji"):
        read_tables(tmp_path, ["other"])
    for kind in ("epochs.csv.gz", "yaml", "json"):
        (tmp_path / f"emoji.{kind}").unlink()
        with pytest.raises(UserError, match=f"emoji.{kind}"):
            read_tables(tmp_path)


@pytest.mark.parametrize("name", NAMES)
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


#: Settings of a search whose replay the ledger's own search must repeat.
SEARCHES: list[tuple[str, ...]] = [
    (),
    ("pruner={asha: {stop: true}}", "pruner_audit=0.3", "sampler={tpe: {startup_trials: 4}}"),
    ("sampler=random", "pruner=none"),
    ("sampler=random", "pruner={asha: {stop: true}}"),
    ("sampler=random", "pruner_audit=0.3"),
    ("sampler=random", "search.prior=rule"),
    ("search.prior=rule", "sampler={tpe: {startup_trials: 14}}"),
    ("sampler=random", "search.prior=v1"),
    ("sampler=forest",),
    ("sampler=forest", "optimizer.sgd.lr.prior=0.9", "optimizer.sgd.lr.confidence=high"),
    ("sampler={forest: {startup_trials: 4}}", "pruner={asha: {stop: true}}"),
]


# One worker alone takes trials in their order, whatever the sampler: with each pruner once
@pytest.mark.parametrize(
    ("workers", "search"),
    [*((4, each) for each in SEARCHES), *((1, each) for each in SEARCHES[:3])],
)
def test_the_ledger_and_the_fast_replay_take_the_same_steps(
    workers: int, search: Sequence[str], tmp_path: Path
) -> None:
    table = table_named("emoji")
    study = study_of(table, 3, *search)
    fast = _run(table, FastSearch(table, study), workers, share=SHARES[workers])
    ledger = LedgerSearch(table, study, f"sqlite:///{tmp_path}/hpsearch.db")
    try:
        slow = _run(table, ledger, workers, share=SHARES[workers])
    finally:
        ledger.close()
    # More than any of these searches starts with; without a pruner each takes all its epochs
    assert fast.trials > (8 if "pruner=none" in search else 14)
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
    assert found.within == found.stays == 1
    nothing = reached(table, Trace(), 1, "nobody", 0)
    assert nothing.regret == pytest.approx([table.truth.max() - table.truth.mean()] * len(MARKS))
    assert nothing.within is nothing.stays is None


def test_replays_go_on_where_they_were(tmp_path: Path) -> None:
    table, file = table_named("fashion"), tmp_path / "replays.jsonl"
    methods = ["random in full", "random + stopping ASHA"]
    first = list(replay_all([table], [4], methods, range(2), file=file))
    longer = list(replay_all([table], [4], methods, range(3), file=file))
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
    assert ratio(np.full(60, 0.5), np.full(60, 0.25)).low == 2.0

    ranks, behind = standing([_row(DEFAULTS, 0.02), _row("a", 0.01), _row("b", 0.01)])
    assert ranks == {DEFAULTS: 3.0, "a": 1.5, "b": 1.5}
    assert behind[DEFAULTS][1] == pytest.approx(0.01)


def _row(method: str, regret: float, *epochs: int | None, replay: int = 0) -> Reached:
    within, stays = epochs or (None, None)
    return Reached(
        table="t", workers=1, method=method, replay=replay, regret=[regret] * 5,
        best_seen=[0.0] * 5, within=within, stays=stays, most_epochs=100, epochs=1, trials=1,
    )  # fmt: skip


def test_who_never_comes_near_counts_with_the_whole_budget() -> None:
    rows = [_row("a", 0.0, 10, 50), _row("a", 0.0, 130, None), _row("a", 0.0, None, None)]
    assert capped(rows).tolist() == [10, 100, 100]
    assert capped(rows, stays=True).tolist() == [50, 100, 100]
    told = figures_of(rows)
    # What comes after the budget's epochs comes too late
    assert (told["epochs"], told["median"], told["reached"]) == (70, None, 1 / 3)
    assert told["stays"] == 1 / 3
    assert figures_of(rows[:1] * 2 + rows[2:])["median"] == 10
    rows += [_row("b", 0.1, 20, 50, replay=number) for number in range(3)]
    told = as_json(rows, reference="a")
    (case,) = told["cases"]
    against = case["methods"]["b"]["against_reference"]
    assert against["epochs"][0] == pytest.approx(20 / 70)
    assert against["regret"][0] == pytest.approx([0.1] * 3)


def test_a_pick_that_is_left_again_does_not_stay() -> None:
    table = table_named("small")
    best, worst = int(np.argmax(table.truth)), int(np.argmin(table.truth))
    picks = [None, best, worst, best, best]
    steps = [(float(number), number, pick, 0.5) for number, pick in enumerate(picks)]
    found = reached(table, Trace(steps=steps), 1, "one", 0)
    assert (found.within, found.stays) == (1, 3)
    left = reached(table, Trace(steps=[*steps, (9.0, 9, worst, 0.5)]), 1, "one", 0)
    assert (left.within, left.stays) == (1, None)
    assert found.most_epochs == budget_epochs(table) == 24 * 27


@pytest.mark.parametrize("pauses", [True, False])
def test_a_paused_training_goes_on_where_it_was(pauses: bool) -> None:
    table = table_named("small")
    best = int(np.argmax(table.truth))
    searcher = _TwoSlices(best, pauses)
    trace = _run(table, searcher, workers=2)
    curve = table.draw_curves(0)[best]
    assert searcher.reports == list(zip((1, 2, 3, 4), curve.val_accuracy, strict=False))
    assert [answer for *_, answer in trace.events] == [
        "continue", "paused" if pauses else "continue", "continue", "ended",
    ]  # fmt: skip
    assert trace.trials == 1  # the second slice is the same trial
    assert trace.steps[-1][1] == 4


def test_a_crash_costs_what_was_trained_since_the_checkpoint_and_is_no_news() -> None:
    table = table_named("small")
    best = int(np.argmax(table.truth))
    calm, curve = _run(table, _TwoSlices(best), workers=1), table.draw_curves(0)[best]
    for checkpoint_seconds in (0.0, 1e9):
        trouble = Trouble(crashes=0.5, checkpoint_seconds=checkpoint_seconds)
        searcher = _TwoSlices(best)
        trace = _run(table, searcher, workers=1, trouble=trouble)
        # Every epoch is reported once, whatever was trained twice
        assert searcher.reports == list(zip((1, 2, 3, 4), curve.val_accuracy, strict=False))
        assert trace.steps[-1][0] > calm.steps[-1][0] + RESTART_SECONDS
        epochs = [epoch for *_, epoch, _ in trace.events]
        if checkpoint_seconds == 0:
            assert epochs == [1, 2, 3, 4]  # only part of an epoch is ever lost
        else:
            assert len(epochs) > 4
            # A paused training has a checkpoint: nothing before it is trained again
            assert epochs.index(3) > max(at for at, each in enumerate(epochs) if each <= 2)
        again = _run(table, _TwoSlices(best), workers=1, trouble=trouble)
        assert again == trace


def test_stragglers_take_longer_and_the_same_ones_for_everybody() -> None:
    table = table_named("fashion")
    calm = _run(table, METHODS["random in full"](table, 0), workers=16)
    trouble = Trouble(stragglers=0.5)
    runs = [
        _run(table, METHODS[method](table, 0), workers=16, trouble=trouble)
        for method in ("random in full", "random + stopping ASHA")
    ]
    assert runs[0].steps[-1][1] < calm.steps[-1][1]

    def first_reports(trace: Trace) -> list[int]:
        return [worker for worker, _, epoch, _ in trace.events if epoch == 1][:6]

    assert first_reports(runs[0]) == first_reports(runs[1]) != first_reports(calm)
