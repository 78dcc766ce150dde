"""What follows a search under a deadline: each stage of ``results.deadline.stages``, in order.

To insert a stage: add its estimate to ``STAGES`` there, and its work to ``_WORK`` here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal.output import say
from hpsearch.errors import HpsearchError
from hpsearch.formatting import format_seconds
from hpsearch.results.deadline.forecast import Forecast, forecast
from hpsearch.results.deadline.sentence import deadline_state
from hpsearch.results.deadline.stages import stages_of
from hpsearch.results.deadline.stored import (
    Closing,
    Deadline,
    close_search,
    closing_of,
    record_stage,
)
from hpsearch.results.opening import database_for_reading
from hpsearch.results.records import StudyRecord, read_study

if TYPE_CHECKING:
    from hpsearch.cli.commands.planned import InTime
    from hpsearch.engines.profiles import Profile
    from hpsearch.results.confirmation.finalists import Finalists
    from hpsearch.search.database.storage import Database
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.run_config import RunConfig

logger = logging.getLogger(__name__)

#: Seconds between two estimates while the confirmation runs.
_LOOK_SECONDS = 3.0

#: Seconds that must be left to measure the finalists' latencies.
_LATENCIES = 20.0

#: The figures of a report are drawn if this many times the report's seconds are left.
_FIGURES = 12.0


@dataclass(kw_only=True)
class AfterSearch:
    """A finished search, and what its stages have made so far."""

    study: StudyFile
    config: RunConfig
    deadline: Deadline
    #: The workers of this launch.
    workers: int
    #: The engine that runs the workers; ``None``: this machine.
    profile: Profile | None
    as_json: bool
    #: What is printed for programs.
    summary: dict[str, Any]
    #: The highest exit code of the stages so far.
    code: int = 0
    #: The files and folders that were written: name -> path.
    written: dict[str, str] = field(default_factory=dict)

    def forecast(self, database: Database) -> Forecast:
        """Return the present estimate."""
        record = read_study(database, self.study.name)
        return forecast(database, record, self.deadline, time.time(), self.workers)


def run_stages(after: AfterSearch) -> None:
    """Run what follows a search, in order; a stage that fails doesn't keep the next from running.

    Args:
        after: The search; the results are added.

    Raises:
        Exception: A fault in a stage's code, the first one, after all stages have run.
    """
    _close(after)
    fault: Exception | None = None
    for stage in stages_of(after.deadline.stages):
        began = time.monotonic()
        try:
            _WORK[stage.name](after)
        except HpsearchError as error:
            after.code = max(after.code, error.exit_code)
            say(f"{stage.name}: {error}", style="yellow", stderr=True)
        except Exception as error:  # noqa: BLE001 - raised again below, when the report is written
            fault = fault or error
        with database_for_reading(after.config.storage) as database:
            record = read_study(database, after.study.name)
            record_stage(database, record.study.study_id, stage.name, time.monotonic() - began)
    _say_end(after)
    if fault is not None:
        raise fault


def _close(after: AfterSearch) -> None:
    """Record the end of the search, and wait until no trial of it runs."""
    from hpsearch.workers.launch.launching import free_dead_workers

    with database_for_reading(after.config.storage) as database:
        record = read_study(database, after.study.name)
        study_id = record.study.study_id
        if closing_of(database, study_id, after.deadline) is None:
            estimate = after.forecast(database)
            closing = Closing(at="", moment=time.time(), reserved=dict(estimate.reserved))
            close_search(database, study_id, closing)
        # Workers elsewhere read this within seconds, and stop at an epoch
        limit = after.forecast(database).search_is_cut + 2 * _LOOK_SECONDS
        free_dead_workers(database, study_id)
        while record.counts.running and time.time() < limit:
            free_dead_workers(database, study_id)
            time.sleep(0.3)
            record = read_study(database, after.study.name)


def _confirm(after: AfterSearch) -> None:
    from hpsearch.cli.commands.confirm import confirm_with
    from hpsearch.results.confirmation.stored import newer_trials, newest
    from hpsearch.results.deadline.shorter import cut_to_what_ended, shorten_if_late
    from hpsearch.workers.confirmation import ConfirmRequest
    from hpsearch.workers.launch.launching import free_dead_workers

    if after.study.goals.is_multi_objective:
        say("not confirmed: finalists are compared by one objective", stderr=after.as_json)
        return

    with database_for_reading(after.config.storage) as database:
        record = read_study(database, after.study.name)
        estimate = after.forecast(database)
        before = newest(database, after.study.name)
        if before is not None:
            free_dead_workers(database, before.study.study_id)
    # What an earlier deadline confirmed doesn't know the trials that came later
    again = before is not None and newer_trials(record, before) > 0
    request = ConfirmRequest(
        again=again,
        fits=lambda finalists, seeds: _fits(record, estimate, after.workers, finalists, seeds),
    )
    say(stderr=after.as_json)
    code, content = confirm_with(
        after.study,
        after.config,
        request,
        after.profile,
        as_json=after.as_json,
        in_time=_in_time(after, shorten_if_late, cut_to_what_ended),
    )
    after.code = max(after.code, code)
    after.summary["confirmation"] = content


def _in_time(
    after: AfterSearch,
    fit: Callable[..., bool],
    cut: Callable[[Database, str], bool],
) -> InTime:
    """Return what keeps a planned study within the deadline.

    Args:
        after: The search.
        fit: Changes its seeds to what fits: ``shorten_if_late``, ``fit_seeds``.
        cut: Drops what hasn't ended when the time is over.
    """
    from hpsearch.cli.commands.planned import InTime

    looked_at = 0.0

    def look(name: str) -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at < _LOOK_SECONDS:
            return
        with database_for_reading(after.config.storage) as database:
            estimate = after.forecast(database)
            fit(database, name, estimate, now=time.time(), workers=after.workers)
        looked_at = time.monotonic()

    def end(name: str, reason: str) -> None:
        if reason == "deadline":
            with database_for_reading(after.config.storage) as database:
                cut(database, name)

    def may_measure() -> bool:
        with database_for_reading(after.config.storage) as database:
            return after.forecast(database).confirmation_ends - time.time() > _LATENCIES

    return InTime(look=look, end=end, may_measure=may_measure)


def _fits(
    record: StudyRecord, estimate: Forecast, workers: int, finalists: Finalists, seeds: int
) -> bool:
    """Whether there is time to confirm these finalists with this number of seeds."""
    from hpsearch.results.deadline.costs import confirmation_seconds

    epochs = record.study.epochs_per_trial

    def whole(trial: int) -> float:
        return estimate.time_of(epochs, 1, estimate.epoch_seconds.get(trial, estimate.epoch.mean))

    cost = confirmation_seconds(
        [whole(trial) for trial in finalists.trials],
        seeds=seeds,
        baseline=None if finalists.baseline is None else whole(finalists.baseline),
        workers=workers,
    )
    return time.time() + cost <= estimate.confirmation_ends


def _answer(after: AfterSearch) -> None:
    """Answer the study's question by experiment, by an ablation that fits the time left."""
    from hpsearch.cli.commands.ablate import ablate_with
    from hpsearch.results.ablation.stored import ablations
    from hpsearch.results.deadline.seeds import fit_seeds, keep_complete_seeds
    from hpsearch.workers.ablation import AblateRequest
    from hpsearch.workers.launch.launching import free_dead_workers

    with database_for_reading(after.config.storage) as database:
        estimate = after.forecast(database)
        training = max(_training_seconds(database, after.study.name, estimate), 1e-3)
        for ablation in ablations(database, after.study.name):
            free_dead_workers(database, ablation.study_id)
    left = estimate.answer_ends - time.time()
    request = AblateRequest(
        question=True, most_trainings=max(0, int(left * after.workers / training))
    )
    say(stderr=after.as_json)
    code, content = ablate_with(
        after.study,
        after.config,
        request,
        after.profile,
        as_json=after.as_json,
        in_time=_in_time(after, fit_seeds, keep_complete_seeds),
    )
    after.code = max(after.code, code)
    after.summary["answer"] = content


