"""Ablating a trial: choosing what is changed, storing the ablation, running it.

A search shows which configurations are good, not which setting makes them good: its trials differ
in everything at once. An ablation changes one setting of one trial at a time, and trains both with
the same fresh seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpsearch.component_registries import registries
from hpsearch.errors import InfeasibleConfig, UnknownName, UserError
from hpsearch.results.ablation.alternatives import MOST_CELLS, Design
from hpsearch.results.ablation.sentences import left_out
from hpsearch.results.ablation.spec import (
    FEWEST_SEEDS,
    LOOKS,
    MOST_IN_TIME,
    SEEDS,
    AblationSpec,
    RequestedChanges,
    spec_of,
)
from hpsearch.results.ablation.stored import ablated_search, ablations, name_of
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.deadline.seeds import keep_deadline
from hpsearch.results.planned import planned_studies, seeds_used
from hpsearch.results.question import comparable_parameter, paths_in_question, structured_question
from hpsearch.results.ranking import contenders
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.results.winner import winner_of
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.sections import MOST_SEEDS
from hpsearch.study_file.space import Scalar
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import CONFIRM_SEED
from hpsearch.tracking.tracking import require_usable
from hpsearch.workers.planned_study import (
    planned_study,
    require_quiet,
    require_search,
    require_short,
    stored_study_file,
)
from hpsearch.workers.trial.build_plan import plan_build

#: Numbers of configurations of a crossed question that are tried in turn if the budget is limited;
#: 1: the parameter's values at the trial itself only.
_CELLS = (MOST_CELLS, 16, 9, 6, 1)


@dataclass(frozen=True, kw_only=True)
class AblateRequest:
    """What is changed. Without parameters, pairs and question: every parameter of the trial."""

    #: The trial's number; ``None`` for the winner.
    trial: int | None = None
    #: Paths, or unique ends of paths, of parameters that are changed one at a time.
    parameters: Sequence[str] = ()
    #: A parameter, and another one at whose values its effect is measured.
    pairs: Sequence[tuple[str, str]] = ()
    #: Whether to answer the study's question.
    question: bool = False
    #: Fresh seeds; ``None``: the default number.
    seeds: int | None = None
    #: The most trainings; ``None`` for no limit. A question is asked at more places than the trial
    #: itself only if each configuration can have ``MOST_IN_TIME`` seeds: one clear answer is worth
    #: more than many undecided ones. If not even these fit, there are fewer seeds. While it runs,
    #: the seeds follow the time that is left.
    most_trainings: int | None = None


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """An ablation that is stored, and its cost."""

    name: str
    study: StudyFile
    #: Whether this call created it.
    new: bool
    spec: AblationSpec
    #: Trainings that have ended.
    ended: int
    #: Epochs of one training.
    epochs: int


def prepare_ablation(
    database: Database,
    search: StudyRecord,
    study: StudyFile,
    request: AblateRequest,
    *,
    data: Path | None = None,
    builds_here: bool = True,
) -> AblationRun:
    """Find the ablation of a request, or create it.

    Args:
        database: The database of the search.
        search: The search.
        study: The study file of the search.
        request: What is changed. If an ablation changes the same of the same trial, with the same
            seeds if the request gives any, it is continued.
        data: The data root; ``None``: the default one.
        builds_here: Whether this machine has the data, so that a configuration that can't be built
            is found before it is trained.

    Returns:
        The stored ablation; its trainings may be pending, running or complete.

    Raises:
        UserError: The search has no trial to ablate, the request is wrong or too large, or the
            ablation's name is too long or taken.
    """
    require_usable(study.trackers)
    require_search(search, "ablate")
    seeds = SEEDS if request.seeds is None else request.seeds
    if not FEWEST_SEEDS <= seeds <= MOST_SEEDS:
        raise UserError(
            f"an ablation uses {FEWEST_SEEDS} to {MOST_SEEDS:,} seeds (fewer hardly show how much "
            f"seeds differ), but got {seeds:,}"
        )
    trial = _trial(database, search, request)
    changes = _requested_changes(search, study, trial, request)
    # Before a deadline, the number of seeds follows the time
    most_seeds = MOST_IN_TIME if request.most_trainings is not None else None
    for ablation in ablations(database, search.study.name):
        stored_spec = spec_of(ablation)
        if (
            stored_spec.trial == trial.number
            and replace(stored_spec.asked, most_cells=0) == replace(changes, most_cells=0)
            and request.seeds in (None, stored_spec.seeds)
        ):
            match = ablation if most_seeds is None else keep_deadline(database, ablation)
            return _describe(database, match, new=False)
    if most_seeds is None:  # before a deadline there is no time to wait for late workers
        require_quiet(search, "a trial is")
    name = name_of(search.study.name, len(ablations(database, search.study.name)) + 1)
    require_short(name, "ablation")
    before = seeds_used(planned_studies(database, search.study.name))
    refuse = _refusals(study, data) if builds_here else lambda params: None
    spec = None
    for cells, seed_count, seeds_in_time in _sizes(changes, seeds, request):
        spec = _spec(
            search, study, trial, replace(changes, most_cells=cells), seed_count, before, refuse
        )
        spec = replace(spec, most_seeds=most_seeds)
        trainings = replace(spec, seeds=seeds_in_time).trainings
        if request.most_trainings is None or trainings <= request.most_trainings:
            break
    else:
        raise UserError(
            f"the smallest ablation needs {0 if spec is None else spec.trainings} trainings, but "
            f"there is time for {request.most_trainings}; run `hpsearch ablate --study "
            f"{search.study.name}` with more time"
        )
    if not spec.contrasts:
        reasons = "".join(f"; {line}" for line in left_out(spec))
        raise UserError(
            f"nothing can be compared with trial {trial.number}: no other value of "
            f"{_names(changes)} can be trained{reasons}; name other parameters with --parameters"
        )
    prepared = planned_study(
        search,
        name,
        "ablation",
        {"ablates": spec.to_document()},
        min(len(spec.variants) * 2, spec.trainings),
    )
    ensure_tables(database)
    stored = studies.create_or_find(database, prepared)
    if ablated_search(stored) is None:
        raise UserError(
            f"the ablation of {search.study.name!r} would be stored as study {name!r}, but a "
            "search has that name; launch one of the two under another name (--name)"
        )
    return _describe(database, stored, new=True)


def _trial(database: Database, search: StudyRecord, request: AblateRequest) -> TrialRecord:
    if request.trial is not None:
        trial = search.trial(request.trial)
    else:
        winner = winner_of(search, read_confirmation(database, search))
        if winner is None:
            raise UserError(
                "the winner is ablated once a trial is complete, but study "
                f"{search.study.name!r} has none yet; launch more trials, or name one with --trial"
            )
        trial = search.trial(winner.trial)
    if not trial.params:
        raise UserError(
            f"trial {trial.number} of {search.study.name!r} has no parameters that could be "
            "changed; name another one with --trial"
        )
    return trial


def _requested_changes(
    search: StudyRecord, study: StudyFile, trial: TrialRecord, request: AblateRequest
) -> RequestedChanges:
    """Return the request with whole paths, of parameters that the trial has."""
    crossed: list[tuple[str, tuple[str, ...]]] = []
    for first, second in request.pairs:
        path, by = _path(study, trial, first), _path(study, trial, second)
        if path == by:
            raise UserError(f"a pair has two different parameters, but got {first},{second}")
        crossed.append((path, (by,)))
    if request.question:
        path, by_paths = question_paths(search, trial.params)
        crossed.append((_path(study, trial, path), by_paths))
    parameters = [_path(study, trial, end) for end in request.parameters]
    if not parameters and not crossed:
        parameters = [path for path in study.space.parameters() if path in trial.params]
    return RequestedChanges(
        parameters=tuple(dict.fromkeys(parameters)),
        crossed=tuple(dict.fromkeys(crossed)),
        most_cells=MOST_CELLS,
    )


def question_paths(search: StudyRecord, params: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the parameter that a study asks about, and those that its effect may depend on.

    Args:
        search: The search. If its ``question`` is a text, these are the parameters that it names.
        params: Path -> value of a trial, which must have the parameter.

    Raises:
        UserError: The study asks about no parameter that the trial has.
    """
    written = structured_question(search.study.document)
    if written is not None:
        path: str | None = written.parameter
        paths: Sequence[str] = written.by
    else:
        paths = paths_in_question(search)
        path = comparable_parameter(search, params, paths)
    if path is None:
        raise UserError(
            f"study {search.study.name!r} asks about no searched parameter, so no experiment can "
            "answer it; name one in its file: `question: {parameter: PATH, by: [PATH]}`, or "
            "name what to change with `hpsearch ablate --parameters PATH`"
        )
    return path, tuple(other for other in paths if other in params and other != path)


