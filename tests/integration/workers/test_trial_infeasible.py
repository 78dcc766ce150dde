"""Draws that can't be built: recorded for the sampler, outside the budget, never a second time."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from support.trials import STUDY, leave_after

from hpsearch.search.ledger.types import Idle
from hpsearch.workers.trial import trial_run

#: 24 combinations, of which 9 leave something of 8 pixels.
CONV_STUDY = (
    STUDY.replace(
        "model: {mlp: {hidden: [16], dropout: 0.2}}",
        """model:
  dilated_cnn:
    conv1: {channels: 4, kernel_size: {min: 1, max: 6}}
    conv2: {channels: 4, kernel_size: {min: 1, max: 4}}
    hidden: 16""",
    )
    .replace("lr: {min: 1e-2, max: 0.5, log: true}", "lr: 0.1")
    .replace("trials: 3, epochs_per_trial: 3", "trials: 6, epochs_per_trial: 1")
)
CONV1, CONV2 = (f"model.dilated_cnn.conv{number}.kernel_size" for number in (1, 2))

#: Nothing fits into 8 pixels.
HOPELESS = "model={dilated_cnn: {conv1: {kernel_size: {min: 9, max: 90}}}}"


def fits(params) -> bool:
    """Each convolution takes kernel_size - 1 pixels, each pooling halves what is left."""
    size = (8 - params[CONV1] + 1) // 2
    return (size - params[CONV2] + 1) // 2 >= 1


@pytest.mark.parametrize("sampler", ["random", "{tpe: {startup_trials: 3}}", "grid"])
def test_infeasible_draws_use_no_budget_and_come_once(open_study, sampler) -> None:
    search = open_study(f"sampler={sampler}", text=CONV_STUDY)
    assert search.run_all() is Idle.FINISHED

    counts = search.record().counts
    assert (counts.total, counts.complete) == (6, 6)
    assert counts.infeasible >= 3, "this space must show some"
    rows = search.trials()
    assert len(rows) == counts.total + counts.infeasible
    for row in rows:
        refused = "infeasible" in row.user_attrs
        assert refused is not fits(row.params)
        assert row.state is (TrialState.PRUNED if refused else TrialState.COMPLETE)
        assert row.system_attrs.get("constraints") == ([1.0] if refused else None)
    assert len({(row.params[CONV1], row.params[CONV2]) for row in rows}) == len(rows)


def test_the_reason_holds_the_arithmetic(open_study) -> None:
    search = open_study(
        "try_first=[{model: {dilated_cnn: {conv1: {kernel_size: 6}, conv2: {kernel_size: 3}}}}]",
        "budget.trials=1",
        text=CONV_STUDY,
    )
    search.run_all()
    refused, *_, built = search.trials()
    assert refused.user_attrs["infeasible"] == (
        "conv2: kernel 3 spans 3 pixels, but its input is 1 pixel high: "
        "floor((1 + 2*0 - 1*(3-1) - 1)/1) + 1 = -1; "
        "use a smaller kernel, less dilation, more padding or a larger input_size"
    )
    event = search.events("infeasible")[0]
    assert event.detail == {"trial": 0, "reason": refused.user_attrs["infeasible"]}
    # The same ticket then drew freely: `try_first` is used up.
    assert (refused.user_attrs["ticket"], built.user_attrs["ticket"]) == (1, 1)
    assert refused.user_attrs["try_first"] is True
    assert "try_first" not in built.user_attrs
    assert built.state is TrialState.COMPLETE


def test_a_grid_with_infeasible_points_is_walked_to_its_end(open_study) -> None:
    # With this seed the last points are infeasible: the ticket that drew them is withdrawn.
    search = open_study("sampler=grid", "budget.trials=24", "seed=3", text=CONV_STUDY)
    assert search.run_all() is Idle.FINISHED
    rows = search.trials()
    assert len({(row.params[CONV1], row.params[CONV2]) for row in rows}) == len(rows) == 24
    counts = search.record().counts
    assert (counts.total, counts.complete, counts.infeasible) == (9, 9, 15)


def test_a_space_that_nothing_fits_ends_in_words(open_study, monkeypatch) -> None:
    monkeypatch.setattr(trial_run, "MAX_INFEASIBLE", 4)
    search = open_study("budget={trials: 2, epochs_per_trial: 1}", HOPELESS)
    assert search.run_all() is Idle.FINISHED

    counts = search.record().counts
    assert (counts.total, counts.failed, counts.infeasible) == (2, 2, 8)
    reason = "4 configurations in a row can't be built; narrow the study's space"
    for ticket in search.tickets():
        assert (ticket.last_error, ticket.attempt) == (reason, 1)
    failed = [row for row in search.trials() if row.state is TrialState.FAIL]
    assert [row.user_attrs["error"] for row in failed] == [reason, reason]
    assert [row.number for row in failed] == [4, 9]


def test_drawing_is_left_when_told_and_goes_on_where_it_was(open_study, monkeypatch) -> None:
    monkeypatch.setattr(trial_run, "MAX_INFEASIBLE", 5)
    search = open_study("budget={trials: 1, epochs_per_trial: 1}", HOPELESS)
    ticket = search.run_one(leave=leave_after(3))
    assert (ticket.state, ticket.infeasible, ticket.failures) == ("paused", 3, 0)
    (released,) = search.events("released")
    assert released.detail == {"reason": "the worker was asked to stop"}

    ticket = search.run_one("two")
    assert (ticket.state, ticket.infeasible) == ("failed", 5)
    widths = [next(iter(row.params.values())) for row in search.trials() if row.params]
    assert len(set(widths)) == 5
