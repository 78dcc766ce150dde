"""Prior results: results from elsewhere that a study's sampler learns from.

They aren't trials of the study, and appear in no count, ranking or report. Samplers that model the
space see each as a complete trial that is older than all of the study's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpsearch.search.database.optuna_rows import constraint_attrs
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import Damaged, decode, warn
from hpsearch.search.database.tables import prior_results
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.statements import lock_study
from hpsearch.study_file.space import Scalar


@dataclass(frozen=True, kw_only=True)
class PriorResult:
    """One result from elsewhere, in the form of a trial of the study."""

    #: The place in its source: ``line 7``, ``trial 12``.
    place: str
    #: Path -> stored value: a whole configuration of the study's space.
    params: Mapping[str, Scalar]
    #: One value per objective.
    values: tuple[float, ...]
    #: Constraint -> violation, of those that are known.
    violations: Mapping[str, float]

    @property
    def outcome(self) -> str:
        """Return values and violations, as they are stored (JSON)."""
        content = {"values": list(self.values), "constraints": dict(self.violations)}
        return json.dumps(content, sort_keys=True)

    @property
    def key(self) -> str:
        """Return the SHA-256 (hex) of parameters and outcome, whatever the source."""
        text = json.dumps(dict(self.params), sort_keys=True) + self.outcome
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ResultSource:
    """A source of a study's prior results."""

    name: str
    results: int
    #: When the first result was added: ISO 8601, UTC.
    at: str


def add(database: Database, study_id: int, source: str, results: Sequence[PriorResult]) -> int:
    """Store the prior results that are new.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        source: The name of the source, for people.
        results: The results; those that are stored already are left out.

    Returns:
        The number of new results.
    """
    at = datetime.now(UTC).isoformat(timespec="milliseconds")

    def work(connection: Connection) -> int:
        lock_study(connection, study_id)
        keys = _keys(connection, study_id)
        new = {result.key: result for result in results if result.key not in keys}
        if not new:
            return _done_before(connection, study_id, source, results, at)
        connection.execute(
            sa.insert(prior_results),
            [
                {
                    "study_id": study_id,
                    "key": key,
                    "source": source,
                    "place": result.place,
                    "params": json.dumps(dict(result.params)),
                    "outcome": result.outcome,
                    "at": at,
                }
                for key, result in new.items()
            ],
        )
        detail = {"source": source, "results": len(new)}
        record_event(connection, study_id, None, None, EventKind.PRIOR_RESULTS_ADDED, None, detail)
        return len(new)

    return database.write(work)


def remove(database: Database, study_id: int, source: str) -> int:
    """Remove the prior results of a source.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        source: The name of the source.

    Returns:
        The number of removed results.
    """

    def work(connection: Connection) -> int:
        lock_study(connection, study_id)
        result = connection.execute(
            sa.delete(prior_results).where(
                prior_results.c.study_id == study_id, prior_results.c.source == source
            )
        )
        if result.rowcount:
            detail = {"source": source, "results": result.rowcount}
            record_event(
                connection, study_id, None, None, EventKind.PRIOR_RESULTS_REMOVED, None, detail
            )
        return int(result.rowcount)

    return database.write(work)


def sources(database: Database, study_id: int) -> list[ResultSource]:
    """Return the sources of a study's prior results, oldest first."""
    query = (
        sa.select(prior_results.c.source, sa.func.count(), sa.func.min(prior_results.c.at))
        .where(prior_results.c.study_id == study_id)
        .group_by(prior_results.c.source)
        .order_by(sa.func.min(prior_results.c.lesson_id))
    )
    return database.read(
        lambda connection: [
            ResultSource(name=name, results=results, at=at)
            for name, results, at in connection.execute(query)
        ]
    )


class PriorResults:
    """One study's prior results as samplers see them, read again only if they changed."""

    def __init__(self, study_id: int) -> None:
        self._study_id = study_id
        #: The number of results, the newest one's id and its time.
        self._version: tuple[int, int, str] = (0, 0, "")
        self._rows: list[tuple[str, str]] = []
        self._trials: list[FrozenTrial] | None = []

    def read(self, connection: Connection) -> None:
        """Read the prior results if any were added or removed."""
        of_study = prior_results.c.study_id == self._study_id
        count, newest_id, newest_at = connection.execute(
            sa.select(
                sa.func.count(),
                sa.func.coalesce(sa.func.max(prior_results.c.lesson_id), 0),
                # SQLite gives the id of a deleted row to the next one
                sa.func.coalesce(sa.func.max(prior_results.c.at), ""),
            ).where(of_study)
        ).one()
        version = (int(count), int(newest_id), str(newest_at))
        if version == self._version:
            return
        query = (
            sa.select(prior_results.c.params, prior_results.c.outcome)
            .where(of_study)
            .order_by(prior_results.c.lesson_id)
        )
        self._rows = [(row.params, row.outcome) for row in connection.execute(query)]
        self._trials, self._version = None, version

    def trials(self, distributions: Mapping[str, BaseDistribution]) -> list[FrozenTrial]:
        """Return them as complete trials with negative numbers; the newest is -1."""
        if self._trials is None:
            first = -len(self._rows)
            trials = [
                _as_trial(first + place, params, outcome, distributions)
                for place, (params, outcome) in enumerate(self._rows)
            ]
            self._trials = [trial for trial in trials if trial is not None]
        return self._trials


def _as_trial(
    number: int, params: str, outcome: str, distributions: Mapping[str, BaseDistribution]
) -> FrozenTrial | None:
    """Return a result as a trial, ``None`` if its row is damaged."""
    try:
        point, content = decode(params), decode(outcome)
        values, violations = content["values"], content["constraints"]
        point_distributions = {path: distributions[path] for path in point}
    except (Damaged, KeyError):
        warn(f"hpsearch_knowledge: result {number} can't be read")
        return None
    return FrozenTrial(
        number=number,
        # Below the draft's id, which is -1
        trial_id=number - 1,
        state=TrialState.COMPLETE,
        value=None,
        values=values,
        datetime_start=None,
        datetime_complete=None,
        params=point,
        distributions=point_distributions,
        user_attrs={},
        system_attrs=constraint_attrs(violations),
        intermediate_values={},
    )


def _keys(connection: Connection, study_id: int) -> set[str]:
    query = sa.select(prior_results.c.key).where(prior_results.c.study_id == study_id)
    return set(connection.execute(query).scalars())


def _done_before(
    connection: Connection, study_id: int, source: str, results: Sequence[PriorResult], at: str
) -> int:
    """Return how many of ``results`` an earlier try of this call stored: its answer was lost."""
    query = sa.select(sa.func.count()).where(
        prior_results.c.study_id == study_id,
        prior_results.c.source == source,
        prior_results.c.at == at,
    )
    return int(connection.execute(query).scalar_one()) if results else 0