def _path(study: StudyFile, trial: TrialRecord, end: str) -> str:
    """Return the whole path of a searched parameter that the trial has."""
    parameters = study.space.parameters()
    matches = [path for path in parameters if path == end] or [
        path for path in parameters if path.endswith(f".{end}") and path in trial.params
    ]
    if len(matches) > 1:
        raise UserError(
            f"a parameter must be named by a unique end of its path, but {end!r} may mean "
            f"{', '.join(matches)}"
        )
    if not matches:
        raise UnknownName("searched parameter", end, tuple(parameters))
    if matches[0] not in trial.params:
        raise UserError(
            f"trial {trial.number} of {study.name!r} has no {matches[0]}, since that belongs to a "
            "branch that it doesn't have; name a trial that has it with --trial"
        )
    return matches[0]


def _sizes(
    changes: RequestedChanges, seeds: int, request: AblateRequest
) -> Iterator[tuple[int, int, int]]:
    """Yield numbers of configurations of a crossed question, and of seeds, largest first.

    The third number is that of the seeds for which there must be time.
    """
    cells = _CELLS if changes.crossed and request.most_trainings is not None else (MOST_CELLS,)
    yield from ((count, seeds, MOST_IN_TIME) for count in cells[:-1])
    yield cells[-1], seeds, seeds
    if request.seeds is None:
        yield from ((cells[-1], count, count) for count in range(seeds - 1, FEWEST_SEEDS - 1, -1))


