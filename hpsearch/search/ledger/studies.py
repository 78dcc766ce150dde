"""Studies in the database: creating, finding, changing the budget, stopping."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from hpsearch.errors import DamagedStudy, LeftOverStudy, StudyMismatch, UnknownName
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import fetch
from hpsearch.search.database.storage import Database
from hpsearch.search.database.storage_url import storage_option
from hpsearch.search.database.tables import events, studies, tickets
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.rungs import reopen
from hpsearch.search.ledger.statements import Row, lock_study
from hpsearch.search.ledger.study_identity import (
    IS_OURS,
    has_left_overs,
    mark_as_ours,
    require_ours,
    unused_id,
)
from hpsearch.study_file.compare import as_stored, difference, fingerprint
from hpsearch.study_file.goals import Goals
from hpsearch.study_file.sections import STUDY_NAME
from hpsearch.study_file.study import StudyFile


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study as it is stored in the database."""

    study_id: int
    name: str
    #: The study file as it was written, and normalised.
    text: str
    document: Mapping[str, Any]
    fingerprint: str
    #: The budget, including the trials that were granted for invalid ones.
    trial_budget: int
    #: Trials that were granted for invalid ones.
    granted: int = 0
    epochs_per_trial: int
    #: How often it was asked to stop.
    stops: int
    #: Whether an enumerated space has fewer points than the budget has trials.
    exhausted: bool
    #: Its folder under the runs root is ``<name>/<run_key>``.
    run_key: str
    created_at: str


def attach(database: Database, study: StudyFile) -> StoredStudy:
    """Create the study, or find it and set its budget to that of ``study``.

    Raises:
        StudyMismatch: The database's study of this name is another search, or another program
            created it.
        LeftOverStudy: Another program deleted it, and only the ledger's rows are left.
    """

    def work(connection: Connection) -> StoredStudy:
        _one_at_a_time(connection, database)
        row = _find(connection, database, study.name)
        if row is None:
            return _create(connection, database, study)
        stored = _study_of(row)
        require_same(stored, study)
        if row["trials"] < study.budget.trials:
            reopen(connection, stored.study_id, Goals.of(stored.document))
        if row["trials"] != study.budget.trials:
            # After a smaller budget more tickets exist than it allows; the log shows why.
            granted = row["granted"]
            change = {"before": row["trials"] + granted, "now": study.budget.trials + granted}
            record_event(
                connection, row["study_id"], None, None, EventKind.BUDGET_CHANGED, None, change
            )
        connection.execute(
            sa.update(studies)
            .where(studies.c.study_id == row["study_id"])
            .values(
                trials=study.budget.trials,
                text=study.text,
                document=json.dumps(_as_stored(stored, study)),
            )
        )
        return _study_of(_find(connection, database, study.name) or {})

    return database.write(work)


def create_or_find(database: Database, study: StudyFile) -> StoredStudy:
    """Create the study, or return the one of its name without a change.

    Raises:
        StudyMismatch: Another program created a study of this name.
        LeftOverStudy: Another program deleted it, and only the ledger's rows are left.
    """

    def work(connection: Connection) -> StoredStudy:
        _one_at_a_time(connection, database)
        row = _find(connection, database, study.name)
        return _create(connection, database, study) if row is None else _study_of(row)

    return database.write(work)


def raise_budget(database: Database, study_id: int, trials: int) -> None:
    """Raise the study's budget, if it is smaller.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        trials: The number of tickets that the study may have at least.
    """

    def work(connection: Connection) -> None:
        row = lock_study(connection, study_id)
        if row["trials"] + row["granted"] < trials:
            _change_budget(connection, row, trials)

    database.write(work)


def end_budget(database: Database, study_id: int, reason: str) -> None:
    """Lower the study's budget to the tickets that were issued, so that no trial begins any more.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        reason: Why, as a sentence.
    """

    def work(connection: Connection) -> None:
        row = lock_study(connection, study_id)
        query = sa.select(sa.func.count()).where(tickets.c.study_id == study_id)
        issued = connection.execute(query).scalar_one()
        if issued < row["trials"] + row["granted"]:
            _change_budget(connection, row, issued, reason=reason)

    database.write(work)


