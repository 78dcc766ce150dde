"""Training one assignment to its end, in one call or in several, and writing its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpsearch.errors import TrainingInterrupted
from hpsearch.metrics import EpochMetrics
from hpsearch.workers.retraining.assignment import Assignment
from hpsearch.workers.retraining.outcome import RetrainingResult, write_outcome
from hpsearch.workers.retraining.progress_file import ProgressFolder, open_folder
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.trial.training_session import TrainingSession, never


class Retraining:
    """The training of an assignment, which continues what earlier calls left in its folder.

    ::

        with closing(Retraining(assignment, folder)) as retraining:
            for metrics in retraining.epochs():
                print(metrics)
            retraining.write_model()

    Args:
        assignment: What is trained.
        folder: The folder of the model and its checkpoints; ``None``: nothing is written.
        checkpoint_seconds: The time between two checkpoints.

    Raises:
        UserError: The folder can't be used (see ``open_folder``).
        CheckpointError: The progress file can't be read.
    """

    def __init__(
        self,
        assignment: Assignment,
        folder: Path | None = None,
        *,
        checkpoint_seconds: float = RunConfig.checkpoint_seconds,
    ) -> None:
        self._assignment, self._folder = assignment, folder
        self._checkpoint_seconds = checkpoint_seconds
        self._progress: ProgressFolder | None = None
        #: Every epoch so far, including those of earlier calls.
        self.curve: list[EpochMetrics] = []
        #: The number of epochs of earlier calls.
        self.resumed = 0
        #: Whether an earlier call has trained to the end and written the model.
        self.is_complete = False
        self._session = TrainingSession(
            assignment.build_plan,
            assignment.objective,
            data=assignment.data,
            epochs=assignment.epochs,
        )
        if folder is not None:
            self._progress = open_folder(folder, assignment)
            self._resume(self._progress)

    def close(self) -> None:
        """Release the folder for other processes."""
        if self._progress is not None:
            self._progress.close()

    @property
    def damaged(self) -> str | None:
        """The error of a damaged checkpoint, after which training begins again."""
        return None if self._progress is None else self._progress.damaged

    def epochs(self, should_stop: Callable[[], bool] = never) -> Iterator[EpochMetrics]:
        """Train, yielding each new epoch.

        Args:
            should_stop: Called before every batch; true interrupts the training.

        Raises:
            TrainingInterrupted: ``should_stop`` returned true. If there is a folder, the progress
                is saved.
        """
        checkpoint_seconds, session = self._checkpoint_seconds, self._session
        try:
            for end in session.epochs(should_stop):
                self.curve.append(end.metrics)
                if end.last or session.is_checkpoint_due(checkpoint_seconds):
                    self._save(end.state)
                yield end.metrics
        except TrainingInterrupted as interruption:
            self._save(interruption.state, part="-part")
            raise

    def write_model(self, *, changed: bool) -> None:
        """Write the trained model into the folder, if there is one, and remove the checkpoints.

        Args:
            changed: Whether the config was changed for this call: then its recorded metrics don't
                apply.
        """
        best = self._session.best
        if self._folder is None or self._progress is None or best is None:
            return
        result = RetrainingResult(
            assignment=self._assignment, curve=self.curve, best=best, changed=changed
        )
        write_outcome(result, self._folder)
        self._progress.finish([metrics.to_dict() for metrics in self.curve])

    def _resume(self, progress: ProgressFolder) -> None:
        history = progress.history
        self.is_complete = history is not None
        if history is None and (content := progress.load()) is not None:
            self._session.resume(content)
            history, self.resumed = content["engine"]["history"], self._session.epochs_done
        self.curve = [EpochMetrics(**metrics) for metrics in history or ()]  # type: ignore[arg-type]

    def _save(self, state: Callable[[], dict[str, Any]], part: str = "") -> None:
        if self._progress is not None:
            session = self._session
            self._progress.save(session.epochs_done, session.content(state), part=part)
            session.note_checkpoint()
