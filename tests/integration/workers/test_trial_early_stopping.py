"""A trial that stops early, in a worker: complete, its best weights kept, its row whole."""

from __future__ import annotations

import pytest
from support.trials import ASKED_PER_EPOCH, NO_CHECKPOINTS, ONE_TRIAL, leave_after

from hpsearch.search.ledger.queries import curve
from hpsearch.training import checkpoint

#: At this rate the validation loss goes up and down.
UNSTEADY = ("optimizer.sgd.lr={values: [1.5]}", "budget.epochs_per_trial=40")
PATIENT = (ONE_TRIAL, *UNSTEADY, "early_stopping={patience: 3}")


def waited(losses: list[float]) -> int:
    """Return how many epochs in a row, up to the last, brought no new lowest loss."""
    return len(losses) - 1 - losses.index(min(losses))


def test_it_ends_complete_with_its_best_weights(open_study) -> None:
    search = open_study(*PATIENT, "objective={metric: val_loss, at: best}")
    search.run_all()
    (trial,) = search.record().trials
    assert trial.state == "complete"
    assert 3 < trial.epochs_done < 40
    losses = [each.val_loss for each in curve(search.database, search.stored.study_id, 1)]
    assert [waited(losses[:epoch]) for epoch in range(1, len(losses))].count(3) == 0
    assert waited(losses) == 3
    (row,) = search.trials()
    assert (row.value, trial.best_epoch) == (min(losses), len(losses) - 3)
    assert sum(map(sum, row.user_attrs["val_confusion"])) == 40
    assert search.files() == {"trial-0000/best.pt"}
    kept = checkpoint.load(search.runs / "small" / search.stored.run_key / "trial-0000" / "best.pt")
    assert (kept["epoch"], kept["value"]) == (trial.best_epoch, min(losses))


def test_the_weights_that_are_kept_are_those_that_the_value_tells_of(open_study) -> None:
    search = open_study(ONE_TRIAL, *UNSTEADY, "budget.epochs_per_trial=6")
    search.run_all()
    (trial,) = search.record().trials
    assert trial.best_epoch != 6, "the best epoch must be another for this test"
    kept = checkpoint.load(search.runs / "small" / search.stored.run_key / "trial-0000" / "best.pt")
    assert (kept["epoch"], kept["value"]) == (6, trial.value)


@pytest.mark.parametrize("back", [1, 2], ids=["in its last epoch", "in the one before"])
def test_patience_outlives_a_worker(open_study, back) -> None:
    whole = open_study(*PATIENT, "study=whole")
    whole.run_all(checkpoint_seconds=NO_CHECKPOINTS)
    figures = whole.figures()[1]

    search = open_study(*PATIENT)
    asked = 1 + (len(figures) - back) * ASKED_PER_EPOCH + 2
    ticket = search.run_one(leave=leave_after(asked), checkpoint_seconds=NO_CHECKPOINTS)
    assert (ticket.state, ticket.epochs_done) == ("paused", len(figures) - back)
    assert search.run_one("two").state == "complete"
    assert search.figures()[1] == figures
