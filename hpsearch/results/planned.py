"""Studies that follow a plan instead of a sampler: confirmations and ablations of a search.

Ticket n of such a study is entry n of its plan, which follows from the tickets that have ended. So
nothing but its settings is stored, and every worker computes the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.results.ablation import spec as ablation_spec
from hpsearch.results.ablation import stored as ablation
from hpsearch.results.confirmation import spec as confirmation_spec
from hpsearch.results.confirmation import stored as confirmation
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.studies import StoredStudy


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The search that a planned study belongs to."""

    search: str
    #: What the planned study is: ``confirmation`` or ``ablation``.
    kind: str
    #: The command that continues it: ``hpsearch confirm --study S``.
    command: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a planned study trains."""

    #: Every training that is known to be needed, in the order of their tickets.
    trainings: tuple[PlannedTraining, ...]
    #: ``PlannedTraining.trial`` -> path -> stored value.
    params: Mapping[int, Mapping[str, Any]]
    #: Seed s of the plan is the fresh seed ``seeds_before`` + s of the search.
    seeds_before: int
    last_seed: int
    finished: bool


def parent_of(study: StoredStudy) -> Parent | None:
    """Return the search that a stored study belongs to; ``None`` if it is a search itself."""
    if (search := confirmation_spec.confirmed_search(study)) is not None:
        return Parent(
            search=search, kind="confirmation", command=f"hpsearch confirm --study {search}"
        )
    if (search := ablation.ablated_search(study)) is not None:
        return Parent(search=search, kind="ablation", command=f"hpsearch ablate --study {search}")
    return None


def plan_of(record: StudyRecord) -> Plan:
    """Return the plan of a confirmation or an ablation, as far as it is known."""
    if ablation.ablated_search(record.study) is not None:
        now, spec = ablation.progress_of(record), ablation_spec.spec_of(record.study)
        return Plan(
            trainings=now.planned,
            params={number: variant.params for number, variant in enumerate(spec.variants)},
            seeds_before=spec.seeds_before,
            last_seed=spec.last_seed,
            finished=now.finished,
        )
    state, settings = confirmation.progress_of(record), confirmation_spec.spec_of(record.study)
    return Plan(
        trainings=state.planned,
        params=settings.params,
        seeds_before=settings.seeds_before,
        last_seed=settings.last_seed,
        finished=state.finished,
    )


def planned_studies(database: Database, search: str) -> list[StoredStudy]:
    """Return the confirmations and the ablations of a search, each oldest first."""
    return [*confirmation.confirmations(database, search), *ablation.ablations(database, search)]


def seeds_used(stored: Sequence[StoredStudy]) -> int:
    """Return the last fresh seed that some of a search's planned studies may use; 0 for none."""
    return max(
        (
            ablation_spec.spec_of(study).last_seed
            if ablation.ablated_search(study) is not None
            else confirmation_spec.spec_of(study).last_seed
            for study in stored
        ),
        default=0,
    )
