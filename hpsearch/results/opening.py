"""How commands open what they work on: the database, a stored study, a study file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import NothingStored, StudyFileError, UnknownName, UserError
from hpsearch.search.database.environment import sqlite_file

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.search.database.storage import Database, Patience
    from hpsearch.search.ledger.studies import StoredStudy
    from hpsearch.study_file.inherit import InheritedConfig, Resolve
    from hpsearch.study_file.loading import StudyDict
    from hpsearch.study_file.schema import Registries
    from hpsearch.study_file.study import StudyFile


@contextmanager
def database_for_reading(url: str, patience: Patience | None = None) -> Iterator[Database]:
    """Open a database that hpsearch has used before; never create one.

    Args:
        url: The database.
        patience: How long to wait for it; ``None`` for 15 seconds.

    Raises:
        StorageError: If it can't be reached or contains no study.
    """
    from hpsearch.search.database.schema_version import require_tables
    from hpsearch.search.database.storage import Database

    database = Database(url, patience)
    try:
        require_tables(database)
        yield database
    finally:
        database.close()


def stored_name(database: Database, name_or_path: str) -> str:
    """Return the name of a stored study, given its name or its file."""
    from hpsearch.search.ledger import studies

    if studies.find_or_none(database, name_or_path) is not None:
        return name_or_path
    return name_in_file(name_or_path) or name_or_path


def name_in_file(name_or_path: str) -> str | None:
    """Return the ``study:`` key of a study file, ``None`` if there is no such file."""
    from hpsearch.study_file.loading import find_study

    try:
        path = find_study(name_or_path)
    except UnknownName:
        return None
    name = head_of(path).get("study")
    return name if isinstance(name, str) else None


def head_of(path: Path) -> dict[str, object]:
    """Return a study file's keys without checking their values; empty if it can't be read."""
    from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation
    from hpsearch.study_file.loading import read_text
    from hpsearch.study_file.syntax import read_yaml, to_plain

    try:
        text = read_text(path)
    except StudyFileError:
        return {}
    node = read_yaml(text, SourceLocation(str(path)), Diagnostics())
    keys = None if node is None else to_plain(node)
    return keys if isinstance(keys, dict) else {}


def record_of(database: Database, name_or_path: str) -> StudyRecord:
    """Read a stored study and its trials.

    Raises:
        UnknownName: If there is no such study; it lists the existing ones.
    """
    from hpsearch.results.records import read_study

    return read_study(database, stored_name(database, name_or_path))


def definition_of(name_or_path: str, storage: str) -> Path | StoredStudy:
    """Find the definition of a study: its file, or if no file has its name, the stored study.

    This doesn't import torch, so errors in the name or the text appear quickly.

    Args:
        name_or_path: A name or path of a study file, or the name of a stored study.
        storage: The database's URL; opened only if no study file has this name.

    Returns:
        The file's path, or the stored study.

    Raises:
        UnknownName: If neither a file nor a stored study has this name.
        StudyFileError: If the file is missing or isn't YAML.
        UserError: If the stored study is a confirmation or an ablation, which ``hpsearch confirm``
            or ``hpsearch ablate`` continues.
    """
    from hpsearch.study_file.loading import find_study, require_yaml

    try:
        path = find_study(name_or_path)
    except UnknownName as unknown:
        return _stored_definition(name_or_path, storage, unknown)
    require_yaml(path)
    return path


def _stored_definition(name: str, storage: str, unknown: UnknownName) -> StoredStudy:
    file = sqlite_file(storage)
    if file is not None and not file.exists():
        raise unknown
    from hpsearch.results.planned import parent_of
    from hpsearch.search.ledger import studies

    try:
        with database_for_reading(storage) as database:
            study = studies.find_or_none(database, name)
            stored = [other.name for other in studies.everything(database)]
    except NothingStored:
        raise unknown from None
    if study is None:
        raise UnknownName(
            "study", name, {*unknown.names, *stored}, "You can also give the path of a .yaml file."
        )
    if (parent := parent_of(study)) is not None:
        raise UserError(
            f"a study or a study file must be named, but {name!r} is the {parent.kind} of "
            f"{parent.search!r}; to continue it, run: {parent.command}"
        )
    return study


def head_of_definition(name_or_path: str, storage: str) -> Mapping[str, object]:
    """Return the keys of a study's file, or of the stored study (``definition_of``)."""
    definition = definition_of(name_or_path, storage)
    return head_of(definition) if isinstance(definition, Path) else definition.document


def study_file(
    study: str | StudyDict,
    *,
    storage: str,
    overrides: Sequence[str] = (),
    name: str | None = None,
) -> StudyFile:
    """Load and check a study file, a dict, or a stored study.

    Args:
        study: A name or path as for ``definition_of``, or a study's dict.
        storage: The URL of the database with the stored study, or with those that the file's
            ``from`` names; opened only then.
        overrides: ``path=value`` texts.
        name: Replaces the study's name; ``None`` keeps it.

    Returns:
        The study.

    Raises:
        StudyFileError: If it has errors; the exception lists all of them.
        UserError: As ``definition_of``.
    """
    definition = definition_of(study, storage) if isinstance(study, str) else study
    # Imported late: it imports torch, and errors in the name or the text don't need it
    from hpsearch.component_registries import registries
    from hpsearch.study_file.loading import (
        StudyDict,
        load_study,
        load_study_dict,
        study_from_document,
    )

    finder = _finder(storage)
    if isinstance(definition, Path):
        return load_study(definition, registries, overrides=overrides, name=name, resolve=finder)
    if isinstance(definition, StudyDict):
        return load_study_dict(
            definition, registries, overrides=overrides, name=name, resolve=finder
        )
    return study_from_document(
        definition.document,
        registries,
        text=definition.text,
        where=f"stored study {definition.name}",
        overrides=overrides,
        name=name,
    )


def components_of(name_or_path: str, *, storage: str) -> Registries:
    """Return the components that a study may name: the built-in ones and those of its plug-ins.

    Args:
        name_or_path: As for ``definition_of``; a file need not be valid otherwise.
        storage: As for ``study_file``.

    Raises:
        StudyFileError: The file can't be read, or a plug-in is missing, has changed or fails.
        UserError: As ``definition_of``.
    """
    definition = definition_of(name_or_path, storage)
    from hpsearch.component_registries import registries
    from hpsearch.study_file.loading import load_components

    source = definition if isinstance(definition, Path) else definition.document
    return load_components(source, registries, resolve=_finder(storage))


def _finder(storage: str) -> Resolve:
    """Return a function that finds the winners of the studies in ``storage``."""

    def find(name: str, trial: int | None) -> InheritedConfig:
        from hpsearch.results.inherited import winner_of
        from hpsearch.results.records import read_study

        try:
            with database_for_reading(storage) as database:
                record = read_study(database, name)
        except UnknownName as error:
            raise UserError(f"{error} Launch it first, or give a frozen config (.yaml).") from error
        except NothingStored as error:
            raise UserError(f"study {name!r} must be launched first: {error}") from error
        return winner_of(record, study_of(record), trial)

    return find


def study_of(record: StudyRecord) -> StudyFile:
    """Load the study file of a stored study again."""
    from hpsearch.component_registries import registries
    from hpsearch.study_file.loading import study_from_document

    return study_from_document(
        record.study.document,
        registries,
        text=record.study.text,
        where=f"stored study {record.study.name}",
    )
