"""Everything that a worker needs to run one trial after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hpsearch.results.kept_weights import weights_kept
from hpsearch.results.records import read_study
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.samplers.sampler import Sampler
from hpsearch.search.starts import Starts
from hpsearch.study_file.study import StudyFile
from hpsearch.tracking.tracking import Tracking
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.threads import ThreadShare
from hpsearch.workers.trial.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """Everything that a worker needs to run one trial after another."""

    study: StudyFile
    sampler: Sampler
    ledger: Ledger
    history: TrialHistory
    folder: RunFolder
    device: str
    threads: ThreadShare
    run: RunConfig
    #: The study's ``stops`` when the worker began.
    seen_stops: int
    #: Whether the worker has been told to leave; called before every draw and every batch.
    leave: Callable[[], bool]
    #: Draws the first points, before the sampler has results.
    starts: Starts | None = None
    #: The trackers.
    tracking: Tracking = field(default_factory=Tracking)


def clean_up(context: WorkerContext) -> None:
    """Remove the files of all trials that have ended, except the best weights of the winners."""
    record = read_study(context.ledger.database, context.study.name)
    winners = [each.number for each in weights_kept(record) if each.number is not None]
    ended = [
        each.number for each in record.trials if each.state.is_finished and each.number is not None
    ]
    context.folder.clean_up(set(ended), winners=winners)
