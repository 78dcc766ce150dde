"""What a trial does wrong ends in the ledger; what hits every trial is said and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState
from support.trials import ASKED_PER_EPOCH, NO_CHECKPOINTS, STUDY, leave_after

from hpsearch.errors import DataError
from hpsearch.search.ledger.types import Idle
from hpsearch.workers.trial.trial_run import run_trial

#: A dense net whose training goes wrong in a way of its own after some batches.
PLUGIN = """\
import torch
from torch import nn

from hpsearch.training.registries import MODELS


class Own(nn.Module):
    def __init__(self, pixels: int, classes: int, does: str, batches: int) -> None:
        super().__init__()
        self.out = nn.Linear(pixels, classes)
        self.does = does
        self.batches = batches
        # In the state, so that a resumed training goes wrong at the same place again.
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.out(images.flatten(1))
        if images.device.type == "meta" or not self.training:
            return logits
        self.seen += 1
        if self.seen <= self.batches:
            return logits
        if self.does == "raise":
            raise RuntimeError("poison")
        return logits * torch.nan if self.does == "nan" else logits


@MODELS.register("own")
def own(shape, classes, /, *, does: str = "learn", batches: int = 0, build: bool = True):
    "A dense net that misbehaves."
    if not build:
        raise OSError("no such weights")
    return Own(shape[0] * shape[1] * shape[2], classes, does, batches)
"""


@pytest.fixture
def open_own(open_study, plugin):
    """Open a study whose first trial has these settings, and whose second one is harmless."""

    def open_(first: str, *overrides: str):
        path = plugin(PLUGIN)
        text = STUDY.replace(
            "model: {mlp: {hidden: [16], dropout: 0.2}}",
            "model: {own: {does: {values: [raise, nan, learn]}, batches: {values: [0, 7]}, "
            "build: {values: [true, false]}}}",
        ).replace("sgd: {lr: {min: 1e-2, max: 0.5, log: true}, momentum: 0.9}", "sgd: {lr: 0.1}")
        good = "{model: {own: {does: learn, batches: 0, build: true}}}"
        return open_study(
            f"plugins=[{path}]",
            f"try_first=[{{model: {{own: {first}}}}}, {good}]",
            "budget.trials=2",
            *overrides,
            text=text,
        )

    return open_


def test_a_trial_that_raises_is_retried_then_failed_with_its_traceback(open_own) -> None:
    search = open_own("{does: raise, batches: 0, build: true}")
    assert search.run_all() is Idle.FINISHED

    poison, good = search.tickets()
    assert (poison.state, poison.attempt, poison.failures) == ("failed", 3, 3)
    assert poison.last_error.startswith("Traceback (most recent call last):")
    assert 'own_model.py", line' in poison.last_error
    assert poison.last_error.endswith("RuntimeError: poison\n")
    kinds = [event.kind for event in search.events(ticket=1)]
    assert kinds.count("attempt_failed") == 3
    assert kinds.count("failed") == 1
    # One row for all attempts, and the study went on: a failed trial counts.
    assert [row.state for row in search.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert search.trials()[0].user_attrs["error"] == poison.last_error
    assert good.state == "complete"
    assert search.files() == {"trial-0001/best.pt"}


def test_a_trial_that_can_not_even_be_built_ends_the_same_way(open_own) -> None:
    search = open_own("{does: learn, batches: 0, build: false}")
    assert search.run_all() is Idle.FINISHED
    poison, good = search.tickets()
    assert (poison.state, poison.attempt, good.state) == ("failed", 3, "complete")
    assert "\nOSError: no such weights\n" in poison.last_error
    assert [row.state for row in search.trials()] == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.parametrize(
    "checkpoint_seconds",
    [
        pytest.param(0.0, id="resumed after epoch 1"),
        pytest.param(NO_CHECKPOINTS, id="from the start each time"),
    ],
)
def test_a_trial_that_always_dies_in_epoch_2_ends_and_leaves_no_files(
    open_own, checkpoint_seconds
) -> None:
    search = open_own("{does: raise, batches: 7, build: true}")
    for had in (False, True, True):
        assert bool(search.events("attempt_failed")) is had
        poison = search.run_one(checkpoint_seconds=checkpoint_seconds)
    # An epoch that is trained again is no progress: it doesn't reset the count.
    assert (poison.state, poison.attempt, poison.epochs_done) == ("failed", 3, 1)
    redone = 2 if checkpoint_seconds else 0
    assert len(search.events("epoch_redone", ticket=1)) == redone
    assert search.files() == set()
    assert len(search.figures()[1]) == 1


def test_a_diverged_trial_fails_at_once_with_its_reason(open_own) -> None:
    search = open_own("{does: nan, batches: 7, build: true}")
    assert search.run_all() is Idle.FINISHED
    poison, good = search.tickets()
    assert (poison.state, poison.attempt, poison.epochs_done) == ("failed", 1, 1)
    assert poison.last_error == (
        "the training loss must be a finite number, but in epoch 2, after 3 of 5 batches, it is "
        "nan; try a lower learning rate than 0.09"
    )
    assert search.trials()[0].user_attrs["error"] == poison.last_error
    assert good.state == "complete"
    assert search.files() == {"trial-0001/best.pt"}


def test_missing_data_gives_the_ticket_back_and_is_raised(open_study, tmp_path: Path) -> None:
    search = open_study("budget.trials=1")
    no_folder = tmp_path / "file"
    no_folder.touch()
    claim = search.claim()
    with pytest.raises(DataError, match=f"prepared images are written under {no_folder}"):
        run_trial(search.bench(data=no_folder), claim)

    ticket = search.ticket()
    # Whoever comes next may see the data: nothing counts against the trial.
    assert (ticket.state, ticket.owner, ticket.failures) == ("paused", None, 0)
    (released,) = search.events("released")
    assert released.detail["reason"].startswith("DataError: prepared images are written under")
    assert search.trials() == []
    assert search.run_all("two") is Idle.FINISHED
    assert [row.state for row in search.trials()] == [TrialState.COMPLETE]


def test_data_that_went_away_in_the_middle_loses_no_epoch(open_study, tmp_path: Path) -> None:
    search = open_study("budget.trials=1")
    search.run_one(leave=leave_after(1 + ASKED_PER_EPOCH + 2))
    no_folder = tmp_path / "file"
    no_folder.touch()
    with pytest.raises(DataError):
        run_trial(search.bench("two", data=no_folder), search.claim("two"))
    assert search.ticket().checkpoint_epoch == 1
    assert search.run_all("three") is Idle.FINISHED
    assert not search.events("epoch_redone")
    assert not search.events("checkpoint_unusable")
