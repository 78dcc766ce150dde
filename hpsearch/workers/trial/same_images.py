"""Whether the images that are there now are those that a study's trials were trained on.

A launch checks this first, and each worker before each trial: it may run on another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.results import data_sets
from hpsearch.results.confirmation.spec import confirmed_search
from hpsearch.results.data_sets import Images
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.study import StudyFile
from hpsearch.training.data.prepare import prepare
from hpsearch.workers.trial.build_plan import BuildPlan

#: Choices of images that are compared before a launch; each may have to be prepared.
_CHOICES = 8


def require_same_images(
    database: Database, stored: StoredStudy, study: StudyFile, data: Path | None
) -> None:
    """Compare the images that are there now with those of every trial so far.

    Args:
        database: The database of the study.
        stored: The study, or a confirmation, which needs the images of its search.
        study: The same study as a study file.
        data: The data root; ``None``: the default one.

    Raises:
        DataError: The images have changed, or aren't there.
    """
    for of in _compared(database, stored):
        tickets = queries.all_tickets(database, of.study_id)
        for group in data_sets.groups(database, of.study_id, tickets)[:_CHOICES]:
            params = group.first.params or {}
            config = study.trial_config(params, group.first.ticket)
            found = prepare(config.data, split_seed=config.split_seed, root=data)
            images = Images(
                data_hash=found.data_hash,
                class_names=found.class_names,
                per_class=found.images_per_class,
                total=sum(found.images_per_class),
            )
            data_sets.require_same(database, of.name, of.study_id, params, images)


def require_same_as_before(
    database: Database, name: str, params: Mapping[str, Any], build_plan: BuildPlan
) -> None:
    """Compare the images of a trial that is about to begin with those of earlier trials.

    Args:
        database: The database of the study.
        name: The study's name.
        params: The trial's configuration.
        build_plan: The trial's build plan on this host.

    Raises:
        DataError: Other trials were trained on other images.
    """
    for of in _compared(database, studies.find(database, name)):
        data_sets.require_same(database, of.name, of.study_id, params, build_plan.images())


def _compared(database: Database, stored: StoredStudy) -> list[StoredStudy]:
    """Return the study; for a confirmation, its search before it."""
    name = confirmed_search(stored)
    search = None if name is None else studies.find_or_none(database, name)
    return [stored] if search is None else [search, stored]
