"""Trials of one study that were trained on different images.

Each trial's row contains the data hash of its images. A folder may change between two launches;
values that were measured on other images can't be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.results import trial_attributes
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import decode_or
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.queries import Ticket

DATA_HASH = "data_hash"

#: Sections of ``data`` that don't decide which images are used: size and pixels come later.
_NOT_DECIDING = ("data.validation", "data.input_size", "data.normalization", "data.augmentation")

#: Largest number of classes, and of trials, in a sentence.
_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that a trial was, or would be, trained on."""

    data_hash: str
    class_names: Sequence[str] = ()
    #: Training and validation images together, in the order of ``class_names``; empty for trials
    #: of hpsearch versions that didn't record it.
    per_class: Sequence[int] = ()
    #: ``None`` if it wasn't recorded.
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImagesOfGroup:
    """Trials whose configurations choose the same images, with their data hashes."""

    #: Ticket -> data hash, of the trials whose values are compared.
    hashes: Mapping[int, str]
    #: The first of these tickets.
    first: Ticket


def groups(database: Database, study_id: int, tickets: Sequence[Ticket]) -> list[ImagesOfGroup]:
    """Return the trials of a study by the images that their configurations choose.

    Failed and invalid trials have no value to compare, so they are left out.

    Args:
        database: The study's database.
        study_id: Its id.
        tickets: All its tickets.
    """
    attributes = trial_attributes.read_many(database, study_id, [DATA_HASH])
    hashes: dict[str, dict[int, str]] = {}
    firsts: dict[str, Ticket] = {}
    for ticket in tickets:
        recorded = attributes.get(ticket.trial_id or -1, {}).get(DATA_HASH)
        if isinstance(recorded, str) and _counts(ticket):
            key = _choice(ticket.params or {})
            firsts.setdefault(key, ticket)
            hashes.setdefault(key, {})[ticket.ticket] = recorded
    return [ImagesOfGroup(hashes=hashes[key], first=firsts[key]) for key in hashes]


def on_other_images(database: Database, study_id: int, tickets: Sequence[Ticket]) -> dict[int, str]:
    """Return ticket -> description, of trials on other images than the first trials.

    This is cheap if all trials have the same hash, as they usually do.

    Args:
        database: The study's database.
        study_id: Its id.
        tickets: All its tickets.
    """
    if len(KnownHashes(study_id).read(database)) < 2:
        return {}
    names = {ticket.ticket: ticket.number for ticket in tickets}
    content: dict[int, str] = {}
    for group in groups(database, study_id, tickets):
        first = group.hashes[group.first.ticket]
        for ticket, data_hash in group.hashes.items():
            if data_hash != first:
                content[ticket] = (
                    f"trained on other images than trial {names[group.first.ticket]} "
                    f"(data hash {data_hash[:12]}, not {first[:12]})"
                )
    return content


class KnownHashes:
    """The data hashes of a study's trials, kept up to date by reading only what is new."""

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self._newest = 0
        self._hashes: set[str] = set()

    def read(self, database: Database) -> set[str]:
        """Return the hashes of all trials so far."""
        rows = database.read(lambda connection: _hashes(connection, self.study_id, self._newest))
        # A trial's row is written whole, and ids grow in the order of the commits
        self._newest = max([self._newest, *(trial_id for trial_id, _ in rows)])
        self._hashes.update(_hash_in(text) for _, text in rows)
        return self._hashes - {""}


def require_same(
    database: Database,
    study: str,
    params: Mapping[str, Any],
    images: Images,
    hashes: KnownHashes,
) -> None:
    """Compare the current images with those of a study's trials.

    Args:
        database: The study's database.
        study: Its name, for the message.
        params: The configuration that chooses ``images``.
        images: The current images.
        hashes: The study's data hashes.

    Raises:
        DataError: If trials were trained on other images.
    """
    if hashes.read(database) <= {images.data_hash}:
        return
    study_id = hashes.study_id
    tickets = queries.all_tickets(database, study_id)
    for group in groups(database, study_id, tickets):
        others = {data_hash for data_hash in group.hashes.values() if data_hash != images.data_hash}
        if not others or _choice(group.first.params or {}) != _choice(params):
            continue
        other = next(ticket for ticket in tickets if group.hashes.get(ticket.ticket) in others)
        before = _images_of(database, other.trial_id or -1)
        trials = _trials(ticket for ticket in tickets if group.hashes.get(ticket.ticket) in others)
        raise DataError(
            f"study {study!r} must use the images that its trials were trained on, but they have "
            f"changed: the data hash is {images.data_hash} now, and was {before.data_hash} for "
            f"{trials}. {_changes(before, images)}. Restore those images; or search on the new "
            f"ones in another study (--name {study}_2); or, if the old values have no use, remove "
            "these trials from the ranking with `hpsearch invalidate`"
        )


