"""Fleets: the workers that engines keep alive for studies, stored for every host to see.

The database names what was launched and how many workers are wanted; only the engine knows their
state. So ``launch --detach`` may return at once, and ``status``, ``scale`` and ``stop`` work
from any host that reaches the database and the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from hpsearch.errors import DamagedStudy
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import fleets
from hpsearch.search.ledger.studies import StoredStudy

#: The most characters of a study's and a profile's name in a key: a key names a Kubernetes Job,
#: whose name has at most 52 characters beside the index of a pod.
_STUDY_CHARACTERS, _PROFILE_CHARACTERS = 18, 12


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Workers of one study that one engine keeps alive."""

    #: Names it in the engine: letters, digits and hyphens, at most 52.
    key: str
    #: The name of the study.
    study: str
    engine: str
    profile: str
    #: The settings of the profile when it was launched.
    settings: Mapping[str, Any]
    #: How many workers are wanted; 0 after a stop.
    workers: int
    #: The place of the checkpoints, a folder or a URL.
    runs: str
    #: The folder of the images; ``None``: the default one of each host.
    data: str | None
    lease_seconds: float
    checkpoint_seconds: float
    launched_at: str = ""


def fleet_key(study: StoredStudy, profile: str) -> str:
    """Return the key of a study's fleet: the same for every launch with this profile."""
    place = _slug(profile)[:_PROFILE_CHARACTERS].strip("-")
    return "-".join(part for part in (draft_key(study.name), study.run_key, place) if part)


def draft_key(study: str) -> str:
    """Return the key of a fleet that is only checked and shown: its study isn't stored yet."""
    name = _slug(study)[:_STUDY_CHARACTERS].strip("-")
    return f"hpsearch-{name}" if name else "hpsearch"


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def store_fleet(database: Database, study_id: int, fleet: Fleet) -> None:
    """Store a fleet, or replace the one with its key.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        fleet: The fleet; its ``launched_at`` isn't read.
    """
    options = {
        "settings": fleet.settings,
        "runs": fleet.runs,
        "data": fleet.data,
        "lease_seconds": fleet.lease_seconds,
        "checkpoint_seconds": fleet.checkpoint_seconds,
    }
    values = {
        "study_id": study_id,
        "engine": fleet.engine,
        "profile": fleet.profile,
        "workers": fleet.workers,
        "options": json.dumps(options),
        "launched_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }

    def work(connection: Connection) -> None:
        connection.execute(sa.delete(fleets).where(fleets.c.fleet_key == fleet.key))
        connection.execute(sa.insert(fleets).values(fleet_key=fleet.key, **values))

    database.write(work)


def set_workers(database: Database, key: str, workers: int) -> None:
    """Set how many workers a fleet should have.

    Args:
        database: The study's database.
        key: The fleet's key.
        workers: The number; 0: none.
    """
    change = sa.update(fleets).where(fleets.c.fleet_key == key).values(workers=workers)
    database.write(lambda connection: connection.execute(change))


def remove_fleet(database: Database, key: str) -> None:
    """Forget a fleet, if it is stored."""
    deletion = sa.delete(fleets).where(fleets.c.fleet_key == key)
    database.write(lambda connection: connection.execute(deletion))


def wanted_workers(database: Database, key: str) -> int | None:
    """Return how many workers a fleet should have; ``None`` if it isn't stored."""
    query = sa.select(fleets.c.workers).where(fleets.c.fleet_key == key)
    return database.read(lambda connection: connection.execute(query).scalar_one_or_none())


def fleets_of(database: Database, study: StoredStudy) -> list[Fleet]:
    """Return the stored fleets of a study, by key.

    Raises:
        DamagedStudy: A row can't be read.
    """
    query = sa.select(fleets).where(fleets.c.study_id == study.study_id)
    rows = database.read(
        lambda connection: connection.execute(query.order_by(fleets.c.fleet_key)).mappings().all()
    )
    return [_fleet(row, study.name) for row in rows]


def _fleet(row: RowMapping, study: str) -> Fleet:
    try:
        options = json.loads(row["options"])
        return Fleet(
            key=row["fleet_key"],
            study=study,
            engine=row["engine"],
            profile=row["profile"],
            settings=options["settings"],
            workers=row["workers"],
            runs=options["runs"],
            data=options["data"],
            lease_seconds=float(options["lease_seconds"]),
            checkpoint_seconds=float(options["checkpoint_seconds"]),
            launched_at=row["launched_at"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedStudy(
            f"the stored fleet {row['fleet_key']!r} of study {study!r} can't be read "
            f"({type(error).__name__}: {error}); stop it with its engine's own program, and delete "
            "its row from the table hpsearch_fleets"
        ) from error
