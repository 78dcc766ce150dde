"""A trial as a frozen config: a study file without ranges, with its provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from hpsearch.errors import UserError
from hpsearch.metrics import MetricFormat
from hpsearch.results import final_evaluations, provenance, trial_attributes
from hpsearch.results.confirmation.over_groups import VAL_GROUPS, names_groups
from hpsearch.results.overfitting import overfits_from
from hpsearch.results.ranking import none_eligible, ranked
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.results.winner import unconfirmed_sentence
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.portable import portable
from hpsearch.study_file.sections import single_split
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import CONFIRM_SEED, LoopConfig, Precision, TrialConfig

if TYPE_CHECKING:
    from hpsearch.training.models.inspection import ModelSummary

#: Attributes of a trial's row that a frozen config doesn't contain.
_LEFT_OUT = ("ticket", "val_confusion", "val_predictions")


@dataclass(frozen=True, kw_only=True)
class FrozenConfig:
    """The content of ``hpsearch export``."""

    #: The search's trial.
    trial: TrialRecord
    #: Number of complete trials that it was chosen from.
    complete: int
    #: 1-based rank among them; ``None`` for a trial that isn't complete.
    rank: int | None
    document: Mapping[str, Any]
    #: The comment at the top of its file.
    header: str
    #: The study and the trial of the weights: the search's own, or for a confirmed winner a
    #: training of the confirmation.
    weights_study: StudyRecord
    weights_trial: TrialRecord
    #: Validation images of that training's last epoch by true class (rows) and predicted class.
    confusion: Sequence[Sequence[int]] | None
    #: The meaning of the value, in one or two sentences.
    worth: str

    @property
    def is_confirmed(self) -> bool:
        """Whether it contains the result of fresh seeds."""
        return isinstance(self.document["provenance"]["confirmed"], Mapping)

    def text(self, folder: Path) -> str:
        """Return it as YAML for a file in ``folder``; its paths are relative to the folder."""
        return to_yaml(portable(self.document, folder), self.header)


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A training of the winner in a confirmation, which its frozen config is about."""

    study: StudyRecord
    #: The confirmation's study file, loaded again.
    file: StudyFile
    trial: TrialRecord
    #: The confirmation's result, for ``provenance.confirmed``.
    summary: Mapping[str, Any]
    #: The meaning of the result, in one or two sentences.
    worth: str
    #: ``provenance.test.outside_confirmed``, if the test value contradicts the confirmed one.
    gap: Mapping[str, Any] | None = None


