"""The layers of the winner's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.errors import HpsearchError
from hpsearch.results import trial_attributes
from hpsearch.results.error_text import first_line
from hpsearch.results.opening import study_of
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database

if TYPE_CHECKING:
    from hpsearch.training.models.inspection import ModelSummary


@dataclass(frozen=True, kw_only=True)
class WinnerLayers:
    """The layers of a trial's model, or why they aren't known."""

    model: str = ""
    summary: ModelSummary | None = None
    #: ``None`` if there is a summary.
    reason: str | None = "No trial is complete, so there is no winner."


def winner_layers(database: Database, record: StudyRecord, number: int | None) -> WinnerLayers:
    """Build a trial's model without its weights, and return its layers.

    A model of a plug-in isn't built: a report reads a study and doesn't run the code of its users.

    Args:
        database: The study's database.
        record: The study with its trials.
        number: The trial's number; ``None`` if there is no winner.
    """
    trial = next((trial for trial in record.trials if trial.number == number), None)
    if number is None or trial is None or trial.trial_id is None:
        return WinnerLayers()
    name = record.study.name
    command = f"hpsearch check --study {name} --model-summary"
    if record.study.document.get("plugins"):
        return WinnerLayers(
            reason=f"The study has plug-ins, whose code a report doesn't run; {command} lists the "
            "layers of its models."
        )
    attributes = trial_attributes.read(database, trial.trial_id)
    shape, classes = attributes.get("input_shape"), attributes.get("class_names")
    if not isinstance(shape, list) or len(shape) != 3 or not classes:
        return WinnerLayers(
            reason=f"Trial {number} didn't record the shape of its images; {command} lists the "
            "layers of the study's models."
        )
    from hpsearch.training.models.layer_table import summary_of

    try:
        model = study_of(record).trial_config(trial.params, trial.ticket).model
        summary = summary_of(model, shape, len(classes))
    except (HpsearchError, KeyError) as error:
        return WinnerLayers(
            reason=f"The model of trial {number} can't be built here: {first_line(str(error))}"
        )
    return WinnerLayers(model=model.name, summary=summary, reason=None)
