"""Confirming a search's winner: choosing the finalists, storing the confirmation, running it.

The best of many trials is also the luckiest. So the finalists are trained again with fresh seeds,
in a study of its own, whose tickets are as safe as those of a search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hpsearch.errors import UserError
from hpsearch.results.confirmation.choosing import Choice, Fits, choose, most_trainings
from hpsearch.results.confirmation.plan import entries
from hpsearch.results.confirmation.spec import (
    FIRST_ROUND,
    Configuration,
    ConfirmationSpec,
    RequestedSettings,
    SearchSnapshot,
    spec_of,
)
from hpsearch.results.confirmation.stored import (
    confirmations,
    is_confirmation,
    latencies,
    name_of,
    progress_of,
    record_latencies,
)
from hpsearch.results.planned import planned_studies, seeds_used
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.winner import best_seen
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.sections import MOST_SEEDS
from hpsearch.study_file.study import Confirm, StudyFile
from hpsearch.study_file.trial_config import CONFIRM_SEED
from hpsearch.tracking.tracking import require_usable
from hpsearch.training.latency import time_side_by_side
from hpsearch.training.plan import plan
from hpsearch.workers.devices import resolve_devices
from hpsearch.workers.gpu import open_device
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult
from hpsearch.workers.launch.timing import TimeRange
from hpsearch.workers.planned_study import (
    planned_study,
    require_quiet,
    require_search,
    require_short,
    run_plan,
    stored_study_file,
    time_of_trainings,
)
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.trial.build_plan import device_name


@dataclass(frozen=True, kw_only=True)
class ConfirmRequest:
    """The user's settings of a confirmation; ``None``: those of the study file."""

    top: int | None = None
    seeds: int | None = None
    #: Whether to begin a new confirmation even if there is one already.
    again: bool = False
    #: Returns whether there is time for these finalists and seeds; ``None`` if time is no limit.
    fits: Fits | None = None


@dataclass(frozen=True, kw_only=True)
class ConfirmationRun:
    """A confirmation that is stored, and its cost."""

    name: str
    study: StudyFile
    #: Whether this call created it.
    new: bool
    spec: ConfirmationSpec
    #: Trainings that have ended, and the most that there may be (unless some fail).
    ended: int
    most: int
    #: Epochs of one training.
    epochs: int
    #: Epochs of the search.
    search_epochs: int


def prepare_confirmation(
    database: Database, search: StudyRecord, study: StudyFile, request: ConfirmRequest
) -> ConfirmationRun:
    """Find the confirmation of a search, or create it.

    Args:
        database: The database of the search.
        search: The search.
        study: The study file of the search.
        request: The user's settings. With ``again`` a new confirmation is created in any case.

    Returns:
        The stored confirmation; its trainings may be pending, running or complete.

    Raises:
        UserError: The search can't be confirmed (yet), the request is out of bounds or differs
            from the confirmation that was begun, the confirmation's name is too long or taken, or
            a tracker of the study can't work here.
    """
    require_usable(study.trackers)
    name = search.study.name
    require_search(search, "confirm")
    previous = confirmations(database, name)
    if previous and not request.again:
        return _resume(database, search, previous[-1], request)
    settings = replace(
        study.confirm,
        **{
            key: number for key in ("top", "seeds") if (number := getattr(request, key)) is not None
        },
    )
    if settings.seeds < FIRST_ROUND:
        raise UserError(
            f"a confirmation needs {FIRST_ROUND} seeds or more (one seed doesn't show how much "
            f"seeds differ), but got {settings.seeds}"
        )
    if settings.seeds > MOST_SEEDS:
        raise UserError(
            f"a confirmation uses at most {MOST_SEEDS:,} seeds, but got {settings.seeds:,}"
        )
    if request.fits is None:  # before a deadline there is no time to wait for late workers
        require_quiet(search, "finalists are")
    own_name = name_of(name, len(previous) + 1)
    require_short(own_name, "confirmation")
    options = [key for key in ("top", "seeds") if getattr(request, key) is not None]
    choice = choose(
        database,
        search,
        settings,
        has_try_first=bool(study.try_first),
        exactly=request.top is not None,
        # Numbers that the user chose, here or in the study file, are reduced only by a share
        bounded=not options and study.document.get("confirm") is None,
        fits=request.fits,
    )
    before = seeds_used(planned_studies(database, name))
    spec = _spec(search, settings, choice, before, options)
    prepared = planned_study(
        search, own_name, "confirmation", {"confirms": spec.to_document()}, len(entries(spec, {}))
    )
    ensure_tables(database)
    stored = studies.create_or_find(database, prepared)
    if not is_confirmation(stored):
        raise UserError(
            f"the confirmation of {name!r} would be stored as study {own_name!r}, but a search has "
            "that name; launch one of the two under another name (--name)"
        )
    return _describe(database, search, stored, new=stored.document == prepared.document)


