"""What the fleets of a study do at this moment, as their engines report it; watching one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.engines import profiles as profiles  # it registers every engine
from hpsearch.engines.engine import ENGINES, Engine, FleetWorker
from hpsearch.errors import UserError
from hpsearch.formatting import count_noun
from hpsearch.registry import Component
from hpsearch.results.planned import plan_of
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.fleets import Fleet, fleets_of
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.pruning.promotion import Promotion
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch.progress import Progress, ProgressReader
from hpsearch.workers.launch.supervisor import LaunchResult
from hpsearch.workers.trial.deadline_watch import DeadlineWatch

#: Seconds between two looks at the ledger, and at the engine.
_TICK_SECONDS, _ENGINE_SECONDS = 1.0, 10.0

#: Looks at an engine in a row without a living worker after which a fleet has ended.
_LOOKS_WITHOUT_WORKERS = 3

#: Seconds by which workers may be late to stop for a deadline.
_STOPPING = 2.0

#: The most hosts and reasons that a sentence names.
_MOST_NAMES = 5


@dataclass(frozen=True, kw_only=True)
class FleetState:
    """A fleet at one moment."""

    fleet: Fleet
    workers: tuple[FleetWorker, ...] = ()
    #: Why its engine couldn't be asked; ``None`` if it answered.
    problem: str | None = None

    @property
    def has_workers(self) -> bool:
        """Whether a worker is pending or running, or that isn't known."""
        return self.problem is not None or any(worker.state != "ended" for worker in self.workers)

    def as_json(self) -> dict[str, Any]:
        """Return the fleet and its workers for programs."""
        fleet = self.fleet
        return {
            "key": fleet.key,
            "engine": fleet.engine,
            "profile": fleet.profile,
            "wanted": fleet.workers,
            "launched_at": fleet.launched_at,
            "workers": [asdict(worker) for worker in self.workers],
            "problem": self.problem,
        }

    def sentence(self) -> str:
        """Return the fleet's state in a line: its engine, and its workers by state."""
        name = fleet_name(self.fleet)
        if self.problem is not None:
            return f"{name}: {count_noun(self.fleet.workers, 'worker')} wanted; {self.problem}"
        by_state = Counter(worker.state for worker in self.workers)
        parts = [f"{by_state['running']} of {count_noun(self.fleet.workers, 'worker')} running"]
        if by_state["pending"]:
            pending = [worker for worker in self.workers if worker.state == "pending"]
            why = sorted({worker.reason for worker in pending if worker.reason})[:_MOST_NAMES]
            when = min((worker.expected for worker in pending if worker.expected), default=None)
            text = ", ".join([*why, *([f"expected {when}"] if when else [])])
            parts.append(f"{by_state['pending']} pending" + (f" ({text})" if text else ""))
        ended = Counter(
            worker.reason or "ended" for worker in self.workers if worker.state == "ended"
        )
        parts += [f"{number} ended ({why})" for why, number in sorted(ended.items())]
        restarts = sum(worker.restarts for worker in self.workers)
        parts += [count_noun(restarts, "restart")] if restarts else []
        excluded = sorted({host for worker in self.workers for host in worker.excluded})
        if excluded:
            parts.append(f"excluded: {', '.join(excluded[:_MOST_NAMES])}")
        return f"{name}: {', '.join(parts)}"


def fleet_name(fleet: Fleet) -> str:
    """Return a fleet as a command line names it: ``slurm:default``."""
    return f"{fleet.engine}:{fleet.profile}"


def engine_of(fleet: Fleet, storage: str) -> Engine:
    """Return the engine of a fleet, with the settings of its launch.

    Raises:
        UnknownName: This version has no such engine.
        UserError: A package that the engine needs isn't installed.
    """
    return ENGINES.build(Component(fleet.engine, fleet.settings), fleet, storage)


def fleet_state(fleet: Fleet, storage: str) -> FleetState:
    """Return the state of one fleet, also if its engine can't be asked."""
    try:
        return FleetState(fleet=fleet, workers=tuple(engine_of(fleet, storage).look()))
    except UserError as error:
        return FleetState(fleet=fleet, problem=str(error))


