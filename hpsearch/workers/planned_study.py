"""A confirmation or an ablation of a search: its document, its cost, and a run of its plan.

Both are studies of their own, whose tickets are as safe as those of a search.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hpsearch import component_registries
from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.results.planned import parent_of, plan_of
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.freezing import to_yaml
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.sections import single_split
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import CONFIRM_SEED
from hpsearch.workers.devices import resolve_devices
from hpsearch.workers.launch.estimate import SAMPLES
from hpsearch.workers.launch.launching import check_options, supervise
from hpsearch.workers.launch.probe import Probe, time_of
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult
from hpsearch.workers.launch.timing import TimeRange
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.trial.build_plan import plan_build
from hpsearch.workers.trial.planned import extend_budget_from_plan
from hpsearch.workers.trial.same_images import require_same_images

#: The most characters of a study's name.
LONGEST_NAME = 64

#: Keys of a search that its planned studies don't have. Every configuration satisfies the
#: constraints before it is planned.
_OF_SEARCH = ("try_first", "confirm", "provenance", "constraints", "question")


def require_search(search: StudyRecord, command: str) -> None:
    """Refuse a study that belongs to a search, and a study of several objectives.

    Args:
        search: The study.
        command: The command that was run: ``confirm``.

    Raises:
        UserError: It is no search, or has several objectives.
    """
    if (parent := parent_of(search.study)) is not None:
        raise UserError(
            f"study {search.study.name!r} is the {parent.kind} of {parent.search!r}; name the "
            f"search: hpsearch {command} --study {parent.search}"
        )
    if search.goals.is_multi_objective:
        names = ", ".join(search.goals.objectives)
        raise UserError(
            f"configurations are compared by one objective, but study {search.study.name!r} has "
            f"several ({names}); export a point of its front with --pick, or search for one "
            "objective within `constraints`, and name that study"
        )


def require_quiet(search: StudyRecord, what: str) -> None:
    """Refuse a search with running trials.

    Args:
        search: The search.
        what: What is chosen when no trial is running: ``finalists are``.

    Raises:
        UserError: A trial of the search is running.
    """
    if search.counts.running:
        name = search.study.name
        raise UserError(
            f"{what} chosen when no trial is running, but study {name!r} has running trials "
            f"({search.counts.running}); wait until the search ends, or run `hpsearch stop --study "
            f"{name}`"
        )


def require_short(name: str, kind: str) -> None:
    """Refuse a planned study's name that is too long.

    Args:
        name: The name.
        kind: What the study is: ``confirmation``.

    Raises:
        UserError: It has more than ``LONGEST_NAME`` characters.
    """
    if len(name) > LONGEST_NAME:
        raise UserError(
            f"a study's name has at most {LONGEST_NAME} characters, but the {kind}'s, {name!r}, "
            f"would have {len(name)}; launch the search under a shorter one (--name)"
        )


def planned_study(
    search: StudyRecord, name: str, kind: str, section: Mapping[str, Any], trainings: int
) -> StudyFile:
    """Return the study of a plan: the search's, with a plan in place of a sampler.

    Args:
        search: The search.
        name: The name of the new study.
        kind: ``confirmation`` or ``ablation``.
        section: The key of the settings, and the settings.
        trainings: The number of trainings that are known to be needed.
    """
    document = {key: value for key, value in search.study.document.items() if key not in _OF_SEARCH}
    # Each fresh seed has a split of its own anyway, so each training gives one usable model
    if "data" in document:
        document["data"] = single_split(document["data"])
    document |= {
        "study": name,
        "description": f"The {kind} of {search.study.name}",
        "budget": {**document["budget"], "trials": trainings, "time": None},
        "sampler": {"random": {}},
        "pruner": {"none": {}},
        **section,
    }
    text = to_yaml(document, f"Written by hpsearch, the {kind} of {search.study.name}")
    return study_from_document(
        document, component_registries.registries, text=text, where=f"study {name}"
    )


def stored_study_file(stored: StoredStudy) -> StudyFile:
    """Return the study file of a stored planned study."""
    return study_from_document(
        stored.document,
        component_registries.registries,
        text=stored.text,
        where=f"study {stored.name}",
    )


def time_of_trainings(
    study: StudyFile,
    configurations: Iterable[Mapping[str, Any]],
    seed: int,
    trainings: int,
    run: RunConfig,
) -> TimeRange | None:
    """Train some configurations for a moment and return how long the trainings will take at most.

    Args:
        study: The planned study.
        configurations: Path -> stored value of each configuration; the first ones are measured.
        seed: A fresh seed.
        trainings: The number of trainings that are left.
        run: How the trainings are run.

    Returns:
        The range; ``None`` if nothing is left, or nothing could be measured.

    Raises:
        UserError: An option is out of bounds, or the data isn't there.
    """
    allocation = check_options(run)
    build_plans = []
    measurable = trainings > 0 and not study.has_loop
    for params in configurations if measurable else ():
        config = study.trial_config({**params, CONFIRM_SEED: seed}, ticket=1)
        device = allocation.devices[0] if allocation.devices else resolve_devices(run.devices)[0]
        with suppress(InfeasibleConfig):
            build_plan = plan_build(
                config,
                device=device,
                threads=allocation.threads,
                exact_threads=False,
                data=run.data,
            )
            build_plans.append(build_plan)
    probe = Probe(
        build_plans=pickle.dumps(build_plans[:SAMPLES]), plugins=study.plugins, data=run.data
    )
    return time_of(
        probe,
        trainings=trainings,
        epochs=study.budget.epochs_per_trial,
        workers=allocation.count,
        on_cpu=allocation.on_cpu,
    )


def run_plan(
    database: Database,
    study: StudyFile,
    config: RunConfig,
    on_progress: Callable[[Progress], None],
    elsewhere: Callable[[StoredStudy], LaunchResult] | None = None,
) -> LaunchResult:
    """Run the trainings of a stored plan.

    Args:
        database: The database of the planned study.
        study: The planned study.
        config: How the trainings are run.
        on_progress: Called about twice a second, from the calling thread.
        elsewhere: Lets an engine's workers run the stored study, and watches them; ``None`` for
            workers on this machine.

    Returns:
        How the run ended.

    Raises:
        DataError: The images aren't those of the search any more.
        UserError: An option is out of bounds.
    """
    allocation = check_options(config if elsewhere is None else replace(config, workers=0))
    # A plan that was killed between two rounds has no ticket left, but isn't finished
    extend_budget_from_plan(database, study.name)
    stored = studies.find(database, study.name)
    record = read_study(database, study.name)
    if not record.is_finished:  # A finished plan trains nothing, so it needs no images.
        require_same_images(database, stored, study, config.data)
    if plan_of(record).finished and not record.is_finished:
        # It was shortened, for its deadline, while other trainings ran
        return LaunchResult(reason="finished", counts=record.counts)
    if elsewhere is None:
        return supervise(database, stored, study, config, allocation, on_progress)
    return elsewhere(stored)
