"""No room on the disk: nothing is half-written, no trial fails, and work goes on by itself."""

from __future__ import annotations

import errno
import logging
import math
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from support.meanwhile import as_soon_as
from support.trials import (
    ASKED_PER_EPOCH,
    IN_EPOCH_3,
    ONE_TRIAL,
    SmallSearch,
    leave_after,
    open_small,
)

from hpsearch import durable_files
from hpsearch.errors import DataError, UserError
from hpsearch.results.export.bundle import write_content
from hpsearch.results.export.frozen import export_trial
from hpsearch.search.database import storage as storage_module
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database, Patience
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.types import Claim, Idle
from hpsearch.training import checkpoint
from hpsearch.training.data.prepare import prepare
from hpsearch.workers.trial import disk_retry
from hpsearch.workers.trial.trial_run import run_trial

OpenStudy = Callable[..., SmallSearch]


class FullDisk:
    """A disk without room at one write point of every file whose name contains ``only``.

    There is room again after ``until`` writes were refused.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        at: str,
        only: str,
        code: int = errno.ENOSPC,
        until: float = math.inf,
    ) -> None:
        self.at, self.only, self.code, self.until = at, only, code, until
        self.full = True
        self.refused = 0
        real_open, real_replace, real_fsync = Path.open, os.replace, os.fsync
        real_sync, real_mkdir = durable_files.sync_folder, Path.mkdir

        def open_(path: Path, *args: Any, **options: Any) -> Any:
            self._refuse("open", path)
            file = real_open(path, *args, **options)
            if only in path.name and at == "write":
                file.write = lambda _: self._refuse("write", path) or 0
            return file

        def replace(source: Path, target: Path) -> None:
            self._refuse("rename", target)
            real_replace(source, target)

        def fsync(handle: int) -> None:
            self._refuse("fsync", Path(f"/proc/self/fd/{handle}").readlink())
            real_fsync(handle)

        def sync_folder(folder: Path) -> None:
            newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            self._refuse("folder sync", newest)
            real_sync(folder)

        def mkdir(path: Path, *args: Any, **options: Any) -> None:
            self._refuse("folder", path)
            real_mkdir(path, *args, **options)

        monkeypatch.setattr(Path, "open", open_)
        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(durable_files, "sync_folder", sync_folder)
        monkeypatch.setattr(Path, "mkdir", mkdir)

    def _refuse(self, at: str, path: Path) -> None:
        name = "trial-" if self.at == "folder" else self.only
        if self.full and at == self.at and name in path.name:
            self.refused += 1
            self.full = self.refused < self.until
            raise OSError(self.code, os.strerror(self.code), str(path))


WRITE_POINTS = ["open", "write", "fsync", "rename", "folder sync"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FullDisk]:
    monkeypatch.setattr(disk_retry, "PAUSE_SECONDS", 0.1)
    return partial(FullDisk, monkeypatch)


@pytest.mark.parametrize("at", WRITE_POINTS)
def test_a_checkpoint_without_room_is_left_out(
    open_study: OpenStudy,
    undisturbed: list[tuple[float, ...]],
    full_disk: Callable[..., FullDisk],
    caplog: pytest.LogCaptureFixture,
    at: str,
) -> None:
    search = open_study(ONE_TRIAL)
    disk = full_disk(at, "epoch-")
    assert search.run_all() is Idle.FINISHED

    ticket = search.ticket()
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 1, 0)
    assert (ticket.checkpoint, ticket.last_error) == (None, None)
    assert disk.refused == 2, "it was tried again after the second epoch"
    skipped = search.events("checkpoint_skipped")
    assert [each.detail["epoch"] for each in skipped] == [1, 2]
    assert "No space left on device" in skipped[0].detail["reason"]
    warnings = [each for each in caplog.messages if "the disk is full" in each]
    assert len(warnings) == 1, "one warning, not one per epoch"
    assert search.figures()[1] == undisturbed
    assert search.files() == {"trial-0000/best.pt"}


def test_the_next_checkpoint_finds_room_again(
    open_study: OpenStudy, full_disk: Callable[..., FullDisk]
) -> None:
    search = open_study("budget.trials=1")
    disk = full_disk("fsync", "epoch-0001")
    left = leave_after(1 + 2 * ASKED_PER_EPOCH + 1)
    search.run_one(leave=left)
    assert disk.refused == 1
    assert search.ticket().checkpoint_epoch == 2
    assert search.run_all("two") is Idle.FINISHED
    assert not search.events("checkpoint_unusable")


@pytest.mark.parametrize("at", [*WRITE_POINTS, "folder"])
def test_best_weights_wait_for_room(
    open_study: OpenStudy,
    undisturbed: list[tuple[float, ...]],
    full_disk: Callable[..., FullDisk],
    caplog: pytest.LogCaptureFixture,
    at: str,
) -> None:
    search = open_study(ONE_TRIAL)
    disk = full_disk(at, "best.pt", until=3)
    assert search.run_all(checkpoint_seconds=1e9) is Idle.FINISHED

    ticket = search.ticket()
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 1, 0)
    assert disk.refused == 3
    assert [each for each in caplog.messages if "waiting for room" in each] != []
    assert search.figures()[1] == undisturbed
    assert search.files() == {"trial-0000/best.pt"}


def test_a_worker_that_waits_for_room_keeps_its_trial(
    open_study: OpenStudy, full_disk: Callable[..., FullDisk]
) -> None:
    search = open_study(ONE_TRIAL)
    disk = full_disk("fsync", "best.pt")
    renewed_since: list[int] = []
    bench = search.bench(lease_seconds=0.4)
    renew = bench.ledger.renew

    def noted(claim: Claim) -> int:
        stops = renew(claim)
        if disk.refused:
            renewed_since.append(disk.refused)
            disk.full = len(renewed_since) < 3
        return stops

    bench.ledger.renew = noted  # type: ignore[method-assign]
    run_trial(bench, search.claim())
    assert len(renewed_since) >= 3
    assert (search.ticket().state, search.ticket().attempt) == ("complete", 1)


def test_a_worker_that_waits_for_room_leaves_when_told_to(
    open_study: OpenStudy,
    undisturbed: list[tuple[float, ...]],
    full_disk: Callable[..., FullDisk],
) -> None:
    search = open_study(ONE_TRIAL)
    disk = full_disk("fsync", "best.pt")
    paused = search.run_one(leave=lambda: disk.refused >= 2)
    assert (paused.state, paused.failures, paused.checkpoint_epoch) == ("paused", 0, 2)
    (released,) = search.events("released")
    assert released.detail["reason"] == (
        "the worker was asked to stop; its best weights couldn't be written"
    )
    disk.full = False
    assert search.run_all("two") is Idle.FINISHED
    assert search.figures()[1] == undisturbed


def test_a_worker_that_waits_for_room_drops_a_trial_that_was_taken(
    open_study: OpenStudy, full_disk: Callable[..., FullDisk]
) -> None:
    search = open_study(ONE_TRIAL)
    disk = full_disk("fsync", "best.pt")
    database, study_id = search.database, search.stored.study_id
    with as_soon_as(lambda: disk.refused >= 2, lambda: free_tickets_of(database, study_id, "late")):
        search.run_one("late", lease_seconds=1.0)
    assert disk.full
    disk.full = False
    assert search.ticket().state == "paused"
    assert search.run_all("heir") is Idle.FINISHED
    assert [each.owner for each in search.events("complete")] == ["heir"]


def test_leaving_without_room_keeps_the_checkpoint_before(
    open_study: OpenStudy,
    undisturbed: list[tuple[float, ...]],
    full_disk: Callable[..., FullDisk],
) -> None:
    search = open_study(ONE_TRIAL)
    full_disk("fsync", "-part")
    paused = search.run_one(leave=leave_after(IN_EPOCH_3))
    assert (paused.state, paused.failures, paused.checkpoint_epoch) == ("paused", 0, 2)
    assert search.files() >= {"trial-0000/epoch-0002.attempt-1.pt"}
    assert not any("-part" in name for name in search.files())
    assert search.run_all("two") is Idle.FINISHED
    assert search.figures()[1] == undisturbed


LOCKED = [errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.ESTALE]


@pytest.mark.parametrize("code", LOCKED, ids=errno.errorcode.get)
def test_a_folder_that_turns_unwritable_fails_no_trial(
    open_study: OpenStudy,
    undisturbed: list[tuple[float, ...]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    """Three quick failures of each trial would spend a night's budget in a minute."""
    monkeypatch.setattr(disk_retry, "PAUSE_SECONDS", 0.1)
    search = open_study(ONE_TRIAL)
    # Two checkpoints are left out; the best weights are tried three times
    disk = FullDisk(monkeypatch, "open", ".pt", code, until=5)
    assert search.run_all() is Idle.FINISHED
    assert disk.refused == 5

    ticket = search.ticket()
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 1, 0)
    assert search.figures()[1] == undisturbed
    assert "the runs folder is unwritable" in caplog.text
    assert "the disk is full" not in caplog.text


