"""Whether the images that are there now are those that a study's trials were trained on.

A launch checks this first, and each worker before each trial: it may run on another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.results import data_sets
from hpsearch.results.data_sets import Images, KnownHashes
from hpsearch.results.planned import parent_of
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.study import StudyFile
from hpsearch.training.data.prepare import prepare

#: Choices of images that are compared before a launch; each may have to be prepared.
_CHOICES = 8


def require_same_images(
    database: Database, stored: StoredStudy, study: StudyFile, data: Path | None
) -> None:
    """Compare the images that are there now with those of every trial so far.

    Args:
        database: The database of the study.
        stored: The study, or a planned study, which needs the images of its search.
        study: The same study as a study file.
        data: The data root; ``None``: the default one.

    Raises:
        DataError: The images have changed, or aren't there.
    """
    for stored_study in _with_search(database, stored):
        tickets = queries.all_tickets(database, stored_study.study_id)
        for group in data_sets.groups(database, stored_study.study_id, tickets)[:_CHOICES]:
            params = group.first.params or {}
            config = study.trial_config(params, group.first.ticket)
            prepared = prepare(config.data, split_seed=config.split_seed, root=data)
            images = Images(
                data_hash=prepared.data_hash,
                class_names=prepared.class_names,
                per_class=prepared.images_per_class,
                total=sum(prepared.images_per_class),
            )
            hashes = KnownHashes(stored_study.study_id)
            data_sets.require_same(database, stored_study.name, params, images, hashes)


class SameImages:
    """Compares the images of a worker's trials with those of a study's earlier trials."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        #: By study id.
        self._hashes: dict[int, KnownHashes] = {}

    def require(self, params: Mapping[str, Any], images: Images) -> None:
        """Compare the images of a trial that is about to begin.

        Args:
            params: The trial's configuration.
            images: Its images on this host.

        Raises:
            DataError: Other trials were trained on other images.
        """
        for stored in _with_search(self._database, studies.find(self._database, self._name)):
            hashes = self._hashes.setdefault(stored.study_id, KnownHashes(stored.study_id))
            data_sets.require_same(self._database, stored.name, params, images, hashes)


def _with_search(database: Database, stored: StoredStudy) -> list[StoredStudy]:
    """Return the study; for a confirmation or an ablation, its search before it."""
    parent = parent_of(stored)
    search = None if parent is None else studies.find_or_none(database, parent.search)
    return [stored] if search is None else [search, stored]
