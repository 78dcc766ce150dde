"""The lease keeper, on a ledger that answers as told. Leases here are short; waits are generous."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from support.meanwhile import as_soon_as

from hpsearch.errors import LeaseLost
from hpsearch.exit_codes import MORE_TO_DO
from hpsearch.search.database.storage import GaveUpWaiting
from hpsearch.search.ledger.types import Claim
from hpsearch.workers.trial import lease_keeper
from hpsearch.workers.trial.lease_keeper import RENEWALS_PER_LEASE, LeaseKeeper, pause_seconds

LEASE = 0.2
#: For what must happen, however busy the machine is.
PATIENCE = 240.0

CLAIM = Claim(
    study_id=1,
    ticket=4,
    attempt=2,
    trial_id=5,
    number=3,
    params={},
    point=None,
    infeasible=0,
    epochs_done=0,
    checkpoint=None,
)


class FakeLedger:
    """Counts renewals; each is answered by ``answer``, which returns the study's stops."""

    def __init__(self, answer: Callable[[], int] = lambda: 0) -> None:
        self.answer = answer
        self.renewed: list[Claim] = []
        self.failed: list[str] = []

    def renew(self, claim: Claim) -> int:
        self.renewed.append(claim)
        return self.answer()

    def fail(self, claim: Claim, error: str, *, retry: bool) -> bool:
        assert retry
        self.failed.append(error)
        self.answer()
        return True