def _training_seconds(database: Database, search: str, estimate: Forecast) -> float:
    """Return about how long a training of the answer takes, as measured in the confirmation.

    Those of the search may be of other configurations; they count if nothing was confirmed.
    """
    from hpsearch.results.confirmation.stored import newest

    confirmation = newest(database, search)
    trials = [] if confirmation is None else confirmation.trials
    done = sum(trial.epochs_done for trial in trials)
    mean = sum(trial.compute_seconds for trial in trials) / done if done else estimate.epoch.mean
    epochs = read_study(database, search).study.epochs_per_trial
    return estimate.time_of(epochs, 1, mean)


def _train_final(after: AfterSearch) -> None:
    """Train the winner on all images, into ``STUDY-final``, if it can end before the report."""
    from hpsearch.workers.launch.isolation import run_isolated
    from hpsearch.workers.retraining.final import train_final

    folder = Path(f"{after.study.name}-final")
    with database_for_reading(after.config.storage) as database:
        estimate = after.forecast(database)
    ends = estimate.at - estimate.reserved.get("report", 0.0)
    problem = run_isolated(
        train_final, after.study.name, after.config.storage, folder, after.config.data, ends
    )
    if problem is not None:
        say(f"train-final: {problem}", style="yellow", stderr=True)
        return
    after.written["final"] = str(folder)