def _spec(
    search: StudyRecord,
    study: StudyFile,
    trial: TrialRecord,
    changes: RequestedChanges,
    seeds: int,
    before: int,
    refuse: Callable[[Mapping[str, Scalar]], str | None],
) -> AblationSpec:
    best = contenders(search)

    def donor(path: str, value: Scalar) -> Mapping[str, Scalar] | None:
        return next(
            (contender.params for contender in best if contender.params.get(path) == value), None
        )

    design = Design(study.space, trial.params, donor, refuse)
    baseline = study.try_first[0] if study.try_first else {}
    for path in changes.parameters:
        design.one_at_a_time(path, [baseline[path]] if path in baseline else [])
    for path, by in changes.crossed:
        design.crossed(path, by, changes.most_cells)
    return AblationSpec(
        study=search.study.name,
        fingerprint=search.study.fingerprint,
        trial=-1 if trial.number is None else trial.number,
        metric=search.objective.metric,
        maximize=search.objective.direction == "maximize",
        seeds=seeds,
        seeds_before=before,
        asked=changes,
        variants=tuple(design.variants),
        contrasts=tuple(design.contrasts),
        left_out=tuple(design.left_out),
        looks=LOOKS,
    )


def _refusals(study: StudyFile, data: Path | None) -> Callable[[Mapping[str, Scalar]], str | None]:
    """Return a function that returns why a configuration can't be trained, or ``None``."""
    registries(study.plugins)  # a launch read the study in another process
    reasons: dict[str, str | None] = {}

    def refuse(params: Mapping[str, Scalar]) -> str | None:
        key = repr(sorted(params.items()))
        if key not in reasons:
            reasons[key] = _why_infeasible(study, params, data)
        return reasons[key]

    return refuse


def _why_infeasible(
    study: StudyFile, params: Mapping[str, Scalar], data: Path | None
) -> str | None:
    if study.has_loop:
        return None
    config = study.trial_config({**params, CONFIRM_SEED: 1}, ticket=1)
    try:
        build_plan = plan_build(config, device="cpu", threads=1, data=data)
    except InfeasibleConfig as error:
        return f"it can't be built ({error})"
    broken = study.goals.violated(build_plan.costs())
    return f"it breaks a constraint ({'; '.join(broken)})" if broken else None


def _names(changes: RequestedChanges) -> str:
    return ", ".join([*changes.parameters, *(path for path, _ in changes.crossed)])


def _describe(database: Database, stored: StoredStudy, *, new: bool) -> AblationRun:
    return AblationRun(
        name=stored.name,
        study=stored_study_file(stored),
        new=new,
        spec=spec_of(stored),
        ended=read_study(database, stored.name).counts.finished,
        epochs=stored.epochs_per_trial,
    )
