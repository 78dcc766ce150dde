"""Everything that a worker needs to run one trial after another."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from hpsearch.results.kept_weights import weights_kept
from hpsearch.results.planned import parent_of
from hpsearch.results.ranking import best_complete
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.samplers.sampler import Sampler
from hpsearch.search.starts import Starts
from hpsearch.study_file.goals import Goals
from hpsearch.study_file.study import StudyFile
from hpsearch.tracking.tracking import Tracking
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.threads import ThreadShare
from hpsearch.workers.trial.deadline_watch import DeadlineWatch
from hpsearch.workers.trial.run_folder import RunFolder
from hpsearch.workers.trial.same_images import SameImages


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
    #: The study's deadline, if it has one.
    deadline: DeadlineWatch | None = None
    #: The trackers.
    tracking: Tracking = field(default_factory=Tracking)

    def why_leaving(self) -> str:
        """Return why a trial is given back, for the event log."""
        if self.deadline is not None and self.deadline.is_over():
            return self.deadline.reason
        return "the worker was asked to stop"

    @cached_property
    def same_images(self) -> SameImages:
        """Compares the images of this worker's trials with those of earlier ones."""
        return SameImages(self.ledger.database, self.study.name)


def clean_up(context: WorkerContext) -> None:
    """Remove the files of all trials that have ended, except the best weights of the winners."""
    # The folders first: a trial that begins afterwards isn't among them
    numbers = context.folder.numbers()
    ended, winners = ended_and_kept(context.ledger.database, context.study.name, numbers)
    context.folder.clean_up(ended, winners=winners)


def ended_and_kept(
    database: Database, name: str, numbers: Collection[int]
) -> tuple[set[int], list[int]]:
    """Return which trials have ended, and which of all keep their best weights.

    With one objective nothing here grows with the study but the number of complete trials.

    Args:
        database: The study's database.
        name: The study's name.
        numbers: Optuna's numbers of the trials in question.
    """
    stored = studies.find(database, name)
    ended = queries.ended_among(database, stored.study_id, numbers)
    goals = Goals.of(stored.document)
    if goals.is_single_unconstrained and parent_of(stored) is None:
        winner = best_complete(database, stored.study_id, goals.objective)
        return ended, [] if winner is None else [winner]
    winners = weights_kept(read_study(database, name))
    return ended, [trial.number for trial in winners if trial.number is not None]
