"""The results of a study's prior so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.results.records import StudyRecord
from hpsearch.search.starts import RANDOM_EVERY
from hpsearch.search.storage import Database
from hpsearch.search.trust import read_starts, trust_in
from hpsearch.study_file.sections import NO_HELP


def read_prior(database: Database, record: StudyRecord) -> dict[str, Any] | None:
    """Return how the prior's starts compare with random ones, JSON-like; ``None`` without a prior.

    ``better_than_random`` is null before there are enough of both; ``is_off`` is true if new starts
    are random because the prior's were worse, and ``weight`` is the share of new starts that the
    prior chooses.
    """
    name = prior_in(record.study.document)
    if name == NO_HELP["prior"]:
        return None
    maximize = record.objective.direction == "maximize"
    study_id = record.study.study_id
    trust = trust_in(
        database.read(lambda connection: read_starts(connection, study_id, maximize=maximize))
    )
    return {
        "name": name,
        "starts": trust.by_prior,
        "random_starts": trust.random,
        "better_than_random": trust.share,
        "is_off": trust.is_lost,
        "weight": 0.0 if trust.is_lost else 1 - 1 / RANDOM_EVERY,
    }


def prior_in(document: Mapping[str, Any]) -> str:
    """Return the name of a stored study's prior, ``none`` for none."""
    name: str = (document.get("search") or NO_HELP)["prior"]
    return name
