"""A trial as a frozen config: a study file without ranges that tells where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from hpsearch.errors import UserError
from hpsearch.results import optuna_side, provenance, test_openings
from hpsearch.results.overfitting import overfits_from
from hpsearch.results.ranking import ranked
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search import ledger_reads
from hpsearch.search.storage import Database
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import Precision, TrialConfig


@dataclass(frozen=True, kw_only=True)
class FrozenConfig:
    """What ``hpsearch export`` writes."""

    trial: TrialRecord
    #: Complete trials that it was chosen from.
    complete: int
    #: 1-based rank among them; ``None`` for a trial that isn't complete.
    rank: int | None
    document: Mapping[str, Any]
    text: str


def export_trial(
    database: Database, record: StudyRecord, study: StudyFile, number: int | None = None
) -> FrozenConfig:
    """Freeze the winner, or trial ``number``.

    ``study`` is ``record``'s study file, loaded again. Raises ``UserError`` where there is no
    such trial, or nothing was measured yet.
    """
    order = ranked(record)
    trial = record.trial(number) if number is not None else next(iter(order), None)
    if trial is None:
        raise UserError(
            f"only a complete trial can win, but study {record.study.name!r} has none yet "
            f"({record.counts.pruned} pruned, {record.counts.failed} failed); "
            "launch more trials, or name one with --trial"
        )
    curve = ledger_reads.curve(database, record.study.study_id, trial.ticket)
    if not curve or trial.trial_id is None or trial.best_epoch is None:
        raise UserError(
            f"a trial can be exported after its first epoch, but trial {trial.number} of study "
            f"{record.study.name!r} has none ({trial.state})"
        )
    config = study.trial_config(trial.params, trial.ticket)
    noted = optuna_side.attributes(database, trial.trial_id)
    rank = order.index(trial) + 1 if trial in order else None
    origin = {
        "study": record.study.name,
        "fingerprint": record.study.fingerprint,
        "trial": trial.number,
        "ticket": trial.ticket,
        "state": trial.state.value,
        "rank": rank,
        "complete_trials": len(order),
        "objective": f"{record.objective.metric} of the {record.objective.at} epoch",
        "value": trial.value,
        "epochs_run": trial.epochs_done,
        "figures": provenance.figures(curve, best_epoch=trial.best_epoch),
        "overfits_from": overfits_from(curve),
        "trial_seed": config.seed,
        "split_seed": config.split_seed,
        **{key: value for key, value in noted.items() if key not in ("ticket", "val_confusion")},
        "test": test_openings.told(test_openings.openings(database, record.study.study_id)),
        "architecture": _architecture(config, noted),
        "versions": provenance.versions(),
        "repository": provenance.repository(Path.cwd()),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    document = freeze(study, trial.params, origin)
    if noted.get("precision") in get_args(Precision):
        # What `auto` came to there; on another machine it may come to something else.
        document["precision"] = noted["precision"]
    return FrozenConfig(
        trial=trial,
        complete=len(order),
        rank=rank,
        document=document,
        text=to_yaml(document, _header(record, trial, rank, len(order))),
    )


def caveat(trial: TrialRecord, rank: int | None, complete: int) -> str:
    """Say what the trial's value is worth: the best of many is an optimistic number."""
    if rank is None:
        return f"This trial is {trial.state}, so its value can't be compared with complete ones."
    if complete == 1:
        return "It is the only complete trial, trained with one seed."
    if rank == 1:
        return f"It is the best of {complete} complete trials: optimistic, one seed."
    return f"It is number {rank} of {complete} complete trials, trained with one seed."


def write_frozen(frozen: FrozenConfig, path: Path, *, overwrite: bool) -> None:
    """Write the file whole or not at all. Raises ``UserError`` where it exists already."""
    if path.exists() and not overwrite:
        raise UserError(
            f"an export must not replace a file by accident, but {path} exists; "
            "choose another --out, or add --force"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(frozen.text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} can't be written: {error.strerror}") from error


def _architecture(config: TrialConfig, noted: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the model's layers, derived again on the meta device for the noted image shape."""
    from hpsearch.training.models.inspection import describe

    if "input_shape" not in noted or "classes" not in noted:
        return None
    channels, height, width = noted["input_shape"]
    summary = describe(
        config.model, input_shape=(channels, height, width), classes=noted["classes"]
    )
    return [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
        }
        for layer in summary.layers
    ]


def _header(record: StudyRecord, trial: TrialRecord, rank: int | None, complete: int) -> str:
    value = "unknown" if trial.value is None else f"{trial.value:.6g}"
    return (
        f"Trial {trial.number} of study {record.study.name}, exported by hpsearch.\n"
        f"{record.objective.metric} of its {record.objective.at} epoch: {value}. "
        f"{caveat(trial, rank, complete)}\n"
        "Train it again to the same figures: hpsearch train THIS_FILE"
    )
