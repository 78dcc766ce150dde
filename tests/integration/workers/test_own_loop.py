"""A study with a training loop of its own: from the file to the report, paused, and refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import Ran
from support.trials import NO_CHECKPOINTS, SmallSearch, leave_after, open_small

from hpsearch.errors import StudyFileError, UserError
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.training.loops import LOOPS, Epoch, LoopContext
from hpsearch.workers.launch.autoscale import ThroughputReader

STUDY = """
study: small
seed: 5
budget: {trials: 3, epochs_per_trial: 4}
sampler: random
pruner: none
loop: {walk: {step: {min: 0.1, max: 1.0}}}
metrics: {val_height: maximize}
"""


class Walk:
    """A loop of random steps; remembers which epochs it trained."""

    def __init__(self, *, keeps_state: bool = True) -> None:
        self.keeps_state = keeps_state
        self.trained: list[int] = []
        #: Epoch -> what it yields instead.
        self.instead: dict[int, Any] = {}

    def __call__(self, context: LoopContext, /, *, step: float) -> Iterator[Any]:
        """Walk."""
        height, start = torch.zeros(1), 0
        if context.state is not None:
            height, start = context.state["height"].clone(), context.state["epoch"]
        for epoch in range(start + 1, context.epochs + 1):
            if epoch in self.instead and self.instead[epoch] is None:
                return
            self.trained.append(epoch)
            torch.manual_seed(context.seed + epoch)
            height += step * torch.randn(1)  # in place: a kept state must be a copy
            metrics = self.instead.get(epoch, {"val_height": height.item(), "more": epoch})
            state = {"height": height, "epoch": epoch}
            yield Epoch(metrics, state=lambda state=state: state) if self.keeps_state else metrics


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """One kind is enough: nothing here is another statement."""
    path = tmp_path / "hpsearch.db"
    shutil.copy(sqlite_template, path)
    found = Database(f"sqlite:///{path}")
    yield found
    found.close()


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Walk]:
    """Register a ``Walk`` as the loop ``walk`` for this test."""
    monkeypatch.setattr(LOOPS, "_entries", dict(LOOPS._entries))

    def add(**settings: Any) -> Walk:
        walk = Walk(**settings)

        def loop(context: LoopContext, /, *, step: float) -> Iterator[Any]:
            """Walk."""
            return walk(context, step=step)

        LOOPS._entries.pop("walk", None)
        LOOPS.register("walk")(loop)
        return walk

    return add


@pytest.fixture
def opened(database: Database, tmp_path: Path, data_root: Path) -> Callable[..., SmallSearch]:
    def open_(*overrides: str, text: str = STUDY) -> SmallSearch:
        return open_small(database, tmp_path, data_root, *overrides, text=text)

    return open_


def heights(search: SmallSearch, ticket: int = 1) -> list[float]:
    from hpsearch.search.ledger import queries

    curve = queries.curve(search.database, search.stored.study_id, ticket)
    return [each.value("val_height") for each in curve]


def test_its_trials_are_ranked_by_the_metric_that_it_names(opened, register) -> None:
    register()
    search = opened()
    search.run_all()
    record = read_study(search.database, "small")
    assert [trial.state.value for trial in record.trials] == ["complete"] * 3
    assert [trial.value for trial in record.trials] == [heights(search, n)[-1] for n in (1, 2, 3)]
    assert (record.objective.metric, record.objective.direction) == ("val_height", "maximize")
    assert len({trial.value for trial in record.trials}) == 3


def test_a_launch_on_a_gpu_counts_its_epochs_as_work(opened, register) -> None:
    register()
    search = opened()
    reader = ThroughputReader(search.database, search.stored.study_id)
    search.run_all()
    assert reader.read() == (3 * 4, False)


@pytest.mark.parametrize("keeps_state", [True, False])
def test_a_paused_trial_goes_on(opened, register, keeps_state: bool) -> None:
    whole = register(keeps_state=keeps_state)
    undisturbed = opened("budget.trials=1", "study=undisturbed")
    undisturbed.run_all()
    walk = register(keeps_state=keeps_state)
    search = opened("budget.trials=1")
    # Asked before the draw, before the first epoch, and after each
    ticket = search.run_one(leave=leave_after(1 + 3), checkpoint_seconds=NO_CHECKPOINTS)
    assert (ticket.state, ticket.epochs_done, ticket.failures) == ("paused", 3, 0)
    ticket = search.run_one("two")
    assert (ticket.state, ticket.attempt) == ("complete", 2)
    assert heights(search) == heights(undisturbed)
    assert whole.trained == [1, 2, 3, 4]
    assert walk.trained == ([1, 2, 3, 4] if keeps_state else [1, 2, 3, 1, 2, 3, 4])
    assert "epoch_redone" not in [event.kind for event in search.events()]


def test_the_state_of_the_best_epoch_is_kept_as_it_was(opened, register) -> None:
    from hpsearch.training import checkpoint

    register()
    search = opened("budget.trials=1", "objective.at=best")
    search.run_all()
    (file,) = (search.runs / "small").rglob("best.pt")
    best = checkpoint.load(file)
    curve = heights(search)
    assert curve.index(max(curve)) < 3, "or nothing could have changed it since"
    assert best["weights"]["height"].item() == max(curve)


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({2: {"other": 1.0}}, "epoch 2 lacks val_height; it yielded other"),
        ({1: 0.5}, "must yield a mapping of metrics, or Epoch(metrics, state), but in epoch 1"),
        ({1: {"val_height": "high"}}, "val_height must be a number, but in epoch 1 it is 'high'"),
        ({3: None}, "must yield once per epoch, but it ended after epoch 2 of 4"),
    ],
)
def test_a_loop_that_keeps_no_promise_is_one_message(opened, register, instead, message) -> None:
    register(keeps_state=False).instead = instead
    with pytest.raises(UserError, match=re.escape(message)):
        opened().run_one()


def test_a_metric_that_is_not_finite_fails_the_trial(opened, register) -> None:
    register(keeps_state=False).instead = {2: {"val_height": float("nan")}}
    ticket = opened().run_one()
    assert ticket.state == "failed"
    assert "val_height must be a finite number, but in epoch 2 it is nan" in ticket.last_error


def test_a_state_that_no_checkpoint_could_give_back_is_one_message(opened, register) -> None:
    state = {"nested": [np.float64(0.5)]}
    message = "state['nested'][0] is of type float64"

    def loop(context: LoopContext, /, *, step: float) -> Iterator[Epoch]:
        """Yields a state of NumPy's."""
        yield Epoch({"val_height": 0.0}, state=state)

    LOOPS._entries.pop("walk", None)  # `register` forgets this loop after the test
    LOOPS.register("walk")(loop)
    with pytest.raises(UserError, match=re.escape(message)):
        opened().run_one()


