"""Copying studies to another database, with what belongs to them and, if asked, their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.errors import UserError
from hpsearch.results.consistency.rule import Finding
from hpsearch.results.planned import parent_of, planned_studies
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.study_copy import StudyCopy, copy_study
from hpsearch.workers.checkup.examine import examine
from hpsearch.workers.deleting import require_no_worker
from hpsearch.workers.runs_place.place import Runs
from hpsearch.workers.runs_place.study_files import copy_files, files_of


def copy_studies(
    source: Database,
    target: Database,
    names: Sequence[str],
    *,
    runs: Runs,
    to_runs: Runs | None = None,
) -> Iterator[tuple[StudyCopy, list[str]]]:
    """Copy studies, each in one transaction; those that the target has already are only compared.

    Args:
        source: The database of the studies.
        target: The other database; it gets its tables if it has none.
        names: The searches to copy, each with its confirmations and ablations; empty for all.
        runs: The runs place.
        to_runs: Another runs place, which gets a copy of the files; ``None`` if both databases
            use ``runs``.

    Yields:
        Each study, and the problems of the copy that its source doesn't have.

    Raises:
        UnknownName: The source has no such study.
        StorageError: The target's tables are of another version.
        UserError: Both databases are the same, a worker trains a trial of a study, or the target
            has another study of that name.
        RunsUnreachable: An object store can't be reached.
    """
    if source.url == target.url:
        raise UserError(
            f"a study is copied into another database, but both are {source.display_url}; name the "
            "other one with --storage"
        )
    ensure_tables(target)
    searches = names or [
        study.name for study in studies.everything(source) if parent_of(study) is None
    ]
    for search in searches:
        for study in (studies.find(source, search), *planned_studies(source, search)):
            require_no_worker(source, study.study_id, study.name, "copied")
            copy = copy_study(source, target, study.name)
            if to_runs is not None:
                copy_files(
                    files_of(runs, study.name, study.run_key),
                    files_of(to_runs, study.name, study.run_key),
                )
            source_problems = {
                (finding.rule, finding.where) for finding in _problems(source, study.name, runs)
            }
            yield (
                copy,
                [
                    f"{finding.where}: {finding.what}"
                    for finding in _problems(target, study.name, to_runs or runs)
                    if (finding.rule, finding.where) not in source_problems
                ],
            )


def _problems(database: Database, name: str, runs: Runs) -> list[Finding]:
    health = examine(database, name, runs)
    return [*health.broken, *(fault.finding for fault in health.files.findings)]