def test_another_error_of_the_disk_is_an_error(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, state: object) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    search = open_study(ONE_TRIAL)
    monkeypatch.setattr(checkpoint, "save", broken)
    assert search.run_all() is Idle.FINISHED
    ticket = search.ticket()
    assert (ticket.state, ticket.attempt) == ("failed", 3)
    assert "Input/output error" in (ticket.last_error or "")


def test_a_full_database_is_waited_for(
    tmp_path: Path,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SQLite's own error, from a limit of pages instead of a disk."""
    monkeypatch.setattr(storage_module, "FIRST_WARNING_SECONDS", 0.1)
    monkeypatch.setattr(storage_module, "WARNING_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path}/hpsearch.db", Patience(seconds=float("inf")))
    ensure_tables(database)
    search = open_small(database, tmp_path, data_root, ONE_TRIAL)
    pages = int(database.read(lambda one: one.execute(sa.text("PRAGMA page_count")).scalar_one()))
    limit = [pages]

    @event.listens_for(database.engine, "begin")
    def few_pages(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limit[0]}")

    # Rows fill what is left of the pages; then there is no room until somebody makes some.
    with as_soon_as(
        lambda: caplog.text.count("waiting for the database for") >= 2,  # the warning is repeated
        lambda: limit.__setitem__(0, 2**30),
    ):
        for number in range(400):
            if "waiting for the database" in caplog.text:
                break
            database.write(
                lambda one, number=number: one.exec_driver_sql(
                    f"INSERT INTO hpsearch_events (study_id, kind, at, detail) "
                    f"VALUES (999, 'filler', '{number}', '{'x' * 3000}')"
                )
            )
    assert "database or disk is full" in caplog.text
    assert search.run_all() is Idle.FINISHED
    ticket = search.ticket()
    assert (ticket.state, ticket.attempt, ticket.failures) == ("complete", 1, 0)
    database.close()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of ``size`` (``3m``); skips where this user may not."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until there is no room for another byte."""
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"x" * size)


