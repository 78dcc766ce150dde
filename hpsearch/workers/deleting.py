"""Deleting a stored study: its rows, its confirmations, and its files on this host.

First ``plan_deletion``, which changes nothing and returns what will be deleted; then ``delete``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import HpsearchError, RunsUnreachable, UnknownName, UserError
from hpsearch.formatting import count_noun
from hpsearch.results.ablation import stored as ablation
from hpsearch.results.confirmation import stored as confirmation
from hpsearch.results.planned import parent_of, planned_studies
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, tickets
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.lease import LeaseState, LeaseWatch
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.ledger.study_deletion import StoredRows, delete_rows, stored_rows
from hpsearch.study_file.sections import STUDY_NAME
from hpsearch.workers.runs_place.place import Runs
from hpsearch.workers.runs_place.study_files import remove_folder
from hpsearch.workers.trial.run_folder import RunFolder

#: Seconds between two reads of the leases of trials that seem to run.
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class StudyToDelete:
    """One study that will be deleted, and its files here."""

    rows: StoredRows
    #: ``None`` if hpsearch can't have made the folder that the database names: it may be anywhere.
    folder: RunFolder | None
    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class DeletionPlan:
    """The study that was named, and its confirmations and ablations after it."""

    studies: Sequence[StudyToDelete]


def plan_deletion(database: Database, name: str, runs: Runs) -> DeletionPlan:
    """Look up what belongs to the study called ``name``, changing nothing.

    Args:
        database: The database of the study.
        name: The study's name. The confirmations and ablations of a search are deleted with it; the
            newest of each kind can be deleted alone.
        runs: The runs place.

    Returns:
        What ``delete`` will remove.

    Raises:
        UnknownName: There is no such study.
        UserError: It is a study of Optuna's that hpsearch didn't create, or the search has a later
            confirmation or ablation.
        RunsUnreachable: The object store can't be reached.
    """
    rows = [stored_rows(database, name)]
    _require_newest(database, name)
    for name_of in (confirmation.name_of, ablation.name_of):
        with suppress(UnknownName, UserError):
            for nth in count(1):
                planned_name = name_of(name, nth)
                if _is_search(_readable(database, planned_name)):
                    break
                rows.append(stored_rows(database, planned_name))
    return DeletionPlan(studies=[_with_files(row, runs) for row in rows])


def _readable(database: Database, name: str) -> StoredStudy | None:
    """Return a stored study; ``None`` if there is none, or it is damaged or left over."""
    with suppress(HpsearchError):
        return studies.find_or_none(database, name)
    return None


def _is_search(stored: StoredStudy | None) -> bool:
    return stored is not None and parent_of(stored) is None


def _require_newest(database: Database, name: str) -> None:
    """Refuse to delete a confirmation or an ablation before a later one of its search.

    They are numbered without a gap: after one, the later ones would no longer belong to the search,
    and their fresh seeds would be used again.
    """
    stored = _readable(database, name)
    parent = None if stored is None else parent_of(stored)
    if parent is None:
        return
    names = [
        planned.name
        for planned in planned_studies(database, parent.search)
        if confirmation.is_confirmation(planned) == (parent.kind == "confirmation")
    ]
    if name in names[:-1]:
        raise UserError(
            f"of the {parent.kind}s of a search the newest is deleted first, but after {name!r} "
            f"came {names[-1]!r}; delete that first, or {parent.search!r} with all of them"
        )


def delete(
    database: Database,
    plan: DeletionPlan,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = lambda seconds: time.sleep(seconds),
) -> list[str]:
    """Delete the studies of ``plan``, those that belong to the search first.

    Args:
        database: The database of the studies.
        plan: What ``plan_deletion`` returned.
        clock: Returns seconds; leases are watched by it.
        sleep: Waits between two reads of the leases, for a number of seconds.

    Returns:
        Folders, or URLs, that couldn't be removed.

    Raises:
        UserError: A worker trains a trial of one of the studies.
    """
    for study in plan.studies:
        require_no_worker(
            database, study.rows.study_id, study.rows.name, "deleted", clock=clock, sleep=sleep
        )
    for study in reversed(plan.studies):
        delete_rows(database, study.rows.name, study.rows.run_key)
    folders = [study.folder for study in plan.studies if study.folder is not None]
    return [folder.files.where() for folder in folders if not _remove_files(folder)]


def _with_files(rows: StoredRows, runs: Runs) -> StudyToDelete:
    if not all(re.fullmatch(STUDY_NAME, part) for part in (rows.name, rows.run_key)):
        return StudyToDelete(rows=rows, folder=None, files=0, bytes=0)
    folder = RunFolder(runs, rows.name, rows.run_key)
    sizes = folder.files.sizes()
    return StudyToDelete(rows=rows, folder=folder, files=len(sizes), bytes=sum(sizes.values()))


def require_no_worker(
    database: Database,
    study_id: int,
    name: str,
    what: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = lambda seconds: time.sleep(seconds),
) -> None:
    """Watch the leases of running trials: a living worker renews each within a quarter of it.

    A lease that isn't renewed for its whole length belongs to a dead worker, as in a claim.

    Args:
        database: The database of the study.
        study_id: Optuna's id of the study.
        name: The study's name.
        what: What is done with it, for the message: a participle.
        clock: Returns seconds; leases are watched by it.
        sleep: Waits between two reads of the leases, for a number of seconds.

    Raises:
        UserError: A worker trains a trial of the study.
    """
    watch, silent = LeaseWatch(clock), set[int]()
    before = _leases(database, study_id)
    first = {lease.ticket: (lease.attempt, lease.renewals) for lease in before}
    while before:
        for lease in before:
            if first.get(lease.ticket) != (lease.attempt, lease.renewals):
                raise UserError(
                    f"a study can be {what} only when no worker uses it, but {name!r} has "
                    f"{count_noun(len(before), 'running trial')}; stop its workers with `hpsearch "
                    f"stop --study {name}` and run the same command again"
                )
        silent |= {lease.ticket for lease in watch.expired(before)}
        if silent >= {lease.ticket for lease in before}:
            return
        sleep(LOOK_SECONDS)
        before = _leases(database, study_id)


def _leases(database: Database, study_id: int) -> list[LeaseState]:
    query = sa.select(
        tickets.c.ticket, tickets.c.attempt, tickets.c.renewals, tickets.c.lease_seconds
    ).where(tickets.c.study_id == study_id, tickets.c.state == TicketState.RUNNING)

    def work(connection: Connection) -> list[LeaseState]:
        return [LeaseState(**row) for row in connection.execute(query).mappings()]

    return database.read(work)


def _remove_files(folder: RunFolder) -> bool:
    try:
        gone = folder.files.remove_all()
    except RunsUnreachable:
        return False
    # What trackers wrote is on this host also if the files are elsewhere
    return (remove_folder(folder.path) if folder.is_shared else True) and gone