def _report(after: AfterSearch) -> None:
    """Write the bundle and the report, and the report's figures if there is time."""
    began = time.monotonic()
    after.written |= write_results(after.study, after.config, Path())
    took = time.monotonic() - began
    with database_for_reading(after.config.storage) as database:
        left = after.forecast(database).at - time.time()
        if left > _FIGURES * took:
            _write_report(database, after.study.name, after.config, Path(), figures=True)


def write_results(
    study: StudyFile, config: RunConfig, folder: Path, *, quiet: bool = False
) -> dict[str, str]:
    """Write a search's bundle, or its frozen config if it has none, and its report.

    Args:
        study: The study file of the search.
        config: How its trials were run.
        folder: The folder to write into.
        quiet: Whether not to print why there is no bundle.

    Returns:
        Name -> path of what was written.
    """
    from hpsearch.workers.launch.isolation import run_isolated
    from hpsearch.workers.winner.results import write_bundle_or_config

    # In another process, which has imported torch
    name, path, problem = run_isolated(
        write_bundle_or_config, study.name, config.storage, config.runs, config.data, folder
    )
    paths = {} if path is None else {name: str(path)}
    if problem is not None and not quiet:
        say(f"no bundle: {problem}", style="yellow", stderr=True)
    with database_for_reading(config.storage) as database:
        report = _write_report(database, study.name, config, folder, figures=False)
    return {**paths, "report": str(report)}


def _write_report(
    database: Database, name: str, config: RunConfig, folder: Path, *, figures: bool
) -> Path:
    from hpsearch.reporting.assemble import read_report
    from hpsearch.reporting.writing import write_report

    content = read_report(database, [name], data=config.data)
    return write_report(content, folder / f"{name}-report", figures=figures).page


def _say_end(after: AfterSearch) -> None:
    """Print where everything was written, and the deadline in a sentence."""
    with database_for_reading(after.config.storage) as database:
        state = deadline_state(database, read_study(database, after.study.name))
    left = after_deadline = None
    if state is not None:
        after.summary["deadline"] = state.to_json()
        left = state.at - time.time()
        after_deadline = f"{state.sentence}; " + (
            f"written {format_seconds(left)} before it"
            if left >= 0
            else f"written {format_seconds(-left)} after it"
        )
    after.summary["written"] = after.written
    if after.as_json:
        return
    say()
    for name, path in after.written.items():
        say(f"{name}: {path}")
    if after_deadline is not None:
        say(after_deadline)


_WORK: Mapping[str, Callable[[AfterSearch], None]] = {
    "confirm": _confirm,
    "answer": _answer,
    "train-final": _train_final,
    "report": _report,
}