def change_plan(
    database: Database,
    study: StoredStudy,
    section: Mapping[str, Any],
    *,
    trainings: int,
    issued: int,
    kind: EventKind,
    detail: Mapping[str, Any],
) -> bool:
    """Change the settings of a planned study, unless it has changed meanwhile.

    Args:
        database: The study's database.
        study: The study as it was read.
        section: The key of its settings, and the new settings.
        trainings: The number of trainings that the new settings are known to need.
        issued: The number of tickets that were issued when it was read.
        kind: The kind of the event that records it.
        detail: The event's detail, JSON values.

    Returns:
        Whether it was changed; not if another worker has changed it, or has begun a training.
    """
    document = {**study.document, **section}

    def work(connection: Connection) -> bool:
        row = lock_study(connection, study.study_id)
        query = sa.select(sa.func.coalesce(sa.func.max(tickets.c.ticket), 0)).where(
            tickets.c.study_id == study.study_id
        )
        same = row["document"] is not None and json.loads(row["document"]) == dict(study.document)
        if not same or connection.execute(query).scalar_one() != issued:
            return False
        record_event(connection, study.study_id, None, None, kind, None, detail)
        _change_budget(connection, row, trainings)
        connection.execute(
            sa.update(studies)
            .where(studies.c.study_id == study.study_id)
            .values(document=json.dumps(document), fingerprint=fingerprint(document))
        )
        return True

    return database.write(work)


def _change_budget(connection: Connection, row: Row, trials: int, **about: str) -> None:
    """Set the budget, trials that were granted included, and record the change."""
    study_id, before = row["study_id"], row["trials"] + row["granted"]
    change = {"before": before, "now": trials, **about}
    record_event(connection, study_id, None, None, EventKind.BUDGET_CHANGED, None, change)
    connection.execute(
        sa.update(studies)
        .where(studies.c.study_id == study_id)
        .values(trials=trials - row["granted"])
    )


def end_reason(database: Database, study_id: int) -> str | None:
    """Return why the study's budget was lowered to its trials; ``None`` if it wasn't."""
    query = (
        sa.select(events.c.detail)
        .where(events.c.study_id == study_id, events.c.kind == EventKind.BUDGET_CHANGED.value)
        .order_by(events.c.event_id.desc())
        .limit(1)
    )
    detail = database.read(lambda connection: connection.execute(query).scalar_one_or_none())
    return None if detail is None else json.loads(detail).get("reason")


def find(database: Database, name: str) -> StoredStudy:
    """Return the study called ``name``.

    Raises:
        UnknownName: There is none; the message lists those that exist.
        LeftOverStudy: Another program deleted it, and only the ledger's rows are left.
    """

    def work(connection: Connection) -> StoredStudy:
        row = _find(connection, database, name)
        if row is None:
            names = connection.execute(sa.select(studies.c.name)).scalars().all()
            raise UnknownName(
                "study", name, names, hint=f"(Those launched into {database.display_url}.)"
            )
        return _study_of(row)

    return database.read(work)


def find_or_none(database: Database, name: str) -> StoredStudy | None:
    """Return the study called ``name``; ``None`` if there is none.

    Raises:
        LeftOverStudy: Another program deleted it, and only the ledger's rows are left.
    """

    def work(connection: Connection) -> StoredStudy | None:
        row = _find(connection, database, name)
        return None if row is None else _study_of(row)

    return database.read(work)


def numbered(
    database: Database, base: str, is_one: Callable[[StoredStudy], bool]
) -> list[StoredStudy]:
    """Return the studies ``base``, ``base-2``, ``base-3``, ... that belong to a search.

    Args:
        database: The database.
        base: The name of the first one.
        is_one: Whether a study of such a name is one of them, and no search that is called so.

    Returns:
        The studies, oldest first. If another program deleted one, it and the later ones are left
        out.
    """
    series: list[StoredStudy] = []
    while True:
        try:
            stored = find_or_none(database, nth_name(base, len(series) + 1))
        except LeftOverStudy:
            return series
        if stored is None or not is_one(stored):
            return series
        series.append(stored)