def find_fleet(database: Database, study: StoredStudy, engine: str | None, storage: str) -> Fleet:
    """Return the fleet that a command means.

    Args:
        database: The study's database.
        study: The study.
        engine: The value of ``--engine``: ``slurm``, ``slurm:big`` or a key; ``None``: the only
            fleet.
        storage: The database's URL, as the engine passes it on.

    Raises:
        UserError: There is none, or several.
    """
    every = fleets_of(database, study)
    matches = [
        fleet for fleet in every if engine in (None, fleet.engine, fleet_name(fleet), fleet.key)
    ]
    if len(matches) > 1:
        # A launch that was killed had no chance to remove its fleet
        living = [fleet for fleet in matches if fleet_state(fleet, storage).has_workers]
        matches = living or matches[-1:]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        place = "" if engine is None else f" on {engine}"
        raise UserError(
            f"study {study.name} must have workers{place} that a launch keeps alive, but it has "
            f"none; start them with `hpsearch launch --study {study.name}"
            f"{'' if engine is None else f' --engine {engine}'}`"
        )
    several = Counter(map(fleet_name, matches))
    names = ", ".join(
        fleet_name(fleet) if several[fleet_name(fleet)] == 1 else fleet.key for fleet in matches
    )
    raise UserError(
        f"study {study.name} has several fleets ({names}); name one of them with --engine"
    )


class _TimeLeft:
    """Whether a study's deadline still leaves time for its trainings, as its workers decide it.

    Args:
        database: The study's database.
        stored: The study.
        study: The same study as a study file.
    """

    def __init__(self, database: Database, stored: StoredStudy, study: StudyFile) -> None:
        pruner = PRUNERS.build(study.pruner)
        rungs = pruner.rungs(stored.epochs_per_trial) if isinstance(pruner, Promotion) else ()
        self._watch = DeadlineWatch(database, stored, rungs)
        self._looks_without_trials = 0

    def is_over(self, running: int) -> bool:
        """Whether the trainings have ended because of the deadline, or should have.

        The engine isn't asked: its workers wait for what follows, or are still in its queue.

        Args:
            running: The number of running trials.
        """
        self._watch.saw(running)
        self._watch.refresh()
        # Between two trials of a worker none may run for a moment
        self._looks_without_trials = 0 if running else self._looks_without_trials + 1
        if self._looks_without_trials > 1 and not self._watch.allows(0, 0.0):
            return True
        return self._watch.is_over(after=_STOPPING)


def watch(
    database: Database,
    stored: StoredStudy,
    study: StudyFile,
    engine: Engine,
    on_progress: Callable[[Progress], None],
) -> LaunchResult:
    """Follow a fleet until its study is finished, stopped or out of time, or no worker is left.

    Args:
        database: The study's database.
        stored: The study, as it was before the fleet was started.
        study: The same study as a study file.
        engine: The engine of the fleet.
        on_progress: Called about once a second.

    Raises:
        UserError: The engine can't be reached any more.
    """
    reader, time_left = ProgressReader(database, stored, study), _TimeLeft(database, stored, study)
    without, next_look = 0, time.monotonic()
    while True:
        current = studies.find(database, stored.name)
        progress = reader.look([])
        on_progress(progress)
        counts = progress.counts
        ended = counts.all_ended(current.trial_budget, exhausted=current.exhausted)
        # Between two rounds of a plan all that is planned has ended, too
        if ended and (not study.is_planned or plan_of(read_study(database, current.name)).finished):
            return LaunchResult(reason="finished", counts=counts)
        if current.stops > stored.stops:
            return LaunchResult(reason="stopped", counts=counts)
        if time_left.is_over(counts.running):
            return LaunchResult(reason="deadline", counts=counts)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + _ENGINE_SECONDS
            alive = [worker for worker in engine.look() if worker.state != "ended"]
            without = 0 if alive else without + 1
            if without == _LOOKS_WITHOUT_WORKERS:
                return LaunchResult(reason="left", counts=counts)
        time.sleep(_TICK_SECONDS)
