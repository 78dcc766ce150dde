"""One training that can be continued, whoever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hpsearch.errors import TrainingInterrupted
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.retraining.assignment import Assignment, plan_single
from hpsearch.workers.trial.training_session import TrainingSession

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture
def assignment(frozen: Callable[..., StudyFile], data_root: Path) -> Assignment:
    study = frozen("objective.at=best", trial_seed=1)
    return plan_single(study, device="cpu", threads=1, data=data_root)


def begin(assignment: Assignment, **options: Any) -> TrainingSession:
    return TrainingSession(
        assignment.build_plan, assignment.objective, data=assignment.data, **options
    )


def same_weights(left: TrainingSession, right: TrainingSession) -> bool:
    assert left.best is not None
    assert right.best is not None
    numbers = ("epoch", "value")
    return all(left.best[name] == right.best[name] for name in numbers) and all(
        torch.equal(weights, right.best["weights"][name])
        for name, weights in left.best["weights"].items()
    )


def checkpoint_after(assignment: Assignment, epoch: int) -> dict[str, Any]:
    session = begin(assignment)
    for end in session.epochs():
        if end.epoch == epoch:
            return session.content(end.state)
    raise AssertionError(f"there is no epoch {epoch}")


def test_the_state_is_copied_once_and_freed_with_the_next_epoch(assignment: Assignment) -> None:
    ends = begin(assignment).epochs()
    first = next(ends)
    assert first.state() is first.state()
    next(ends)
    with pytest.raises(RuntimeError, match="no longer available"):
        first.state()


def test_a_limit_of_epochs_ends_it_as_its_last_epoch_would(assignment: Assignment) -> None:
    last = replace(assignment.objective, at="last")
    session = TrainingSession(assignment.build_plan, last, data=assignment.data, epochs=2)
    assert [(end.epoch, end.last) for end in session.epochs()] == [(1, False), (2, True)]
    assert session.is_over
    assert session.best is not None
    assert session.best["epoch"] == 2


@pytest.mark.parametrize("whose", ["this version", "a trial's, earlier", "a retraining's, earlier"])
def test_it_continues_from_checkpoints_of_this_and_earlier_versions(
    assignment: Assignment, whose: str
) -> None:
    undisturbed = begin(assignment)
    curve = [end.metrics for end in undisturbed.epochs()]
    content = checkpoint_after(assignment, 1)
    if whose != "this version":
        # An attempt stored no "over", a retraining called the best weights "kept"
        over, best = content.pop("over"), content.pop("best")
        content |= {"best": best} if "trial" in whose else {"kept": best, "over": over}
    session = begin(assignment)
    session.resume(content)
    assert session.epochs_done == 1
    rest = [end.metrics for end in session.epochs()]
    exact = [(metrics.epoch, metrics.train_loss, metrics.val_loss) for metrics in curve[1:]]
    assert [(metrics.epoch, metrics.train_loss, metrics.val_loss) for metrics in rest] == exact
    assert same_weights(session, undisturbed)


def test_an_interrupted_epoch_continues_within_it(assignment: Assignment) -> None:
    undisturbed = begin(assignment)
    losses = [end.metrics.train_loss for end in undisturbed.epochs()]
    session, batches = begin(assignment), iter([False] * 3)
    with pytest.raises(TrainingInterrupted) as interrupted:
        list(session.epochs(lambda: next(batches, True)))
    content = session.content(interrupted.value.state)
    assert session.epochs_done == 0
    again = begin(assignment)
    again.resume(content)
    assert [end.metrics.train_loss for end in again.epochs()] == losses
    assert same_weights(again, undisturbed)


def test_after_the_last_epoch_nothing_is_left_to_train(assignment: Assignment) -> None:
    session = begin(assignment, epochs=2)
    (content,) = [session.content(end.state) for end in session.epochs() if end.last]
    again = begin(assignment, epochs=2)
    again.resume(content)
    assert list(again.epochs()) == []
    assert same_weights(again, session)


def test_a_checkpoint_is_due_after_a_try(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("hpsearch.workers.trial.training_session.time.monotonic", lambda: now)
    session = begin(assignment)
    assert not session.is_checkpoint_due(5)
    now = 105.0
    assert session.is_checkpoint_due(5)
    session.note_checkpoint()
    assert not session.is_checkpoint_due(5)
