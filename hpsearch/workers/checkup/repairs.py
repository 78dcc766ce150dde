"""Repairs that are safe; every step is an event in the study's log."""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, tickets
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.statements import is_ticket, lock_ticket
from hpsearch.search.ledger.studies import record_study_event
from hpsearch.workers.checkup.examine import Health
from hpsearch.workers.checkup.files import ForgetCheckpoint, RemoveFiles
from hpsearch.workers.checkup.processes import DeadOwner
from hpsearch.workers.trial.run_folder import RunFolder

#: A living worker renews its leases more often than this (``lease_keeper``).
WATCH_SECONDS = 5.0


def make_repairs(
    database: Database, health: Health, *, watch_seconds: float = WATCH_SECONDS
) -> list[str]:
    """Make the safe repairs of an examination, and record them in the study's log.

    Args:
        database: The database of the study.
        health: What ``examine`` returned.
        watch_seconds: Seconds for which the leases of dead workers are watched first.

    Returns:
        One sentence per repair.
    """
    study_id = health.facts.record.study.study_id
    done: list[str] = []
    for fault in health.files.findings:
        match fault.repair:
            case ForgetCheckpoint() as forget:
                done += _forget(database, study_id, forget, fault.finding.where)
            case RemoveFiles() as removals:
                done += _remove(removals, health.folder, fault.finding.where)
            case None:
                pass
    done += _free(database, study_id, health.dead, watch_seconds)
    if done:
        record_study_event(database, study_id, EventKind.REPAIRED, {"done": done})
    return done


def _forget(database: Database, study_id: int, forget: ForgetCheckpoint, name: str) -> list[str]:
    instead = forget.instead
    columns = {
        "checkpoint": None if instead is None else instead.key,
        "checkpoint_sha256": None if instead is None else instead.sha256,
        "checkpoint_epoch": None if instead is None else instead.epoch,
    }

    def work(connection: Connection) -> bool:
        row = lock_ticket(connection, study_id, forget.ticket)
        if row is None or row["checkpoint"] != forget.bad:
            return False  # A worker has saved a newer one meanwhile.
        connection.execute(
            sa.update(tickets).where(is_ticket(study_id, forget.ticket)).values(**columns)
        )
        detail = {"forgot": forget.bad, "goes_on_from_epoch": columns["checkpoint_epoch"] or 0}
        record_event(
            connection,
            study_id,
            forget.ticket,
            row["attempt"],
            EventKind.CHECKPOINT_FORGOTTEN,
            row["owner"],
            detail,
        )
        return True

    if not database.write(work):
        return []
    epoch = 0 if instead is None else instead.epoch
    return [
        f"{name}: removed the entry of checkpoint {forget.bad}; the trial continues from epoch "
        f"{epoch}"
    ]


def _remove(removals: RemoveFiles, folder: RunFolder, name: str) -> list[str]:
    removed = [file for file in removals.names if folder.files.remove(file)]
    for trial in {file.partition("/")[0] for file in removals.names}:
        folder.files.close_trial(trial)
    text = ", ".join(file.partition("/")[2] for file in removed)
    return [f"{name}: removed {text}"] if removed else []


def _free(
    database: Database, study_id: int, dead: tuple[DeadOwner, ...], watch_seconds: float
) -> list[str]:
    """Free the trials of processes that are gone, unless their leases are still renewed."""
    if not dead:
        return []
    before = _renewals(database, study_id)
    time.sleep(watch_seconds)
    after = _renewals(database, study_id)
    done = []
    for worker in dead:
        silent = worker.owner in after and after[worker.owner] == before.get(worker.owner)
        if silent and free_tickets_of(
            database, study_id, worker.owner, reason=f"process {worker.pid} doesn't exist"
        ):
            done.append(f"{worker.name}: freed; its worker, process {worker.pid}, is gone")
    return done


def _renewals(database: Database, study_id: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return owner -> (ticket, renewals) of each of its running trials."""

    def work(connection: Connection) -> dict[str, tuple[tuple[int, int], ...]]:
        query = (
            sa.select(tickets.c.owner, tickets.c.ticket, tickets.c.renewals)
            .where(tickets.c.study_id == study_id, tickets.c.state == TicketState.RUNNING)
            .order_by(tickets.c.ticket)
        )
        by_owner: dict[str, tuple[tuple[int, int], ...]] = {}
        for owner, ticket, renewals in connection.execute(query):
            by_owner[owner] = (*by_owner.get(owner, ()), (ticket, renewals))
        return by_owner

    return database.read(work)