def export_trial(
    database: Database,
    record: StudyRecord,
    study: StudyFile,
    number: int | None = None,
    *,
    retrained: Retrained | None = None,
) -> FrozenConfig:
    """Freeze a trial.

    Args:
        database: The study's database.
        record: The study with its trials.
        study: The study file of ``record``.
        number: The trial's number; ``None`` for the best seen.
        retrained: A training of the trial in a confirmation, whose seeds and metrics the config
            has; ``None`` for the trial's own.

    Raises:
        UnknownName: If there is no trial with this number.
        UserError: If no trial can win, the trial has no epoch, or its configuration is damaged.
    """
    order = ranked(record)
    trial = record.trial(number) if number is not None else next(iter(order), None)
    if trial is None:
        raise UserError(f"{none_eligible(record)}, or name one with --trial")
    training, source, file = trial, record, study
    if retrained is not None:
        training, source, file = retrained.trial, retrained.study, retrained.file
    curve = queries.curve(database, source.study.study_id, training.ticket)
    if not curve or training.trial_id is None or training.best_epoch is None:
        raise UserError(
            f"a trial can be exported after its first epoch, but trial {training.number} of study "
            f"{source.study.name!r} has none ({training.state})"
        )
    if "params" in training.damaged:
        raise UserError(
            f"a trial is exported with its configuration, but that of trial {training.number} of "
            f"study {source.study.name!r} is damaged in the database (`hpsearch doctor`)"
        )
    config = (file.loop_config if file.has_loop else file.trial_config)(
        training.params, training.ticket
    )
    attributes = trial_attributes.read(database, training.trial_id)
    rank = order.index(trial) + 1 if trial in order else None
    worth = unconfirmed_sentence(record, trial) if retrained is None else retrained.worth
    gap = None if retrained is None else retrained.gap
    text = worth if gap is None else f"{gap['headline']} {worth}"
    grouped = names_groups(record.study.document.get("data"))
    origin = {
        "study": record.study.name,
        "fingerprint": record.study.fingerprint,
        "trial": trial.number,
        "ticket": trial.ticket,
        "state": trial.state.value,
        **({} if trial.invalid is None else {"invalid": trial.invalid.reason}),
        **({"warnings": list(record.warnings)} if record.warnings else {}),
        "rank": rank,
        "complete_trials": len(order),
        "objective": f"{record.objective.metric} of the {record.objective.at} epoch",
        "value": training.value,
        **({} if record.goals.is_single_unconstrained else {"goals": dict(training.metrics)}),
        "confirmed": False if retrained is None else retrained.summary,
        "worth": text,
        "training": _training(source, training),
        "epochs_run": training.epochs_done,
        "figures": provenance.epoch_metrics(curve, best_epoch=training.best_epoch),
        "overfits_from": overfits_from(curve),
        "trial_seed": config.seed,
        **({} if isinstance(config, LoopConfig) else {"split_seed": config.split_seed}),
        **{key: value for key, value in attributes.items() if key not in _LEFT_OUT},
        # An earlier version, which didn't count groups, trained it
        **({"lacks_groups": True} if grouped and VAL_GROUPS not in attributes else {}),
        "cost": _cost(record, training, retrained),
        "test": _test(database, record, retrained),
        "architecture": None
        if isinstance(config, LoopConfig)
        else _architecture(config, attributes),
        "versions": provenance.versions(),
        "repository": provenance.repository(Path.cwd()),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    point = {key: value for key, value in training.params.items() if key != CONFIRM_SEED}
    document = freeze(study, point, origin)
    if retrained is not None and "data" in document:
        document["data"] = single_split(document["data"])
    if attributes.get("precision") in get_args(Precision):
        # `auto` may choose another precision on another machine
        document["precision"] = attributes["precision"]
    return FrozenConfig(
        trial=trial,
        complete=len(order),
        rank=rank,
        document=document,
        header=_header(record, trial, training, text, retrained is not None),
        weights_study=source,
        weights_trial=training,
        confusion=attributes.get("val_confusion"),
        worth=worth,
    )


def _test(
    database: Database, record: StudyRecord, retrained: Retrained | None
) -> dict[str, Any] | None:
    evaluations = final_evaluations.evaluations(database, record.study.study_id)
    content = final_evaluations.summarize(evaluations)
    if content is None:
        return None
    if evaluations[0].groups is None and names_groups(record.study.document.get("data")):
        content["lacks_groups"] = True
    if retrained is not None and retrained.gap is not None:
        content["outside_confirmed"] = dict(retrained.gap)
    return content


def _training(source: StudyRecord, training: TrialRecord) -> dict[str, Any]:
    """Return the training whose seeds, metrics and weights the config has."""
    content: dict[str, Any] = {"study": source.study.name, "trial": training.number}
    if CONFIRM_SEED in training.params:
        content["seed"] = training.params[CONFIRM_SEED]
    return content


def _cost(
    record: StudyRecord, training: TrialRecord, retrained: Retrained | None
) -> dict[str, dict[str, Any]]:
    costs: dict[str, dict[str, Any]] = {
        "training": {"epochs": training.epochs_done, "seconds": training.compute_seconds},
        "search": _total_cost(record),
    }
    if retrained is not None:
        costs["confirmation"] = _total_cost(retrained.study)
    return costs


def _total_cost(record: StudyRecord) -> dict[str, Any]:
    return {"epochs": record.counts.epochs_run, "seconds": record.counts.compute_seconds}


def _architecture(
    config: TrialConfig, attributes: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """Return the model's layers, computed on the meta device for the stored image shape."""
    from hpsearch.training.models.inspection import describe

    if "input_shape" not in attributes or "classes" not in attributes:
        return None
    channels, height, width = attributes["input_shape"]
    summary = describe(
        config.model, input_shape=(channels, height, width), classes=attributes["classes"]
    )
    return layers_of(summary)


def layers_of(summary: ModelSummary) -> list[dict[str, Any]]:
    """Return a model's layers, as a frozen config records them."""
    return [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
        }
        for layer in summary.layers
    ]


def _header(
    record: StudyRecord, trial: TrialRecord, training: TrialRecord, worth: str, confirmed: bool
) -> str:
    form = MetricFormat(record.objective.metric)
    value = "unknown" if training.value is None else form.value(training.value)
    kind = "confirmed with fresh seeds" if confirmed else "UNCONFIRMED"
    of = f"a training of it with fresh seed {training.params.get(CONFIRM_SEED)}, its"
    return (
        f"Trial {trial.number} of study {record.study.name}, {kind}; exported by "
        f"hpsearch.\n{record.objective.metric} of {of if confirmed else 'its'} "
        f"{record.objective.at} epoch: {value}. {worth}\nTrain it again to the same metrics: "
        "hpsearch train THIS_FILE"
    )