def test_a_real_disk_fills_up_in_the_middle_and_gets_room_again(
    tmp_path: Path,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Database and checkpoints on one disk, full from the first epoch's end for some seconds."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(storage_module, "FIRST_WARNING_SECONDS", 0.2)
    with small_disk(tmp_path / "disk", "4m") as disk:
        url = f"sqlite:///{disk}/hpsearch.db"
        database = Database(url, Patience(seconds=float("inf")))
        ensure_tables(database)
        search = open_small(database, disk, data_root, "budget.trials=2")
        asked = 0

        def leave() -> bool:
            nonlocal asked
            asked += 1
            if asked == ASKED_PER_EPOCH:
                fill(disk / "filler")
            return False

        with as_soon_as(
            lambda: "is full" in caplog.text or "No space left" in caplog.text,
            lambda: (disk / "filler").unlink(),
        ):
            assert search.run_all(leave=leave) is Idle.FINISHED
        assert [each.state for each in search.tickets()] == ["complete"] * 2
        assert [each.failures for each in search.tickets()] == [0, 0]
        assert {each.attempt for each in search.tickets()} == {1}
        for curve in search.figures().values():
            assert [each[0] for each in curve] == [1, 2, 3]
        (kept,) = search.files()
        assert kept.endswith("/best.pt")
        database.close()


def test_prepared_images_and_exports_say_which_folder_needs_room(
    open_study: OpenStudy, tmp_path: Path
) -> None:
    search = open_study(ONE_TRIAL)
    search.run_all()
    frozen = export_trial(search.database, search.record(), search.study, number=None)
    config = search.study.trial_config(search.ticket().params or {}, 1)
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / "data").mkdir()
        fill(disk / "filler")
        with pytest.raises(UserError, match=r"winner.yaml can't be written: No space left"):
            write_content(disk / "winner.yaml", frozen.text(disk))
        with pytest.raises(DataError, match=f"need space under {disk}/data.*the disk is full"):
            prepare(config.data, split_seed=1, root=disk / "data")
        left = [path for path in disk.rglob("*") if path.is_file() and path.name != "filler"]
        assert [path for path in left if path.suffix != ".lock"] == [], "nothing half-written"
        (disk / "filler").unlink()
        write_content(disk / "winner.yaml", frozen.text(disk))
        assert (disk / "winner.yaml").read_text() == frozen.text(disk)
