"""A process that dies between any two writes leaves a study that ends exactly all the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.failpoints import PROMOTING, Place
from support.forked_command import ForkedCommand

from hpsearch import failpoints
from hpsearch.failpoints import EXIT_CODE, VARIABLE, FailPoint, hit

pytestmark = pytest.mark.timeout(1800)

#: Seconds for what must happen, however busy the machine is.
PATIENCE = 400

OF_THE_LAUNCH = [
    FailPoint.TABLES_CREATED,
    FailPoint.STUDY_STORED,
    FailPoint.WORKERS_STARTED,
    FailPoint.DEATH_SEEN,
    FailPoint.TICKETS_FREED,
    FailPoint.WORKERS_TOLD,
]
WHILE_LEAVING = [FailPoint.LEAVING_SAVED, FailPoint.RELEASED]
AFTER_A_DEATH = [FailPoint.RESUMED]
#: tests/chaos/test_confirmation.py
OF_A_CONFIRMATION = [FailPoint.ROUND_PLANNED]
OF_A_WORKER = [
    step
    for step in FailPoint
    if step
    not in {
        *OF_THE_LAUNCH,
        *WHILE_LEAVING,
        *AFTER_A_DEATH,
        *OF_A_CONFIRMATION,
        FailPoint.TRIAL_PAUSED,
    }
]
#: Where a trial pauses at a rung, is promoted, or ends because the budget is used.
OF_PROMOTION = [
    FailPoint.TRIAL_PAUSED,
    FailPoint.CHECKPOINT_SAVED,
    FailPoint.RESUMED,
    FailPoint.TRIAL_COMPLETE,
    FailPoint.STUDY_FINISHED,
]

#: Where a transaction of ours or a lease is cut off: what the kind of database might change.
ON_POSTGRES = {
    FailPoint.CLAIMED,
    FailPoint.INFEASIBLE_RECORDED,
    FailPoint.ROW_CREATED,
    FailPoint.CHECKPOINT_SAVED,
    FailPoint.TRIAL_COMPLETE,
    FailPoint.ATTEMPT_FAILED,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, Any]:
    """What a launch in which nobody dies ends with."""
    folder = tmp_path_factory.mktemp("undisturbed")
    place = Place(f"sqlite:///{folder}/hpsearch.db", folder, shared_data)
    assert place.run().reason == "finished"
    return place.result()


@pytest.fixture
def make_place(tmp_path: Path, shared_data: Path) -> Callable[[str], Place]:
    return lambda storage: Place(storage, tmp_path, shared_data)


@pytest.fixture
def place(make_place: Callable[[str], Place], tmp_path: Path) -> Place:
    return make_place(f"sqlite:///{tmp_path}/hpsearch.db")


@pytest.fixture
def on_postgres(make_place: Callable[[str], Place], postgres: Any) -> Iterator[Place]:
    url = postgres.create()
    yield make_place(url)
    postgres.drop(url)


def test_the_study_has_every_kind_of_end(undisturbed: dict[str, Any]) -> None:
    """Otherwise some steps would never be passed."""
    states = {ticket["state"] for ticket in undisturbed["tickets"]}
    assert states == {"complete", "pruned", "failed"}
    assert sum(ticket["infeasible"] for ticket in undisturbed["tickets"]) >= 1
    assert len(undisturbed["files"]) == 1


@pytest.mark.parametrize("step", OF_A_WORKER, ids=lambda step: step.name.lower())
def test_a_worker_that_dies(step: FailPoint, place: Place, undisturbed: dict[str, Any]) -> None:
    outcome = place.run(dies_at=place.dies_at(step))
    assert place.marker(step).exists(), "an ordinary launch never passed this step"
    assert outcome.reason == "finished"
    assert place.result() == undisturbed


@pytest.fixture(scope="module")
def undisturbed_promotion(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> dict[str, Any]:
    """What a launch that promotes ends with if nobody dies."""
    folder = tmp_path_factory.mktemp("promotion")
    place = Place(f"sqlite:///{folder}/hpsearch.db", folder, shared_data, PROMOTING)
    assert place.run().reason == "finished"
    result = place.result()
    assert {ticket["state"] for ticket in result["tickets"]} == {"complete", "pruned", "failed"}
    return result


@pytest.mark.parametrize("step", OF_PROMOTION, ids=lambda step: step.name.lower())
def test_a_worker_that_dies_where_trials_pause_and_go_on(
    step: FailPoint, place: Place, undisturbed_promotion: dict[str, Any]
) -> None:
    promoting = replace(place, study=PROMOTING)
    outcome = promoting.run(dies_at=promoting.dies_at(step))
    assert promoting.marker(step).exists()
    assert outcome.reason == "finished"
    assert promoting.result() == undisturbed_promotion


@pytest.mark.parametrize(
    "step", sorted(ON_POSTGRES, key=lambda step: step.name), ids=lambda step: step.name.lower()
)
def test_a_worker_that_dies_on_postgres(
    step: FailPoint, on_postgres: Place, undisturbed: dict[str, Any]
) -> None:
    outcome = on_postgres.run(dies_at=on_postgres.dies_at(step))
    assert on_postgres.marker(step).exists()
    assert outcome.reason == "finished"
    assert on_postgres.result() == undisturbed


def test_the_last_worker_that_dies(place: Place, undisturbed: dict[str, Any]) -> None:
    """No later trial tidies up behind it: whoever finds the study finished does."""
    states = [ticket["state"] for ticket in undisturbed["tickets"]]
    step = {
        "complete": FailPoint.TRIAL_COMPLETE,
        "pruned": FailPoint.TRIAL_PRUNED,
        "failed": FailPoint.ATTEMPT_FAILED,
    }[states[-1]]
    visit = states.count(states[-1])
    outcome = place.run(dies_at=f"{step.name.lower()}:{visit}:{place.marker(step)}")
    assert place.marker(step).exists()
    assert outcome.reason == "finished"
    assert place.result() == undisturbed


@pytest.mark.parametrize("step", AFTER_A_DEATH, ids=lambda step: step.name.lower())
def test_a_worker_that_dies_as_its_heir_does(
    step: FailPoint, place: Place, undisturbed: dict[str, Any]
) -> None:
    first = place.dies_at(FailPoint.CHECKPOINTS_CLEARED)
    assert place.run(dies_at=f"{first},{place.dies_at(step)}").reason == "finished"
    assert place.marker(step).exists()
    assert place.result() == undisturbed


@pytest.mark.parametrize("step", WHILE_LEAVING, ids=lambda step: step.name.lower())
def test_a_worker_that_dies_while_it_leaves(
    step: FailPoint, place: Place, undisturbed: dict[str, Any]
) -> None:
    assert place.run(dies_at=place.dies_at(step), told=True).reason == "finished"
    assert place.marker(step).exists()
    assert place.result() == undisturbed


@pytest.mark.parametrize("step", OF_THE_LAUNCH, ids=lambda step: step.name.lower())
def test_a_launch_that_dies(step: FailPoint, place: Place, undisturbed: dict[str, Any]) -> None:
    place.file()  # writes it
    dies_at = [place.dies_at(step)]
    if step in (FailPoint.DEATH_SEEN, FailPoint.TICKETS_FREED):
        # In the last trial: nobody frees it before its lease is over, so another would come first.
        dies_at.append(f"row_created:5:{place.marker(FailPoint.ROW_CREATED)}")
    command = ["launch", "--study", f"{place.folder}/steps.yaml", "--lease", "5"]
    command += ["--checkpoint-interval", "0", "--data", str(place.data), "--devices", "cpu"]
    command += ["--runs", str(place.config().runs), "--storage", place.storage]
    dying = {**os.environ, VARIABLE: ",".join(dies_at)}
    died = ForkedCommand(command, Path.cwd(), dying)
    printed, _ = died.communicate(PATIENCE)
    assert died.returncode == EXIT_CODE, printed
    assert place.run().reason == "finished"
    assert place.result() == undisturbed


class TestPassing:
    @pytest.fixture
    def exits(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        exits: list[int] = []
        monkeypatch.setattr(os, "_exit", exits.append)
        monkeypatch.setattr(failpoints, "_visits", type(failpoints._visits)())
        return exits

    @pytest.mark.parametrize("wanted", [None, "", "row_created", "claimed:2", "no such step"])
    def test_does_nothing_unless_named(
        self, exits: list[int], monkeypatch: pytest.MonkeyPatch, wanted: str | None
    ) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        if wanted is not None:
            monkeypatch.setenv(VARIABLE, wanted)
        hit(FailPoint.CLAIMED)
        assert exits == []

    def test_ends_the_process_at_the_visit_that_is_named(
        self, exits: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, "row_created,claimed:2")
        hit(FailPoint.CLAIMED)
        assert exits == []
        hit(FailPoint.CLAIMED)
        assert exits == [EXIT_CODE]
        hit(FailPoint.CLAIMED)
        assert exits == [EXIT_CODE]

    def test_of_all_processes_one_dies(
        self, exits: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(VARIABLE, f"claimed:1:{tmp_path}/died")
        hit(FailPoint.CLAIMED)
        monkeypatch.setattr(failpoints, "_visits", type(failpoints._visits)())
        hit(FailPoint.CLAIMED)
        assert exits == [EXIT_CODE]

    def test_costs_nothing_where_nobody_asks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        before = failpoints._visits.copy()
        hit(FailPoint.EPOCH_REPORTED)
        assert failpoints._visits == before, "not even counted"

    def test_every_step_says_where_it_is(self) -> None:
        assert all(step.value.endswith(".") and len(step.value) > 20 for step in FailPoint)
        assert len({step.value for step in FailPoint}) == len(FailPoint)
