"""The winner of a stored study, for the later study with ``from: NAME``."""

from __future__ import annotations

from hpsearch.errors import UserError
from hpsearch.results.ranking import KEPT_WEIGHTS, front, none_eligible, ranked, violators
from hpsearch.results.records import StudyRecord
from hpsearch.study_file.freezing import freeze
from hpsearch.study_file.inherit import InheritedConfig
from hpsearch.study_file.study import StudyFile


def winner_of(record: StudyRecord, study: StudyFile, number: int | None = None) -> InheritedConfig:
    """Return the winner so far, or a named trial.

    Args:
        record: The stored study.
        study: The study file of ``record``.
        number: The trial's number; ``None`` for the winner.

    Raises:
        UnknownName: If there is no trial with this number.
        UserError: If no trial is complete, the named one isn't (its value may still change) or
            breaks a constraint, or the study has several objectives and no trial is named.
    """
    order = ranked(record)
    name, counts = record.study.name, record.counts
    if number is None and record.goals.is_multi_objective and order:
        numbers = ", ".join(str(trial.number) for trial in front(record)[:KEPT_WEIGHTS])
        raise UserError(
            f"study {name!r} has several objectives, so it has no single winner; name a trial of "
            f"its front ({numbers}) with from: {{study: {name}, trial: N}}"
        )
    trial = record.trial(number) if number is not None else next(iter(order), None)
    if trial is None:
        if violators(record):
            raise UserError(none_eligible(record))
        raise UserError(
            f"a study can be based only on a complete trial, but study {name!r} has none yet "
            f"({counts.running} running, {counts.paused} paused, {counts.pruned} pruned, "
            f"{counts.failed} failed); launch it until one is complete"
        )
    if trial in violators(record):
        raise UserError(
            "a study can be based only on a trial that satisfies the constraints of study "
            f"{name!r}, but of trial {trial.number} "
            f"{'; '.join(record.goals.violated(trial.metrics))}"
        )
    if trial not in order:
        raise UserError(
            f"a study can be based only on a complete trial, but trial {trial.number} of study "
            f"{name!r} is {trial.state.value}; name a complete trial, or leave the trial out for "
            "the best one"
        )
    return InheritedConfig(
        study=name,
        trial=trial.number,
        fingerprint=record.study.fingerprint,
        value=trial.value,
        document=freeze(study, trial.params, {}),
    )
