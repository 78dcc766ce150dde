"""What a launch shows, looked up in a real ledger that nobody trained for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from hpsearch.errors import DatabaseReplaced, LeaseLost
from hpsearch.search.database.tables import events
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.workers.launch import progress
from hpsearch.workers.launch.progress import Progress, ProgressReader, WorkerStatus


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    fake_clock = SimpleNamespace(now=500.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: fake_clock.now))
    return fake_clock


def reader_of(made_up) -> ProgressReader:
    return ProgressReader(made_up.database, made_up.stored, made_up.study)


def look(reader: ProgressReader) -> Progress:
    return reader.look([])


def test_messages_tell_each_end_once(made_up) -> None:
    made_up.trial(0.1)  # before the launch: not its business
    reader = reader_of(made_up)
    assert look(reader).messages == ()

    made_up.trial(0.5, 0.9, 0.7125)
    made_up.trial(0.5, 0.2)
    claim = made_up.claim()
    made_up.ledger.infeasible(claim, made_up.row(width=64, lr=0.5), "64 > 8", nth=0)
    made_up.ledger.start(claim, made_up.row(width=16, lr=0.25))
    made_up.ledger.fail(claim, "Traceback ...\nRuntimeError: poison\n", retry=False)
    assert look(reader).messages == (
        "trial 1 finished at epoch 3 (val_accuracy 71.25 %)",
        "trial 2 pruned at epoch 2 (val_accuracy 20.00 %)",
        "trial 3 can't be trained: 64 > 8",
        "trial 4 failed: RuntimeError: poison",
    )
    assert look(reader).messages == ()


def test_messages_tell_interruptions(made_up) -> None:
    reader = reader_of(made_up)
    claim = made_up.trial(0.5)
    made_up.ledger.fail(claim, "Traceback ...\nOSError: disk", retry=True)
    second = made_up.claim()
    free_tickets_of(made_up.database, made_up.stored.study_id, "worker-a")
    with pytest.raises(LeaseLost):
        made_up.ledger.renew(second)
    third = made_up.claim()
    made_up.ledger.release(third, "the worker was asked to stop")
    assert look(reader).messages == (
        "trial 0 was interrupted (OSError: disk)",
        "trial 0 continues after epoch 1",
        "trial 0 was interrupted (the worker process died)",
        "trial 0: a late worker's write was refused",
        "trial 0 continues after epoch 1",
        "trial 0 paused (the worker was asked to stop)",
    )


def test_a_ticket_without_a_number_is_called_a_ticket(made_up) -> None:
    reader = reader_of(made_up)
    made_up.ledger.release(made_up.claim(), "gone")
    made_up.claim()
    assert look(reader).messages == ("ticket 1 paused (gone)", "ticket 1 continues after epoch 0")


def test_the_best_trial_is_the_best_complete_one(made_up) -> None:
    reader = reader_of(made_up)
    made_up.trial(0.9)  # runs: not yet comparable
    assert look(reader).best is None
    made_up.trial(0.5, 0.5, 0.6)
    made_up.trial(0.5, 0.5, 0.8)
    made_up.trial(0.5, 0.5, 0.7)
    assert look(reader).best == (2, 0.8)


def test_speed_and_time_left_are_those_of_the_last_minute(made_up, clock: SimpleNamespace) -> None:
    reader = reader_of(made_up)
    first = look(reader)
    assert (first.epochs_per_second, first.seconds_left, first.elapsed) == (0.0, None, 0.0)

    made_up.trial(0.5, 0.5, 0.5)
    made_up.trial(0.5, 0.2)  # pruned: its third epoch will never come
    claim = made_up.trial(0.5)
    clock.now += 30
    state = look(reader)
    assert state.epochs_per_second == pytest.approx(6 / 30)
    # 6 trials of 3 epochs; of three begun ones 2 epochs are left, of the others all 9. Those that
    # have ended had 2.5 epochs: the begun one would have 1.5 left, the others 7.5. What an epoch
    # costs is the same in all of them.
    assert state.seconds_left is not None
    assert state.seconds_left.high == pytest.approx((2 + 9) / (6 / 30))
    assert state.seconds_left.low == pytest.approx((1.5 + 7.5) / (6 / 30))
    assert (state.elapsed, state.budget_trials) == (30, 6)

    made_up.epoch(claim, 2, 0.5)
    clock.now += 40  # the first look is out of the window now
    assert look(reader).epochs_per_second == pytest.approx(1 / 40)
    clock.now += 100
    assert look(reader).epochs_per_second == 0.0
    assert look(reader).seconds_left is None


@pytest.mark.parametrize(
    ("costs", "error"),
    [
        ([], 1.0),
        ([3.0], 1.0),
        ([2.0, 2.0, 2.0], 0.0),
        # Their standard deviation is 2.83, that of their mean 2, and the mean 3
        ([1.0, 5.0], 2 * 2 / 3),
    ],
)
def test_what_is_left_is_as_uncertain_as_trials_differ(costs, error) -> None:
    assert progress._relative_error(costs) == pytest.approx(error)


def test_one_trial_says_little_of_the_others(made_up, clock: SimpleNamespace) -> None:
    reader = reader_of(made_up)
    look(reader)
    made_up.trial(0.5, 0.5, 0.5)
    clock.now += 30
    left = look(reader).seconds_left
    assert left is not None
    assert (left.low, left.high) == pytest.approx((15 / 0.1 / 2, 15 / 0.1 * 2))


def test_workers_are_shown_with_what_they_do(made_up) -> None:
    reader = reader_of(made_up)
    made_up.trial(0.5, 0.6)  # runs, by worker-a
    local = [
        WorkerStatus(owner="worker-a", pid=10, device="cpu", state="idle"),
        WorkerStatus(owner="worker-b", pid=11, device="cuda:0", state="starting"),
    ]
    assert reader.look(local).workers == (
        WorkerStatus(
            owner="worker-a", pid=10, device="cpu", state="training", ticket=1, number=0, epoch=2
        ),
        local[1],
    )


def test_workers_of_other_hosts_are_shown_while_they_train(made_up) -> None:
    reader = reader_of(made_up)
    made_up.claims._owner = made_up.ledger._fence.owner = "gpu7:worker-0:1f2e3d4c"
    claim = made_up.trial(0.5)
    (status,) = look(reader).workers
    assert status == WorkerStatus(
        owner="gpu7:worker-0:1f2e3d4c",
        pid=None,
        device="on gpu7",
        state="training",
        ticket=1,
        number=0,
        epoch=1,
    )
    made_up.ledger.release(claim, "done for today")
    assert look(reader).workers == ()


def test_counts_are_the_ledgers(searched) -> None:
    counts = look(reader_of(searched)).counts
    assert (counts.total, counts.complete, counts.pruned, counts.failed, counts.running) == (
        6,
        3,
        1,
        1,
        1,
    )
    assert counts.infeasible == 1


def test_a_log_that_has_lost_events_is_an_older_copy(made_up) -> None:
    """The file itself may be the same: `cp backup.db hpsearch.db` writes into it."""
    reader = reader_of(made_up)
    made_up.trial(0.5, 0.6)
    look(reader)
    made_up.database.write(
        lambda connection: connection.execute(
            sa.delete(events).where(
                events.c.event_id == sa.select(sa.func.max(events.c.event_id)).scalar_subquery()
            )
        )
    )
    with pytest.raises(DatabaseReplaced, match="the newest events of study 'made_up' are missing"):
        look(reader)
