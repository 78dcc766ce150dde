"""A study's health now, also while workers run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from hpsearch.results.consistency.facts import Facts, read_facts
from hpsearch.results.consistency.rule import Finding, findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.workers.checkup.files import FileFinding, FilesLook, list_files, look_at_files
from hpsearch.workers.checkup.processes import DeadOwner, dead_owners
from hpsearch.workers.runs_place.place import Runs
from hpsearch.workers.trial.run_folder import RunFolder

#: Seconds between two checks of the files, in which a worker finishes writing or removing one.
PAUSE_SECONDS = 1.5


@dataclass(frozen=True, kw_only=True)
class Health:
    """What an examination found."""

    facts: Facts
    #: Broken rules about rows; none of them can be repaired.
    broken: tuple[Finding, ...]
    files: FilesLook
    folder: RunFolder
    #: These aren't faults; `--repair` frees their trials before the lease ends.
    dead: tuple[DeadOwner, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.broken and not self.files.findings


def examine(
    database: Database, name: str, runs: Runs, *, pause_seconds: float = PAUSE_SECONDS
) -> Health:
    """Check a study's rows and files.

    All rows are read in one snapshot. Files can't be, so a fault of a file counts only if a second
    check finds it again.

    Args:
        database: The database of the study.
        name: The study's name.
        runs: The runs place.
        pause_seconds: Seconds between the two checks.

    Raises:
        UnknownName: There is no such study.
        RunsUnreachable: The object store can't be reached.
    """
    health = _look(database, name, runs)
    if not health.files.findings:
        return health
    time.sleep(pause_seconds)
    second = _look(database, name, runs)
    lasting: tuple[FileFinding, ...] = tuple(
        finding for finding in second.files.findings if finding in health.files.findings
    )
    files = FilesLook(findings=lasting, notes=second.files.notes, whole=second.files.whole)
    return replace(second, files=files)


def _look(database: Database, name: str, runs: Runs) -> Health:
    study = studies.find(database, name)
    folder = RunFolder(runs, study.name, study.run_key)
    files_by_trial = list_files(folder)
    facts = read_facts(database, name)
    return Health(
        facts=facts,
        broken=tuple(finding for rule in RULES for finding in findings_of(rule, facts)),
        files=look_at_files(facts, folder, files_by_trial),
        folder=folder,
        dead=tuple(dead_owners(facts)),
    )
