from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hpsearch.reporting.analysis.costs import costs, read_costs
from hpsearch.results.records import read_study

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def moments(*ends: tuple[float, str, int]) -> list:
    return [(START, "created", None), *((at(when), kind, ticket) for when, kind, ticket in ends)]


def test_the_bill_by_state_and_what_pruning_saved(searched) -> None:
    bill = read_costs(searched.database, read_study(searched.database, "made_up"))
    assert {state: (cost.trials, cost.epochs) for state, cost in bill.by_state.items()} == {
        "running": (1, 0),
        "paused": (0, 0),
        "complete": (3, 9),
        "pruned": (1, 2),
        "failed": (1, 1),
        "invalid": (0, 0),
    }
    assert (bill.epochs, bill.compute_seconds, bill.infeasible) == (12, 24.0, 1)
    assert (bill.epochs_saved, bill.share_saved) == (1, pytest.approx(1 / 12))
    assert [trial.number for trial in bill.ended] == [0, 2, 3, 4, 5]
    assert [step.number for step in bill.best_so_far] == [0, 2], "4 ties with 2"
    assert bill.energy_joules is None


def test_the_best_so_far_stands_at_its_epochs_and_seconds(searched) -> None:
    record = read_study(searched.database, "made_up")
    # Two workers: tickets 1 and 2 side by side, 2 seconds an epoch; 4 afterwards
    events = moments((6, "complete", 1), (7, "complete", 2), (13, "complete", 4))
    runs = {1: [2.0] * 3, 2: [2.0] * 3, 4: [2.0] * 3}
    bill = costs(record, moments=events, epochs_in_order=runs)
    first, second = bill.best_so_far
    assert (first.epochs, first.seconds, first.trials) == (5, 6.0, 1), "2 of ticket 2's were done"
    assert (second.epochs, second.seconds, second.trials) == (6, 7.0, 2)
    assert bill.within(0.15) == first
    assert bill.within(0.05) == second
    assert (bill.wall_seconds, bill.busy_seconds) == (13.0, 13.0)
    assert bill.parallelism == pytest.approx(24 / 13)


def test_a_night_in_which_nobody_worked_is_no_work(searched) -> None:
    record = read_study(searched.database, "made_up")
    bill = costs(
        record,
        moments=moments((6, "complete", 1), (30_000, "claimed", 2), (30_007, "complete", 2)),
        epochs_in_order={},
    )
    assert (bill.wall_seconds, bill.busy_seconds) == (30_007.0, 13.0)


def test_a_study_that_hasnt_begun_has_no_times(made_up) -> None:
    record = read_study(made_up.database, "made_up")
    bill = costs(record, moments=[], epochs_in_order={})
    assert (bill.wall_seconds, bill.parallelism, bill.ended) == (None, None, ())
    assert bill.within(0.1) is None


def test_a_trial_that_waited_until_the_end_stands_where_it_began_to_wait(searched) -> None:
    record = read_study(searched.database, "made_up")
    pruned = next(trial for trial in record.trials if trial.state == "pruned")
    events = moments(
        (2, "paused", pruned.ticket),
        (3, "resumed", pruned.ticket),
        (5, "paused", pruned.ticket),
        (7, "complete", 1),
        (20, "pruned", pruned.ticket),
    )
    bill = costs(record, moments=events, epochs_in_order={pruned.ticket: [2.0, 2.0], 1: [1.0] * 3})
    waited, complete = bill.ended
    assert (waited.number, waited.seconds, waited.epochs) == (pruned.number, 5.0, 3), (
        "one of ticket 1, too"
    )
    assert (complete.seconds, complete.epochs) == (7.0, 5)
    # If it was stopped while it trained, its end is where it was stopped
    del events[3]
    (first, second) = costs(record, moments=events, epochs_in_order={}).ended
    assert (first.seconds, second.seconds) == (7.0, 20.0)
