"""The evaluation of a study's winner on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.formatting import count_noun
from hpsearch.metrics import SHARE
from hpsearch.notebook import html
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation_gap import TestGap, find_test_gap
from hpsearch.results.final_evaluations import evaluations
from hpsearch.results.opening import study_of
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database

if TYPE_CHECKING:
    from hpsearch.workers.runs_place.place import Runs


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A winner's metrics on the test images; shares are 0 to 1."""

    study: str
    #: The trial's number in the search.
    trial: int
    #: Number of test images.
    images: int
    accuracy: float
    #: The 95 % interval of ``accuracy``.
    interval: tuple[float, float]
    loss: float
    macro_f1: float
    balanced_accuracy: float
    #: The fresh seeds of the trainings that ``accuracy`` is the mean of; empty if unconfirmed.
    seeds: Sequence[int]
    class_names: Sequence[str]
    #: Test images by true class (rows) and predicted class, of all trainings.
    confusion: Sequence[Sequence[int]]
    #: How often the study's test images were opened, this time included. Only the first evaluation
    #: is a test.
    opened: int
    #: What makes the value less than a test, a sentence each.
    warnings: tuple[str, ...] = ()
    #: Why the value may be outside the confirmed interval; ``None`` if it isn't.
    test_gap: TestGap | None = None

    @property
    def sentence(self) -> str:
        """The accuracy, its interval, and what it was measured with."""
        trainings = count_noun(max(1, len(self.seeds)), "training")
        return (
            f"Trial {self.trial}: test accuracy {SHARE.value(self.accuracy)} (95 %: "
            f"{SHARE.interval(self.interval)}), {count_noun(self.images, 'test image')}, "
            f"{trainings}."
        )

    def _repr_html_(self) -> str:
        return html.page(
            html.title(f"{self.study}: trial {self.trial} on the test images"),
            *([] if self.test_gap is None else [html.line(self.test_gap.headline, "bad")]),
            html.line(self.sentence),
            *(html.line(warning, "bad") for warning in self.warnings),
        )


def evaluate(
    database: Database,
    record: StudyRecord,
    *,
    runs: Runs,
    device: str,
    data: Path | None,
    pick: str | None,
) -> Evaluation:
    """Evaluate a study's winner on the test images, and record the evaluation.

    Args:
        database: The database of the study.
        record: The search.
        runs: The runs place, with the kept weights.
        device: As for ``Study.evaluate``.
        data: The data root; ``None``: the default one.
        pick: As for ``Study.evaluate``.

    Raises:
        UserError: As ``Study.evaluate``.
        CheckpointError: The winner's weights aren't below ``runs``.
    """
    from hpsearch.workers.winner.final_evaluation import evaluate_winner, evaluation_warnings

    before = evaluations(database, record.study.study_id)
    evaluation = evaluate_winner(
        database, record, study_of(record), runs=runs, device=device, data=data, pick=pick
    )
    verdict = read_confirmation(database, record)
    return Evaluation(
        study=record.study.name,
        trial=evaluation.trial,
        images=evaluation.images,
        accuracy=evaluation.accuracy,
        interval=evaluation.interval,
        loss=evaluation.loss,
        macro_f1=evaluation.macro_f1,
        balanced_accuracy=evaluation.balanced_accuracy,
        seeds=evaluation.seeds,
        class_names=evaluation.class_names,
        confusion=evaluation.confusion,
        opened=len(before) + 1,
        warnings=tuple(evaluation_warnings(record, before)),
        test_gap=None
        if verdict is None
        else find_test_gap(verdict, evaluation, record.study.document),
    )