def changed_images_warning(tickets: Sequence[Ticket], others: Mapping[int, str]) -> str | None:
    """Return the warning to show with every ranking; ``None`` if all images are the same."""
    if not others:
        return None
    trials = [ticket for ticket in tickets if ticket.ticket in others]
    return (
        f"the images have changed during this study: {_trials(trials)} "
        f"{'was' if len(trials) == 1 else 'were'} trained on other images than the first trials, "
        "so their values can't be compared (`hpsearch doctor` lists them)"
    )


def _hashes(connection: Connection, study_id: int, after: int) -> Sequence[sa.Row[int, str]]:
    """Return the newest id and the data hash (JSON) of trials with larger ids than ``after``."""
    table = rows.TRIAL_USER_ATTRS
    query = (
        sa.select(sa.func.max(table.c.trial_id), table.c.value_json)
        .join(rows.TRIALS, rows.TRIALS.c.trial_id == table.c.trial_id)
        .where(
            rows.is_newer(study_id, after),
            # Of both tables, so that neither is read from its beginning
            table.c.trial_id > after,
            table.c.key == DATA_HASH,
        )
        .group_by(table.c.value_json)
    )
    return connection.execute(query).all()


def _hash_in(text: str) -> str:
    data_hash: str = decode_or("", text, "trial_user_attributes", DATA_HASH, str)
    return data_hash


def _images_of(database: Database, trial_id: int) -> Images:
    attributes = trial_attributes.read(database, trial_id)
    per_class = tuple(attributes.get("images_per_class", ()))
    total = sum(per_class) if per_class else None
    train, validation = attributes.get("train_images"), attributes.get("val_images")
    if total is None and isinstance(train, int) and isinstance(validation, int):
        # With folds, these count images several times
        total = train + validation if attributes.get("trainings", 1) == 1 else None
    return Images(
        data_hash=str(attributes.get(DATA_HASH)),
        class_names=tuple(map(str, attributes.get("class_names", ()))),
        per_class=per_class,
        total=total,
    )


def _changes(before: Images, now: Images) -> str:
    """Return what is different, as far as the trial recorded it."""
    lines = []
    if before.total is not None and now.total is not None and before.total != now.total:
        lines.append(f"{before.total} images -> {now.total}")
    old_names = before.class_names or now.class_names
    gone = [name for name in old_names if name not in now.class_names]
    new = [name for name in now.class_names if name not in old_names]
    lines += [f"removed classes: {first_few([*map(repr, gone)], _LISTED)}"] if gone else []
    lines += [f"new classes: {first_few([*map(repr, new)], _LISTED)}"] if new else []
    if before.per_class and now.per_class:
        was = dict(zip(before.class_names, before.per_class, strict=False))
        lines += [
            f"{name!r}: {was[name]} -> {count}"
            for name, count in zip(now.class_names, now.per_class, strict=False)
            if name in was and was[name] != count
        ][:_LISTED]
    if lines:
        return f"What changed: {', '.join(lines)}"
    if before.total is None:
        return "The former number of images isn't recorded"
    return f"There are as many ({before.total}) in as many classes, but some images differ"


def _counts(ticket: Ticket) -> bool:
    return ticket.state not in (TicketState.FAILED, TicketState.INVALID)


def _choice(params: Mapping[str, Any]) -> str:
    """Return the part of a configuration that decides which images are used."""
    deciding = {
        path: value
        for path, value in params.items()
        if path.startswith("data.")
        and not any(path == section or path.startswith(f"{section}.") for section in _NOT_DECIDING)
    }
    return repr(sorted(deciding.items()))


def _trials(tickets: Iterable[Ticket]) -> str:
    numbers = [str(ticket.number) for ticket in tickets]
    return f"trial{'' if len(numbers) == 1 else 's'} {first_few(numbers, _LISTED)}"
