"""Paused, or its checkpoint damaged: a trial's figures are an undisturbed one's, bit for bit.

Whether to leave is asked once before the configuration is drawn, and ``ASKED_PER_EPOCH`` times in
an epoch.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.trials import (
    ASKED_PER_EPOCH,
    BATCHES,
    IN_EPOCH_3,
    NO_CHECKPOINTS,
    ONE_TRIAL,
    SmallSearch,
    leave_after,
)

from hpsearch.training import checkpoint
from hpsearch.workers.trial.energy import EnergyMeter


def checkpoint_files(search: SmallSearch) -> list[Path]:
    """The trial's checkpoints on disk, in the order in which they were written."""
    paths = (search.runs / event.detail["key"] for event in search.events("checkpoint"))
    return [path for path in paths if path.exists()]


@pytest.mark.parametrize(
    ("asked", "epochs_done"),
    [
        pytest.param(1, 0, id="before the first batch"),
        pytest.param(1 + 3, 0, id="in epoch 1"),
        pytest.param(1 + BATCHES, 0, id="before epoch 1's validation"),
        pytest.param(1 + ASKED_PER_EPOCH, 1, id="between epochs 1 and 2"),
        pytest.param(IN_EPOCH_3, 2, id="in epoch 3"),
    ],
)
def test_a_paused_trial_goes_on_where_it_was(open_study, undisturbed, asked, epochs_done) -> None:
    search = open_study(ONE_TRIAL)
    ticket = search.run_one(leave=leave_after(asked), checkpoint_seconds=NO_CHECKPOINTS)
    assert (ticket.state, ticket.owner, ticket.failures) == ("paused", None, 0)
    assert (ticket.epochs_done, ticket.checkpoint_epoch) == (epochs_done, epochs_done)
    assert ticket.checkpoint.endswith(f"epoch-000{epochs_done}-part.attempt-1.pt")

    ticket = search.run_one("two")
    assert (ticket.state, ticket.attempt) == ("complete", 2)
    assert search.figures()[1] == undisturbed
    kinds = [event.kind for event in search.events()]
    assert kinds.count("released") == 1
    assert "epoch_redone" not in kinds
    assert "checkpoint_unusable" not in kinds
    assert search.files() == {"trial-0000/best.pt"}
    assert len(search.trials()) == 1


def test_a_trial_may_be_paused_again_and_again(open_study, undisturbed) -> None:
    search = open_study(ONE_TRIAL)
    # Two batches at a time; what is resumed draws no configuration.
    search.run_one(leave=leave_after(1 + 2))
    attempts = 1
    while search.ticket().state == "paused":
        ticket = search.run_one(leave=leave_after(2))
        attempts += 1
        assert ticket.state == "complete" or ticket.checkpoint_epoch == ticket.epochs_done
        assert attempts < 20
    # The last check of each epoch's end is in the next slice: 18 checks in slices of two.
    assert attempts == 3 * ASKED_PER_EPOCH // 2
    assert search.figures()[1] == undisturbed


def test_weights_of_the_best_epoch_survive_a_pause(open_study) -> None:
    def best_of(search: SmallSearch) -> dict:
        (file,) = (search.runs / search.stored.name).rglob("best.pt")
        return checkpoint.load(file)

    # A rate that only the first epochs can stand: the best one lies before the pause.
    rate = "optimizer.sgd.lr={values: [1.5]}"
    at_best = "objective={metric: val_accuracy, at: best}"
    plain = open_study(ONE_TRIAL, rate, at_best, "study=plain")
    plain.run_all()
    paused = open_study(ONE_TRIAL, rate, at_best)
    assert paused.run_one(leave=leave_after(IN_EPOCH_3)).epochs_done == 2
    paused.run_one("two")

    expected, found = best_of(plain), best_of(paused)
    assert expected["epoch"] < 3, "the best epoch must lie before the pause"
    assert (found["epoch"], found["value"]) == (expected["epoch"], expected["value"])
    for name, weights in expected["weights"].items():
        assert found["weights"][name].equal(weights), name


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


