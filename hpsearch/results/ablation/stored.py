"""An ablation in the database: a study of its own, named after the search.

Its settings are in its document (``spec``). As in a confirmation, ticket n is entry n of the plan.
"""

from __future__ import annotations

from hpsearch.results.ablation.judging import AblationResult, judge
from hpsearch.results.ablation.plan import AblationProgress, progress
from hpsearch.results.ablation.spec import spec_of
from hpsearch.results.confirmation.outcomes import started_trainings, walk, with_predictions
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.studies import StoredStudy

#: Suffix of the search's name; later ablations end in ``-ablate-2``, ``-ablate-3``, ...
SUFFIX = "-ablate"


def name_of(study: str, nth: int) -> str:
    """Return the name of a search's ``nth`` ablation, from 1."""
    return studies.nth_name(f"{study}{SUFFIX}", nth)


def ablated_search(study: StoredStudy) -> str | None:
    """Return the name of the search that a stored study ablates; ``None`` if it is no ablation."""
    section = study.document.get("ablates")
    return None if section is None else str(section["study"])


def ablations(database: Database, study: str) -> list[StoredStudy]:
    """Return the ablations of the search called ``study``, oldest first.

    If another program deleted one, it and the later ones are left out.
    """
    return studies.numbered(database, name_of(study, 1), _is_ablation)


def _is_ablation(study: StoredStudy) -> bool:
    return ablated_search(study) is not None


def progress_of(ablation: StudyRecord) -> AblationProgress:
    """Return the ablation's progress."""
    spec = spec_of(ablation.study)
    return progress(spec, walk(ablation, lambda ended: progress(spec, ended).planned))


def trainings(ablation: StudyRecord) -> dict[PlannedTraining, TrialRecord]:
    """Return each training that was started, in the order of their tickets."""
    return started_trainings(ablation, progress_of(ablation).planned)


def read_result(database: Database, ablation: StudyRecord) -> AblationResult:
    """Return the result of an ablation, which may not be finished.

    Args:
        database: The database of the ablation.
        ablation: The ablation.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    outcomes = ended_outcomes(database, ablation)
    has_images = "data" in ablation.study.document
    return judge(spec_of(ablation.study), outcomes, has_images=has_images)


def ended_outcomes(
    database: Database, ablation: StudyRecord
) -> dict[PlannedTraining, TrainingResult]:
    """Return the result of each training that has ended, with its predictions.

    Args:
        database: The database of the ablation.
        ablation: The ablation.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    return with_predictions(database, ablation, trainings(ablation))


def read_results(database: Database, study: str) -> list[tuple[str, AblationResult]]:
    """Return the name and the result of each ablation of a search, oldest first.

    Args:
        database: The search's database.
        study: The search's name.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    return [
        (ablation.name, read_result(database, read_study(database, ablation.name)))
        for ablation in ablations(database, study)
    ]