def test_it_may_end_early(opened, register) -> None:
    register(keeps_state=False).instead = {2: Epoch({"val_height": 9.0}, last=True)}
    ticket = opened().run_one()
    assert (ticket.state, ticket.epochs_done, ticket.value) == ("complete", 2, 9.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("metrics: {val_height: maximize}", ""), "metrics: this key is required"),
        (("maximize", "up"), "a mapping of what the loop yields to maximize or minimize"),
        (("loop:", "data: {source: digits}\nloop:"), "data: a study with a training loop"),
        (("pruner: none", "pruner: none\nobjective: val_dice"), "this study's `metrics` (val_h"),
        (("{walk: {step", "{walk: {steps"), "steps"),
        (("pruner: none", 'pruner: none\nconstraints: ["latency <= 2"]'), "val_height) or epoch_s"),
    ],
)
def test_a_file_that_is_wrong_is_said_with_its_rule(opened, register, change, message) -> None:
    register()
    with pytest.raises(StudyFileError, match=re.escape(message)):
        opened(text=STUDY.replace(*change))


def test_confirmed_reported_exported_and_trained_again(
    opened, register, tmp_path: Path, hpsearch: Callable[..., Ran]
) -> None:
    register()
    search = opened()
    search.run_all()
    at = ["--storage", search.database.url.render_as_string(hide_password=False)]
    assert hpsearch("report", "--study", "small", "--out", str(tmp_path / "report"), *at).code == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "val_height" in page
    assert "nan" not in page
    assert "## By architecture" not in page
    shown = hpsearch("show", "--study", "small", "0", *at)
    assert shown.code == 0
    assert "nan" not in shown.out
    file = str(tmp_path / "best.yaml")
    assert hpsearch("export", "--study", "small", "--out", file, *at).code == 0
    again = hpsearch("train", file)
    assert again.code == 0, again.all
    assert "reproduced exactly" in again.out
    for command in (
        ["verify", file],
        ["evaluate", "--study", "small", *at],
        ["train", file, "--out", str(tmp_path / "model")],
        ["train", file, "--seeds", "2"],
        ["train", file, "--on", "all"],
    ):
        refused = hpsearch(*command)
        assert refused.code == 2
        assert "training loop of its own" in refused.err
