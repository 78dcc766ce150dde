"""Checkpoints in an object store: what the ledger names is there, whatever happens to the store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import Ran
from support.meanwhile import as_soon_as
from support.object_store import ObjectStore, names_in
from support.trials import IN_EPOCH_3, ONE_TRIAL, SmallSearch, leave_after

from hpsearch.search.ledger.types import Idle
from hpsearch.workers.checkup import files
from hpsearch.workers.checkup.examine import Health, examine
from hpsearch.workers.checkup.repairs import make_repairs
from hpsearch.workers.copying import copy_files
from hpsearch.workers.deleting import delete, plan_deletion
from hpsearch.workers.owners import new_owner
from hpsearch.workers.runs_place import objects
from hpsearch.workers.runs_place.objects import Objects
from hpsearch.workers.runs_place.place import RunsUrl
from hpsearch.workers.runs_place.study_files import files_of
from hpsearch.workers.trial import disk_retry

OpenStudy = Callable[..., SmallSearch]


@pytest.fixture
def prepared_url(tmp_path: Path, sqlite_template: Path) -> str:
    """None of this depends on the kind of database."""
    path = shutil.copy(sqlite_template, tmp_path / "hpsearch.db")
    return f"sqlite:///{path}"


@pytest.fixture
def place(object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunsUrl:
    monkeypatch.setattr(disk_retry, "PAUSE_SECONDS", 0.1)
    return object_store.place(tmp_path / "local")


@pytest.fixture
def search(open_study: OpenStudy, place: RunsUrl) -> SmallSearch:
    return replace(open_study(ONE_TRIAL), runs=place)


def health(search: SmallSearch) -> Health:
    return examine(search.database, "small", search.runs, pause_seconds=0)


def complaints(search: SmallSearch) -> list[str]:
    """Return the rules that `doctor` finds broken."""
    found = health(search)
    rules = [each.rule for each in found.broken]
    return rules + [each.finding.rule for each in found.files.findings]


def test_a_trial_goes_on_elsewhere_and_ends_bit_identical(
    search: SmallSearch,
    place: RunsUrl,
    undisturbed: list[tuple[float, ...]],
    tmp_path: Path,
) -> None:
    left = search.run_one(leave=leave_after(IN_EPOCH_3))
    assert left.checkpoint is not None and "epoch-0002-part" in left.checkpoint
    assert len(names_in(place)) == 2, "the newest, and one more if that is damaged"
    assert complaints(search) == []

    other_host = replace(search, runs=replace(place, local=tmp_path / "other host"))
    assert other_host.run_all("two") is Idle.FINISHED
    ticket = search.ticket()
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 2, 0)
    assert search.figures()[1] == undisturbed
    assert not search.events("checkpoint_unusable")
    assert names_in(place) == {"trial-0000/best.pt"}
    assert search.bench().folder.load_best(0)["epoch"] in (1, 2, 3)
    assert complaints(search) == []
    assert not (tmp_path / "local").exists() and not (tmp_path / "other host").exists()


def test_the_store_stops_in_the_middle_and_nothing_is_lost(
    search: SmallSearch,
    place: RunsUrl,
    object_store: ObjectStore,
    undisturbed: list[tuple[float, ...]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = search.bench()
    report = bench.ledger.report

    def report_and_stop(*arguments, **more):
        decision = report(*arguments, **more)
        if search.ticket().epochs_done == 1:
            object_store.stop()
        return decision

    bench.ledger.report = report_and_stop

    def waits_for_the_store() -> bool:
        return any("its best weights can't be written" in each for each in caplog.messages)

    with as_soon_as(waits_for_the_store, object_store.start):
        assert search.run_all(ledger=bench.ledger) is Idle.FINISHED
    ticket = search.ticket()
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 1, 0)
    (skipped,) = search.events("checkpoint_skipped")
    assert skipped.detail["epoch"] == 2
    warnings = [each for each in caplog.messages if "there is no checkpoint after epoch" in each]
    assert len(warnings) == 1
    assert f"the runs place {place} can't be written" in warnings[0]
    assert search.figures()[1] == undisturbed
    assert names_in(place) == {"trial-0000/best.pt"}
    assert complaints(search) == []


def test_a_trial_waits_for_the_store_and_does_not_start_again(
    search: SmallSearch,
    object_store: ObjectStore,
    undisturbed: list[tuple[float, ...]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    search.run_one(leave=leave_after(IN_EPOCH_3))
    object_store.stop()

    def waits() -> bool:
        return any("can't continue from its checkpoint" in each for each in caplog.messages)

    # One that is told to leave while it waits gives the trial back as it was
    given_back = search.run_one("leaves", leave=waits)
    assert (given_back.state, given_back.checkpoint_epoch) == ("paused", 2)
    caplog.clear()
    with as_soon_as(waits, object_store.start):
        assert search.run_all("two") is Idle.FINISHED
    assert search.figures()[1] == undisturbed
    assert not search.events("checkpoint_unusable")
    assert not search.events("epoch_redone")


@pytest.mark.parametrize("damage", ["replaced", "missing"])
def test_a_damaged_object_is_found_and_the_one_before_is_used(
    search: SmallSearch,
    place: RunsUrl,
    undisturbed: list[tuple[float, ...]],
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "this_host", lambda: "another host")  # all must see the objects
    left = search.run_one(new_owner("worker"), leave=leave_after(IN_EPOCH_3))
    stored = Objects(place)
    if damage == "missing":
        stored.remove(str(left.checkpoint))
    else:
        content = bytearray(stored.read(str(left.checkpoint)))
        content[len(content) // 2] ^= 1
        stored.write(str(left.checkpoint), bytes(content))
    (finding,) = health(search).files.findings
    assert finding.finding.rule == "checkpoint"
    assert ("is missing" if damage == "missing" else "SHA-256 differs") in finding.finding.what
    assert "continues from epoch 2" in finding.finding.means

    assert search.run_all("two") is Idle.FINISHED
    (unusable,) = search.events("checkpoint_unusable")
    assert unusable.detail == {"newest": left.checkpoint, "goes_on_from_epoch": 2}
    assert search.figures()[1] == undisturbed
    assert complaints(search) == []


def test_doctor_finds_what_is_left_over_and_removes_it(search: SmallSearch, place: RunsUrl) -> None:
    search.run_all()
    folder = search.bench().folder
    late = folder.save(0, 1, 2, {})  # by a worker that lost its lease
    found = health(search)
    assert [each.finding.rule for each in found.files.findings] == ["left over"]
    assert make_repairs(search.database, found)[0].endswith("removed epoch-0002.attempt-1.pt")
    assert late.key not in Objects(place).sizes()
    assert complaints(search) == []
    Objects(place).remove(f"small/{search.stored.run_key}/trial-0000/best.pt")
    assert complaints(search) == []  # no object at all: most likely --runs names another place
    assert "so no file was checked" in health(search).files.notes[0]


def test_files_are_copied_from_place_to_place_and_deleted(
    search: SmallSearch, place: RunsUrl, object_store: ObjectStore, tmp_path: Path
) -> None:
    search.run_one(leave=leave_after(IN_EPOCH_3))
    before = Objects(place).sizes()
    study = ("small", search.stored.run_key)
    other = object_store.place(tmp_path / "local")
    for source, target in ((place, tmp_path / "copy"), (tmp_path / "copy", other)):
        copy_files(files_of(source, *study), files_of(target, *study))
        assert complaints(replace(search, runs=target)) == []
    assert Objects(other).sizes() == before

    Objects(place).write("small/another-key/trial-0000/best.pt", b"of a study of the same name")
    plan = plan_deletion(search.database, "small", place)
    assert [each.files for each in plan.studies] == [2]
    assert delete(search.database, plan) == []
    assert list(Objects(place).sizes()) == ["small/another-key/trial-0000/best.pt"]


def test_a_place_that_cannot_be_used_is_refused_by_check(
    object_store: ObjectStore,
    place: RunsUrl,
    hpsearch: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(url: str) -> str:
        ran = hpsearch("check", "quickstart", "--runs", url, "--set", "data.limit=200")
        assert ran.code == 2, ran.all
        assert ran.err.startswith("error: ") and ran.err.count("\n") == 1, ran.err
        return ran.err

    assert "there is no bucket 'nobody-made-it'; create it" in check("s3://nobody-made-it/runs")
    with object_store.refusing():
        assert "the store refuses the credentials" in check(str(place))
    with monkeypatch.context() as outside:
        outside.delenv("AWS_ACCESS_KEY_ID")
        outside.delenv("AWS_SECRET_ACCESS_KEY")
        objects._file_system.cache_clear()
        assert "there are no credentials; set AWS_PROFILE" in check(str(place))
        objects._file_system.cache_clear()
    object_store.stop()
    assert "the store doesn't answer as it should (EndpointConnectionError" in check(str(place))
    object_store.start()
    assert names_in(place) == set(), "a check leaves nothing"


def test_a_worker_without_its_place_says_whether_to_start_it_again(
    search: SmallSearch, object_store: ObjectStore, hpsearch: Callable[..., Ran]
) -> None:
    def worker() -> int:
        storage = search.database.url.render_as_string(hide_password=False)
        ran = hpsearch("worker", "small", "--storage", storage, "--runs", str(search.runs))
        assert ran.err.startswith("error: objects in the runs place s3://"), ran.all
        assert ran.err.count("\n") == 1
        return ran.code

    with object_store.refusing():
        assert worker() == 2
    object_store.stop()
    assert worker() == 75
    object_store.start()
    assert search.tickets() == [], "nothing was claimed"