def keeper_of(
    ledger: FakeLedger,
    *,
    leave: Callable[[], bool] = lambda: False,
    seen_stops: int = 0,
    lease_seconds: float = LEASE,
) -> LeaseKeeper:
    return LeaseKeeper(
        ledger,  # type: ignore[arg-type]
        CLAIM,
        lease_seconds=lease_seconds,
        leave=leave,
        seen_stops=seen_stops,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def looked_again(ledger: FakeLedger) -> None:
    """Wait until the keeper has looked at its clock since now: before each renewal it does."""
    renewed = len(ledger.renewed)
    wait_until(lambda: len(ledger.renewed) >= renewed + 2)


class Asking(threading.Thread):
    """Asks ``should_stop`` as the training loop does, in a thread that the test can watch."""

    def __init__(self, keeper: LeaseKeeper) -> None:
        super().__init__(daemon=True)
        self.keeper = keeper
        self.answer: bool | None = None
        self.start()

    def run(self) -> None:
        self.answer = self.keeper.should_stop()

    def blocked(self) -> bool:
        """Whether there is no answer, after several leases' time."""
        self.join(3 * LEASE)
        return self.is_alive()

    def answered(self) -> bool | None:
        self.join(PATIENCE)
        assert not self.is_alive(), "should_stop gave no answer"
        return self.answer


def test_it_renews_several_times_in_a_lease() -> None:
    ledger = FakeLedger()
    began = time.monotonic()
    with keeper_of(ledger) as keeper:
        wait_until(lambda: len(ledger.renewed) >= 6)
        took = time.monotonic() - began
        assert not keeper.lost
        assert not keeper.stop_requested
    assert set(map(id, ledger.renewed)) == {id(CLAIM)}
    # Not faster than promised: a renewal is a write.
    assert took >= 5 * LEASE / RENEWALS_PER_LEASE
    assert RENEWALS_PER_LEASE >= 3


def test_training_goes_on_while_the_lease_is_ours() -> None:
    ledger = FakeLedger()
    with keeper_of(ledger) as keeper:
        for _ in range(3):
            ledger.renewed.clear()
            wait_until(lambda: bool(ledger.renewed))
            assert keeper.should_stop() is False


def test_a_lost_lease_stops_the_training_and_the_renewals() -> None:
    def refuse() -> int:
        raise LeaseLost("ticket 4: attempt 2 is over")

    ledger = FakeLedger(refuse)
    with keeper_of(ledger) as keeper:
        wait_until(lambda: keeper.lost)
        assert keeper.should_stop() is True
        assert not keeper.stop_requested
        time.sleep(2 * LEASE / RENEWALS_PER_LEASE)
        assert len(ledger.renewed) == 1


@pytest.mark.parametrize(
    ("stops_before", "stops", "expected"),
    [
        (0, 0, False),
        (0, 1, True),
        (2, 2, False),  # stopped twice, then launched again: those were for others
        (2, 3, True),
    ],
)
def test_only_a_new_request_stops_the_training(
    stops_before: int, stops: int, expected: bool
) -> None:
    ledger = FakeLedger(lambda: stops)
    with keeper_of(ledger, seen_stops=stops_before) as keeper:
        wait_until(lambda: len(ledger.renewed) >= 2)  # the first answer has been noted
        assert keeper.stop_requested is expected
        assert keeper.should_stop() is expected
        assert not keeper.lost


def test_training_stops_when_the_worker_is_told_to_leave() -> None:
    must_leave = False
    with keeper_of(FakeLedger(), leave=lambda: must_leave) as keeper:
        assert keeper.should_stop() is False
        must_leave = True
        assert keeper.should_stop() is True


def test_a_lease_in_doubt_blocks_the_training_until_it_is_renewed() -> None:
    back = threading.Event()

    def answer() -> int:
        if not back.is_set():
            raise ConnectionError("the database is away")
        return 0

    with keeper_of(FakeLedger(answer)) as keeper:
        time.sleep(LEASE)
        asking = Asking(keeper)
        assert asking.blocked()
        back.set()
        assert asking.answered() is False


def test_a_lease_in_doubt_that_proves_lost_stops_the_training() -> None:
    is_lost = threading.Event()

    def answer() -> int:
        raise LeaseLost("taken") if is_lost.is_set() else ConnectionError("the database is away")

    with keeper_of(FakeLedger(answer)) as keeper:
        time.sleep(LEASE)
        asking = Asking(keeper)
        assert asking.blocked()
        is_lost.set()
        assert asking.answered() is True
        assert keeper.lost


def test_a_lease_runs_from_the_question_not_from_its_late_answer() -> None:
    """Whoever asks when the answer was on its way for a lease may have lost the trial since."""
    first, second = threading.Event(), threading.Event()
    answers = iter([first, second])

    def answer() -> int:
        next(answers).wait(PATIENCE)
        return 0

    ledger = FakeLedger(answer)
    with keeper_of(ledger) as keeper:
        wait_until(lambda: len(ledger.renewed) == 1)
        time.sleep(2 * LEASE)
        asking = Asking(keeper)
        first.set()  # two leases late
        wait_until(lambda: len(ledger.renewed) == 2)
        assert asking.blocked()
        ledger.answer = lambda: 0
        second.set()
        assert asking.answered() is False


def test_a_worker_that_is_told_to_leave_gets_out_of_the_block() -> None:
    must_leave = threading.Event()

    def answer() -> int:
        raise ConnectionError("the database is away")

    with keeper_of(FakeLedger(answer), leave=must_leave.is_set) as keeper:
        time.sleep(LEASE)
        asking = Asking(keeper)
        assert asking.blocked()
        must_leave.set()
        assert asking.answered() is True
        assert not keeper.lost


def test_errors_are_logged_and_do_not_end_the_renewals(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    errors: Iterator[Exception] = iter([RuntimeError("one"), ValueError("two")])

    def answer() -> int:
        for error in errors:
            raise error
        return 1

    with keeper_of(FakeLedger(answer)) as keeper:
        wait_until(lambda: keeper.stop_requested)
    assert [record.message for record in caplog.records] == ["the lease could not be renewed"] * 2
    assert "ValueError: two" in caplog.text


def test_it_ends_where_nobody_waits_for_the_database_any_more() -> None:
    def answer() -> int:
        raise GaveUpWaiting("stopped while waiting for the database")

    ledger = FakeLedger(answer)
    with keeper_of(ledger):
        wait_until(lambda: bool(ledger.renewed))
        time.sleep(2 * LEASE / RENEWALS_PER_LEASE)
        assert len(ledger.renewed) == 1


def test_no_renewal_is_under_way_once_the_block_is_left() -> None:
    begun = threading.Event()
    over: list[float] = []

    def slow() -> int:
        begun.set()
        time.sleep(0.3)
        over.append(time.monotonic())
        return 0

    ledger = FakeLedger(slow)
    with keeper_of(ledger):
        assert begun.wait(PATIENCE)
    left = time.monotonic()
    assert len(over) == 1
    assert over[0] <= left
    time.sleep(2 * LEASE / RENEWALS_PER_LEASE)
    assert len(ledger.renewed) == 1
    assert "lease-keeper" not in {thread.name for thread in threading.enumerate()}


def test_leaving_does_not_wait_for_the_next_renewal() -> None:
    began = time.monotonic()
    with keeper_of(FakeLedger(), lease_seconds=3600):
        pass
    assert time.monotonic() - began < PATIENCE


class TestHang:
    """Code that is watched and finishes no batch in time, on a clock that only the test moves."""

    TIMEOUT = 0.4

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        fake_clock = SimpleNamespace(now=1000.0)
        monkeypatch.setattr(lease_keeper, "time", SimpleNamespace(monotonic=lambda: fake_clock.now))
        return fake_clock

    @pytest.fixture
    def exits(self) -> list[int]:
        return []

    @pytest.fixture
    def hanging(self, exits: list[int], clock: SimpleNamespace) -> Callable[..., LeaseKeeper]:
        def make(ledger: FakeLedger, **changes: object) -> LeaseKeeper:
            return LeaseKeeper(
                ledger,  # type: ignore[arg-type]
                CLAIM,
                **{
                    "lease_seconds": LEASE,
                    "leave": lambda: False,
                    "seen_stops": 0,
                    "trial_timeout": self.TIMEOUT,
                    "exit_process": exits.append,
                    **changes,
                },
            )

        return make

    def test_ends_the_attempt_with_the_place_and_then_the_process(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        ledger = FakeLedger()
        with hanging(ledger) as keeper, keeper.watching():
            clock.now += self.TIMEOUT
            looked_again(ledger)  # it holds its lease until then
            assert exits == []
            clock.now += 0.001
            wait_until(lambda: bool(exits))
        assert exits == [MORE_TO_DO]
        (error,) = ledger.failed
        assert error.splitlines()[0] == (
            "no progress for 0.4s: no batch was finished in that time (budget.trial_timeout)"
        )
        assert "in wait_until\n" in error, "where the watched thread stands"

    def test_batches_are_progress(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        ledger = FakeLedger()
        with hanging(ledger) as keeper, keeper.watching():
            for _ in range(4):
                clock.now += 0.9 * self.TIMEOUT
                looked_again(ledger)
                assert keeper.should_stop() is False
        assert exits == []

    def test_what_is_not_watched_may_take_its_time(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        """The database is waited for, and a full disk."""
        ledger = FakeLedger()
        with hanging(ledger) as keeper:
            for _ in keeper.watched(iter(range(2))):
                clock.now += 2 * self.TIMEOUT
                looked_again(ledger)
            clock.now += 2 * self.TIMEOUT
            looked_again(ledger)
        assert exits == []

    def test_what_is_watched_between_two_steps_may_not(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        def steps() -> Iterator[int]:
            yield 1
            clock.now += 2 * self.TIMEOUT
            wait_until(lambda: bool(exits))

        with hanging(FakeLedger()) as keeper:
            assert list(keeper.watched(steps())) == [1]
        assert exits == [MORE_TO_DO]

    def test_waiting_for_a_lease_in_doubt_is_no_hang(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        back = threading.Event()

        def answer() -> int:
            if not back.is_set():
                raise ConnectionError("the database is away")
            return 0

        ledger = FakeLedger(answer)

        def hang_and_come_back() -> None:
            clock.now += 3 * self.TIMEOUT
            looked_again(ledger)
            back.set()

        with hanging(ledger) as keeper:
            clock.now += LEASE
            with (
                keeper.watching(),
                as_soon_as(lambda: keeper._progress_at is None, hang_and_come_back),
            ):
                assert keeper.should_stop() is False
        assert back.is_set()
        assert exits == []

    def test_ends_the_process_also_where_the_trial_is_lost(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        def refuse() -> int:
            raise LeaseLost("ticket 4: attempt 2 is over")

        with hanging(FakeLedger(refuse)) as keeper, keeper.watching():
            wait_until(lambda: keeper.lost)
            clock.now += 2 * self.TIMEOUT
            wait_until(lambda: bool(exits))
        assert exits == [MORE_TO_DO]

    def test_ends_the_process_also_where_the_ledger_fails(
        self, hanging: Callable[..., LeaseKeeper], exits: list[int], clock: SimpleNamespace
    ) -> None:
        def refuse() -> int:
            raise GaveUpWaiting("told to leave")

        with hanging(FakeLedger(refuse)) as keeper, keeper.watching():
            clock.now += 2 * self.TIMEOUT
            wait_until(lambda: bool(exits))
        assert exits == [MORE_TO_DO]


def test_leaving_is_answered_at_once_while_the_lease_is_in_doubt() -> None:
    must_leave = False

    def answer() -> int:
        raise ConnectionError("the database is away")

    with keeper_of(FakeLedger(answer), leave=lambda: must_leave) as keeper:
        time.sleep(2 * LEASE)
        assert keeper.must_leave() is False
        must_leave = True
        assert keeper.must_leave() is True


@pytest.mark.parametrize(("running", "seconds"), [(1, 2.0), (128, 2.0), (256, 4.0), (10_000, 7.5)])
def test_a_large_fleet_renews_less_often_but_four_times_in_a_lease(running, seconds) -> None:
    assert pause_seconds(30.0, float("inf"), running) == seconds
    assert pause_seconds(2.0, float("inf"), running) == 0.5
    assert pause_seconds(30.0, 4.0, running) == 1.0