def time_left(prepared: ConfirmationRun, run: RunConfig) -> TimeRange | None:
    """Train the finalists for a moment and return how long the confirmation will take at most.

    Args:
        prepared: What ``prepare_confirmation`` returned.
        run: How the trainings are run.

    Returns:
        The range; ``None`` if nothing is left, or nothing could be measured.

    Raises:
        UserError: An option is out of bounds, or the data isn't there.
    """
    return time_of_trainings(
        prepared.study,
        [finalist.params for finalist in prepared.spec.finalists],
        prepared.spec.seeds_before + 1,
        prepared.most - prepared.ended,
        run,
    )


def run(
    database: Database,
    prepared: ConfirmationRun,
    config: RunConfig,
    on_progress: Callable[[Progress], None],
    elsewhere: Callable[[StoredStudy], LaunchResult] | None = None,
    may_measure: Callable[[], bool] = lambda: True,
) -> LaunchResult:
    """Run the trainings of a confirmation's plan, then measure the finalists' latencies.

    Args:
        database: The database of the confirmation.
        prepared: What ``prepare_confirmation`` returned.
        config: How the trainings are run.
        on_progress: Called about twice a second, from the calling thread.
        elsewhere: Lets an engine's workers run the stored confirmation, and watches them; ``None``
            for workers on this machine.
        may_measure: Returns whether there is time to measure latencies.

    Returns:
        How the run ended. Latencies are measured only if it is finished.

    Raises:
        DataError: The images aren't those of the search any more.
        UserError: An option is out of bounds.
    """
    outcome = run_plan(database, prepared.study, config, on_progress, elsewhere)
    if outcome.reason == "finished" and may_measure():
        device = resolve_devices(config.devices)[0]
        open_device(device)
        measure_latencies(database, prepared, device=device, data=config.data)
    return outcome


def _resume(
    database: Database, search: StudyRecord, stored: StoredStudy, request: ConfirmRequest
) -> ConfirmationRun:
    settings = spec_of(stored).requested
    for key in ("top", "seeds"):
        number = getattr(request, key)
        if number is not None and number != getattr(settings, key):
            raise UserError(
                f"{stored.name} was started with --top {settings.top} --seeds {settings.seeds}, "
                f"but got --{key} {number}; leave it out to continue (or to read the result), or "
                "add --again to start a new confirmation with other seeds"
            )
    return _describe(database, search, stored, new=False)


def _describe(
    database: Database, search: StudyRecord, stored: StoredStudy, *, new: bool
) -> ConfirmationRun:
    record = read_study(database, stored.name)
    spec = spec_of(stored)
    return ConfirmationRun(
        name=stored.name,
        study=stored_study_file(stored),
        new=new,
        spec=spec,
        ended=record.counts.finished,
        most=max(
            most_trainings(len(spec.trials), spec.seeds, baseline=spec.baseline is not None),
            len(progress_of(record).planned),
        ),
        epochs=stored.epochs_per_trial,
        search_epochs=search.counts.epochs_run,
    )


def _spec(
    search: StudyRecord, settings: Confirm, choice: Choice, before: int, options: Sequence[str]
) -> ConfirmationSpec:
    finalists, best = choice.finalists, best_seen(search)
    if best is None:
        raise UserError(
            "a search is confirmed once one of its trials is complete, but study "
            f"{search.study.name!r} has none yet; launch more trials"
        )

    def configuration(number: int) -> Configuration:
        return Configuration(trial=number, params=dict(search.trial(number).params))

    return ConfirmationSpec(
        study=search.study.name,
        fingerprint=search.study.fingerprint,
        metric=search.objective.metric,
        maximize=search.objective.direction == "maximize",
        seeds=choice.seeds,
        seeds_before=before,
        requested=RequestedSettings(
            top=settings.top, seeds=settings.seeds, share=settings.share, options=tuple(options)
        ),
        rule=choice.rule,
        finalists=tuple(map(configuration, finalists.trials)),
        baseline=None if finalists.baseline is None else configuration(finalists.baseline),
        search=SearchSnapshot(
            trials=search.counts.finished,
            complete=search.counts.complete,
            epochs=search.counts.epochs_run,
            best=best.value,
            field=finalists.field,
        ),
    )


def measure_latencies(
    database: Database, prepared: ConfirmationRun, *, device: str, data: Path | None
) -> None:
    """Measure and store the latency of each finalist's model, unless that is done already.

    On the CPU with one thread: single images are hardly faster with more.

    Args:
        database: The database of the confirmation.
        prepared: What ``prepare_confirmation`` returned.
        device: The device that is measured, such as ``cpu`` or ``cuda:0``.
        data: The data root; ``None``: the default one.
    """
    record = read_study(database, prepared.name)
    if latencies(database, record) or prepared.study.has_loop:
        return
    spec = spec_of(record.study)
    subjects = {}
    for number, params in spec.params.items():
        config = prepared.study.trial_config(
            {**params, CONFIRM_SEED: spec.seeds_before + 1}, ticket=1
        )
        subjects[number] = (config.model, plan(config, device=device, data_root=data))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measurements = time_side_by_side(subjects, device=device)
    finally:
        torch.set_num_threads(threads)
    record_latencies(database, record, measurements, device_name(device))