DAMAGE = [
    pytest.param(_flip_a_bit, id="a flipped bit"),
    pytest.param(_truncate, id="cut off"),
    pytest.param(Path.unlink, id="gone"),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_costs_one_interval(open_study, undisturbed, damage) -> None:
    search = open_study(ONE_TRIAL)
    search.run_one(leave=leave_after(IN_EPOCH_3))
    before, newest = checkpoint_files(search)
    assert before.name == "epoch-0002.attempt-1.pt"
    damage(newest)

    assert search.run_one("two").state == "complete"
    (event,) = search.events("checkpoint_unusable")
    key = newest.relative_to(search.runs).as_posix()
    assert event.detail == {"newest": key, "goes_on_from_epoch": 2}
    assert search.figures()[1] == undisturbed
    assert not search.events("epoch_redone")  # only the two batches of epoch 3 were lost
    assert search.files() == {"trial-0000/best.pt"}


@pytest.mark.parametrize("damage", DAMAGE)
def test_without_a_usable_checkpoint_it_starts_afresh(open_study, undisturbed, damage) -> None:
    search = open_study(ONE_TRIAL)
    search.run_one(leave=leave_after(IN_EPOCH_3))
    files = checkpoint_files(search)
    assert len(files) == 2
    for path in files:
        damage(path)

    assert search.run_one("two").state == "complete"
    (event,) = search.events("checkpoint_unusable")
    assert event.detail["goes_on_from_epoch"] == 0
    # Trained twice, told once: figures, counts and Optuna's row are those of one run.
    assert [each.detail["epoch"] for each in search.events("epoch_redone")] == [1, 2]
    assert search.figures()[1] == undisturbed
    assert search.record().counts.epochs_run == 3
    (row,) = search.trials()
    assert sorted(row.intermediate_values) == [1, 2, 3]
    assert search.files() == {"trial-0000/best.pt"}


def test_checkpoints_on_another_host_are_not_needed(open_study, undisturbed, tmp_path) -> None:
    search = open_study(ONE_TRIAL)
    search.run_one(leave=leave_after(IN_EPOCH_3))
    search.runs = tmp_path / "other_host"
    assert search.run_one("two").state == "complete"
    assert len(search.events("checkpoint_unusable")) == 1
    assert search.figures()[1] == undisturbed


def test_two_checkpoints_are_kept_while_it_runs(open_study) -> None:
    search = open_study(ONE_TRIAL, "budget.epochs_per_trial=5")
    folder = "trial-0000"

    def kept_after(epochs: int) -> set[str]:
        search.run_one(leave=leave_after(ASKED_PER_EPOCH * epochs))
        return search.files()

    search.run_one(leave=leave_after(1 + 3 * ASKED_PER_EPOCH))
    assert search.files() == {
        f"{folder}/epoch-0003.attempt-1.pt",
        f"{folder}/epoch-0003-part.attempt-1.pt",
    }
    assert kept_after(1) == {
        f"{folder}/epoch-0004.attempt-2.pt",
        f"{folder}/epoch-0004-part.attempt-2.pt",
    }


def test_checkpoints_keep_their_distance(open_study) -> None:
    search = open_study(ONE_TRIAL)
    search.run_one(checkpoint_seconds=NO_CHECKPOINTS)
    assert search.events("checkpoint") == []
    search = open_study(ONE_TRIAL, "study=often")
    search.run_one(checkpoint_seconds=0)
    # None after the last epoch: there is nothing left to resume.
    assert [each.detail["epoch"] for each in search.events("checkpoint")] == [1, 2]


def test_a_checkpoint_of_another_version_is_left_alone(
    open_study, undisturbed, monkeypatch
) -> None:
    search = open_study(ONE_TRIAL)
    search.run_one(leave=leave_after(IN_EPOCH_3), checkpoint_seconds=NO_CHECKPOINTS)
    monkeypatch.setattr("hpsearch.training.state.fingerprint", lambda config: "newer")

    ticket = search.run_one("two")
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 2, 0)
    (event,) = search.events("checkpoint_unusable")
    assert event.detail["goes_on_from_epoch"] == 0
    assert search.figures()[1] == undisturbed


def test_energy_counts_the_epochs_of_every_attempt(open_study, monkeypatch) -> None:
    """Ten joules at every look, of a GPU that took a thousand before each attempt."""

    def meter(device: str) -> EnergyMeter:
        taken = iter(range(1000, 10_000, 10))
        return EnergyMeter(lambda: (float(next(taken)), 1))

    monkeypatch.setattr("hpsearch.workers.trial.attempt.meter_of", meter)
    search = open_study(ONE_TRIAL)
    search.run_one(leave=leave_after(IN_EPOCH_3), checkpoint_seconds=NO_CHECKPOINTS)
    search.run_one("two", checkpoint_seconds=NO_CHECKPOINTS)
    [trial] = search.trials()
    # Two epochs and the checkpoint of leaving, then one epoch
    assert trial.user_attrs["energy_joules"] == 40.0