def nth_name(base: str, nth: int) -> str:
    """Return the name of the ``nth`` study of a kind, from 1: ``base``, ``base-2``, ..."""
    return f"{base}-{nth}" if nth > 1 else base


def everything(database: Database) -> list[StoredStudy]:
    """Return all usable studies of the database, oldest first."""
    return _usable_and_unusable(database)[0]


def unusable(database: Database) -> dict[str, str]:
    """Return name -> reason of the unusable studies: left over or damaged."""
    return _usable_and_unusable(database)[1]


def _usable_and_unusable(database: Database) -> tuple[list[StoredStudy], dict[str, str]]:
    def work(connection: Connection) -> tuple[list[StoredStudy], dict[str, str]]:
        usable: list[StoredStudy] = []
        reasons: dict[str, str] = {}
        names = connection.execute(sa.select(studies.c.name).order_by(studies.c.study_id))
        for name in names.scalars().all():
            try:
                row = _find(connection, database, name)
                usable += [] if row is None else [_study_of(row)]
            except (DamagedStudy, LeftOverStudy) as error:
                reasons[name] = str(error)
        return usable, reasons

    return database.read(work)


def request_stop(database: Database, study_id: int) -> None:
    """Ask all workers of the study, on all hosts, to write a checkpoint and stop."""
    database.write(
        lambda connection: connection.execute(
            sa.update(studies)
            .where(studies.c.study_id == study_id)
            .values(stops=studies.c.stops + 1)
        )
    )


def record_study_event(
    database: Database, study_id: int, kind: EventKind, detail: Mapping[str, Any]
) -> None:
    """Append an event to the log that is about the study, not about a ticket.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        kind: What has happened.
        detail: JSON values, depending on the kind.
    """
    database.write(
        lambda connection: record_event(connection, study_id, None, None, kind, None, detail)
    )


def _one_at_a_time(connection: Connection, database: Database) -> None:
    """Serialize two first launches at once, so that the second finds the study."""
    if not database.is_sqlite:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7417267)"))


