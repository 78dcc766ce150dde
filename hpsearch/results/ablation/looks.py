"""Looks at an ablation before its last seed: each is decided once, and stored.

Every worker that finds nothing to claim calls ``take_look``. The plan that follows is the same for
all of them, since it follows from what is stored.
"""

from __future__ import annotations

from dataclasses import replace

from hpsearch.results.ablation.judging import settled_now
from hpsearch.results.ablation.plan import progress
from hpsearch.results.ablation.spec import Look, spec_of
from hpsearch.results.ablation.stored import ablated_search, ended_outcomes, progress_of
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import EventKind


def take_look(database: Database, name: str) -> bool:
    """Settle what the trainings that have ended settle, if a look is due; return whether it was.

    Args:
        database: The database of a planned study.
        name: Its name. Nothing happens to a study that is no ablation.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    record = read_study(database, name)
    if ablated_search(record.study) is None:
        return False
    due = progress_of(record).due
    if due is None:
        return False
    spec, outcomes = spec_of(record.study), ended_outcomes(database, record)
    has_images = "data" in record.study.document
    settled = settled_now(spec, outcomes, due, has_images=has_images)
    after = replace(spec, taken=(*spec.taken, Look(seeds=due, settled=settled)))
    return studies.change_plan(
        database,
        record.study,
        {"ablates": after.to_document()},
        trainings=len(progress(after, outcomes).planned),
        issued=max((trial.ticket for trial in record.trials), default=0),
        kind=EventKind.LOOK_TAKEN,
        detail={"seeds": due, "settled": list(settled)},
    )
