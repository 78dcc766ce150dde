"""Whole studies through claims and ``run_trial``: exact counts, rows, values and files."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from optuna.trial import TrialState
from support.trials import NO_CHECKPOINTS, STUDY

from hpsearch.results.ranking import best, ranked
from hpsearch.search.ledger import ledger as ledger_module
from hpsearch.search.ledger.types import Idle
from hpsearch.study_file.trial_config import trial_seed
from hpsearch.training import checkpoint
from hpsearch.training.plan import plan

#: Half of the learning rates can't learn, so that ASHA always finds something to prune.
PRUNED_STUDY = STUDY.replace(
    "lr: {min: 1e-2, max: 0.5, log: true}", "lr: {values: [1e-6, 0.05, 0.1, 0.2, 2e-6, 3e-6]}"
).replace("pruner: none", "pruner: {asha: {reduction_factor: 2, startup_trials: 2}}")


def test_a_study_ends_exactly_and_leaves_only_the_winners_weights(open_study) -> None:
    search = open_study("budget={trials: 6, epochs_per_trial: 3}", text=PRUNED_STUDY)
    assert search.run_all() is Idle.FINISHED

    record = search.record()
    counts = record.counts
    assert (counts.total, counts.running, counts.paused, counts.failed) == (6, 0, 0, 0)
    assert counts.complete + counts.pruned == 6
    assert counts.complete and counts.pruned, "the study must show both ends"
    kinds = Counter(event.kind for event in search.events())
    assert (kinds["claimed"], kinds["started"]) == (6, 6)
    assert (kinds["complete"], kinds["pruned"]) == (counts.complete, counts.pruned)
    assert kinds["paused"] >= counts.pruned  # every one of them waited before its end
    assert kinds["checkpoint"] > 0  # the files that are gone below were there

    rows = search.trials()
    assert [row.number for row in rows] == list(range(6))
    assert Counter(row.state for row in rows) == {
        TrialState.COMPLETE: counts.complete,
        TrialState.PRUNED: counts.pruned,
    }
    for trial, row in zip(record.trials, rows, strict=True):
        assert row.params == trial.params
        assert row.value == trial.value
        assert sorted(row.intermediate_values) == list(range(1, trial.epochs_done + 1))

    winner = best(record)
    assert search.files() == {f"trial-{winner.number:04d}/best.pt"}
    # Nothing of the pruned trials is left, not even a folder.
    assert len(list((search.runs / "small" / record.study.run_key).iterdir())) == 1

    assert search.run_all("relaunched") is Idle.FINISHED
    assert len(search.trials()) == 6


def test_a_pruned_trial_leaves_no_files_from_the_moment_it_ends(open_study) -> None:
    stopping = "pruner={asha: {reduction_factor: 2, stop: true}}"
    search = open_study("budget={trials: 6, epochs_per_trial: 3}", stopping, text=PRUNED_STUDY)
    pruned = 0
    for _ in range(6):
        ticket = search.run_one()
        if ticket.state == "pruned":
            pruned += 1
            assert ticket.checkpoint is not None or ticket.epochs_done == 1
            assert not search.bench().folder.trial(ticket.number).exists()
    assert pruned


def test_a_promoted_trial_is_the_trial_that_never_paused(open_study) -> None:
    """Each curve is the beginning of the curve that the same trial has without pruning."""
    asked = ("budget={trials: 6, epochs_per_trial: 3}", "sampler=random")
    whole = open_study(*asked, "pruner=none", text=PRUNED_STUDY)
    whole.run_all()
    promoting = open_study(*asked, "study=promoting", text=PRUNED_STUDY)
    promoting.run_all()
    resumed = [event for event in promoting.events() if event.kind == "resumed"]
    assert resumed, "nothing was promoted from a checkpoint"
    for ours, expected in zip(promoting.trials(), whole.trials(), strict=True):
        assert ours.params == expected.params
        for epoch, value in ours.intermediate_values.items():
            assert value == expected.intermediate_values[epoch]


def test_waiting_trials_keep_one_checkpoint_each_and_those_that_give_way_none(
    open_study, monkeypatch
) -> None:
    monkeypatch.setattr(ledger_module, "most_paused", lambda running: 2)
    search = open_study("budget={trials: 6, epochs_per_trial: 3}", text=PRUNED_STUDY)
    for _ in range(6):
        search.run_one()
        record = search.record()
        waiting = [trial for trial in record.trials if trial.waits]
        assert len(waiting) <= 2
        for trial in waiting:
            files = list(search.bench().folder.trial(trial.number).iterdir())
            assert [search.runs / trial.checkpoint] == files
        for trial in record.trials:
            if trial.state == "pruned":
                assert not search.bench().folder.trial(trial.number).exists()


def test_a_row_records_what_decides_the_last_digits(open_study) -> None:
    search = open_study("budget.trials=2")
    search.run_all()
    for ticket, row in zip(search.tickets(), search.trials(), strict=True):
        config = search.study.trial_config(ticket.params, ticket.ticket)
        expected = plan(config, device="cpu", data_root=search.data)
        attributes = dict(row.user_attrs)
        assert attributes.pop("multiply_adds") > 0
        matrix = attributes.pop("val_confusion")
        assert [len(row) for row in matrix] == [10] * 10
        assert sum(map(sum, matrix)) == 40
        right = sum(matrix[digit][digit] for digit in range(10))
        assert right / 40 == pytest.approx(row.value)  # the last epoch's, as the value is
        assert attributes == {
            "ticket": ticket.ticket,
            "device": "cpu",
            "threads": 1,
            "precision": "fp32",
            "parameters": 64 * 16 + 16 + 16 * 10 + 10,
            "trial_seed": trial_seed(5, ticket.ticket),
            "split_seed": 5,
            "data_hash": expected.data_hash,
            "split_hash": expected.split_hash,
            "train_images": 160,
            "val_images": 40,
            "images_per_class": [20] * 10,
            "receptive_field": None,
            "input_shape": [1, 8, 8],
            "classes": 10,
            "class_names": [str(digit) for digit in range(10)],
        }
    seeds = [row.user_attrs["trial_seed"] for row in search.trials()]
    assert seeds[0] != seeds[1]


@pytest.mark.parametrize(
    ("objective", "metric", "sign"),
    [
        ("val_accuracy", "val_accuracy", 1),
        ("{metric: val_accuracy, at: best}", "val_accuracy", 1),
        ("val_loss", "val_loss", -1),
        ("{metric: val_loss, at: best}", "val_loss", -1),
    ],
)
def test_values_and_best_weights_follow_the_objective(open_study, objective, metric, sign) -> None:
    # At this rate the figures go up and down: the best epoch isn't always the last.
    search = open_study(
        f"objective={objective}", "optimizer.sgd.lr={values: [1.0, 1.5, 2.0]}", "study=objective"
    )
    search.run_all(checkpoint_seconds=NO_CHECKPOINTS)
    record = search.record()
    curves = {
        ticket: [each[4 if metric == "val_accuracy" else 3] for each in curve]
        for ticket, curve in search.figures().items()
    }
    at_best = "best" in objective
    for trial, row in zip(record.trials, search.trials(), strict=True):
        curve = curves[trial.ticket]
        expected = max(curve, key=lambda value: sign * value) if at_best else curve[-1]
        assert (trial.value, row.value) == (expected, expected)
    assert any(max(curve, key=lambda value: sign * value) != curve[-1] for curve in curves.values())

    winner = best(record)
    values = [sign * trial.value for trial in ranked(record)]
    assert values == sorted(values, reverse=True)
    assert sign * winner.value == max(sign * trial.value for trial in record.trials)
    (file,) = search.files()
    assert file == f"trial-{winner.number:04d}/best.pt"
    kept = checkpoint.load(search.runs / "objective" / record.study.run_key / file)
    curve = curves[winner.ticket]
    assert (kept["epoch"], kept["value"]) == (winner.best_epoch, curve[winner.best_epoch - 1])
    assert kept["value"] == max(curve, key=lambda value: sign * value)
    assert {name: tuple(each.shape) for name, each in kept["weights"].items()} == {
        "dense1.weight": (16, 64),
        "dense1.bias": (16,),
        "logits.weight": (10, 16),
        "logits.bias": (10,),
    }
    assert all(isinstance(each, torch.Tensor) for each in kept["weights"].values())


def test_a_finished_trial_spares_the_weights_of_one_that_is_about_to_finish(open_study) -> None:
    """A worker writes best weights first, the ledger second; others tidy up in between."""
    search = open_study()
    slow = search.bench("slow")
    claim = search.claim("slow")
    folder = slow.folder
    folder.save_best(7, {"weights": {}})  # its report hasn't come yet
    assert claim.ticket == 1
    search.run_one("fast")
    assert folder.trial(7).joinpath("best.pt").exists()


def test_a_grid_ends_before_its_budget_where_it_has_no_more_points(open_study) -> None:
    search = open_study(
        "sampler=grid",
        "optimizer.sgd.lr={values: [0.05, 0.1, 0.2]}",
        "budget={trials: 5, epochs_per_trial: 1}",
    )
    assert search.run_all() is Idle.FINISHED
    assert [ticket.state for ticket in search.tickets()] == ["complete"] * 3
    rates = [row.params["optimizer.sgd.lr"] for row in search.trials()]
    assert sorted(rates) == [0.05, 0.1, 0.2]
    (withdrawn,) = search.events("withdrawn")
    assert withdrawn.ticket == 4
    assert search.record().study.exhausted
    assert search.run_all("relaunched") is Idle.FINISHED
    assert len(search.trials()) == 3


def test_try_first_comes_first_and_is_marked(open_study) -> None:
    search = open_study(
        "try_first=[{optimizer: {sgd: {lr: 0.125}}}]", "budget={trials: 2, epochs_per_trial: 1}"
    )
    search.run_all()
    first, second = search.trials()
    assert first.params == {"optimizer.sgd.lr": 0.125}
    assert first.user_attrs["try_first"] is True
    assert "try_first" not in second.user_attrs