def _create(connection: Connection, database: Database, study: StudyFile) -> StoredStudy:
    _refuse_foreign(connection, database, study.name)
    study_id = optuna_rows.insert_study(connection, study.name)
    if has_left_overs(connection, study_id):
        free = unused_id(connection)
        optuna_rows.move_study(connection, study_id, free)
        study_id = free
    optuna_rows.insert_objectives(connection, study_id, study.goals.directions)
    run_key = uuid4().hex[:8]
    mark_as_ours(connection, study_id, run_key)
    connection.execute(
        sa.insert(studies).values(
            study_id=study_id,
            name=study.name,
            text=study.text,
            document=json.dumps(study.document),
            fingerprint=study.fingerprint,
            trials=study.budget.trials,
            epochs_per_trial=study.budget.epochs_per_trial,
            run_key=run_key,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    )
    return _study_of(_find(connection, database, study.name) or {})


def _find(connection: Connection, database: Database, name: str) -> RowMapping | None:
    row = connection.execute(sa.select(studies).where(studies.c.name == name)).mappings().first()
    if row is not None:
        _require_folder_names(row)
        key_rows = fetch(connection, IS_OURS, study_id=row["study_id"])
        require_ours(connection, row["study_id"], key_rows, storage_option(database.url))
    return row


def _require_folder_names(row: Mapping[Any, Any]) -> None:
    """Check a study's name and run key.

    Raises:
        DamagedStudy: hpsearch can't have written them.
    """
    for column in ("name", "run_key"):
        # Both are names of folders: a foreign one could lead anywhere.
        if re.fullmatch(STUDY_NAME, row[column]) is None:
            raise DamagedStudy(
                f"a study's {column} must be 1 to 64 letters, digits, _ and -, but the database "
                f"contains {row[column]!r}, which hpsearch never writes; another program has "
                "changed it: restore a backup, or use another --storage"
            )


def _study_of(row: Mapping[Any, Any]) -> StoredStudy:
    """Return the row's study.

    Raises:
        DamagedStudy: Its document can't be read.
    """
    return StoredStudy(
        study_id=row["study_id"],
        name=row["name"],
        text=row["text"],
        document=_document(row),
        fingerprint=row["fingerprint"],
        trial_budget=row["trials"] + row["granted"],
        granted=row["granted"],
        epochs_per_trial=row["epochs_per_trial"],
        stops=row["stops"],
        exhausted=row["exhausted"],
        run_key=row["run_key"],
        created_at=row["created_at"],
    )


def _document(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    try:
        document = json.loads(row["document"])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not _has_goals(document):
        raise DamagedStudy(
            f"a stored study must be a JSON object with an objective, but that of {row['name']!r} "
            "isn't; another program has changed it: restore a backup, or use another --storage"
        )
    pruner = document.get("pruner")
    if isinstance(pruner, dict) and isinstance(pruner.get("asha"), dict):
        pruner["asha"].setdefault("stop", True)  # see ``_as_stored``
    return document


def _has_goals(document: Mapping[str, Any]) -> bool:
    try:
        Goals.of(document)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _as_stored(stored: StoredStudy, study: StudyFile) -> Mapping[str, Any]:
    """Return the document of ``study`` in the form that the stored study has.

    Settings that the file leaves out stay as they are stored. A study of an earlier version, which
    the fingerprint shows, continues from the same file as it began: then ``asha`` could only stop
    trials and had neither ``stop`` nor ``startup_trials``, and a path of a plug-in's data source
    was stored as it was written.
    """
    document = as_stored(stored.document, study.document, study.auto_sections)
    as_written = _with_stored_paths(stored, document)
    for form in (document, as_written):
        for earlier in (form, _without_promotion(form)):
            if fingerprint(earlier) == stored.fingerprint:
                return earlier
    return document


def _without_promotion(document: Mapping[str, Any]) -> Mapping[str, Any]:
    pruner = document.get("pruner")
    if not isinstance(pruner, Mapping) or "asha" not in pruner:
        return document
    new = ("stop", "startup_trials")
    settings = {key: value for key, value in pruner["asha"].items() if key not in new}
    return {**document, "pruner": {"asha": settings}}


def _with_stored_paths(stored: StoredStudy, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``document`` with the relative paths of the stored study's data sources."""
    data, before = document.get("data"), stored.document.get("data")
    if not isinstance(data, Mapping) or not isinstance(before, Mapping):
        return document
    sources, earlier = data.get("source"), before.get("source")
    if not isinstance(sources, Mapping) or not isinstance(earlier, Mapping):
        return document
    relative = {
        name: {
            key: own[key] if _is_end_of(own.get(key), value) else value
            for key, value in settings.items()
        }
        for name, settings in sources.items()
        if isinstance(settings, Mapping) and isinstance(own := earlier.get(name), Mapping)
    }
    return {**document, "data": {**data, "source": {**sources, **relative}}}


def _is_end_of(written: Any, path: Any) -> bool:
    """Whether ``path`` may be the relative path ``written`` made absolute."""
    if not (isinstance(written, str) and isinstance(path, str)) or Path(written).is_absolute():
        return False
    return Path(path).is_absolute() and Path(path).parts[-len(Path(written).parts) :] == (
        Path(written).parts
    )


def require_same(stored: StoredStudy, study: StudyFile) -> None:
    """Check that ``study`` continues the stored study.

    Raises:
        StudyMismatch: It is another search; the message shows the differences.
    """
    document = _as_stored(stored, study)
    if stored.fingerprint == fingerprint(document):
        return
    changes = difference(stored.document, document) or ["the content of a plug-in file has changed"]
    listed = "\n".join(f"  {change}" for change in changes)
    raise StudyMismatch(
        f"study {study.name!r} already exists with other settings. Only the number of trials, the "
        "time, the description, and the keys `question`, `confirm` and `trackers` may change. "
        f"Differences:\n{listed}\nLaunch the changed file as a study of its own with --name, e.g. "
        f"--name {study.name}_2"
    )


def _refuse_foreign(connection: Connection, database: Database, name: str) -> None:
    foreign = connection.execute(
        sa.select(optuna_rows.STUDIES.c.study_id).where(optuna_rows.STUDIES.c.study_name == name)
    ).first()
    if foreign is not None:
        raise StudyMismatch(
            f"{database.display_url} has an Optuna study {name!r} that hpsearch didn't create; "
            "give yours another name with --name, or use another --storage"
        )
