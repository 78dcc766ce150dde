"""Files of a winner's trained model: weights, ONNX, torch.export, the folder that predict reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpsearch import component_registries
from hpsearch.errors import CheckpointError, ExportFailed, UserError
from hpsearch.metrics import SHARE
from hpsearch.results.confirmation.over_groups import (
    OVER_GROUPS,
    VAL_GROUPS,
    OverGroups,
    of_json,
    over_groups,
)
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.export import bundle
from hpsearch.results.export.card import ModelFiles, card
from hpsearch.results.export.card_metrics import Judgement
from hpsearch.results.export.choice import Export
from hpsearch.results.export.frozen import FrozenConfig
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.portable import portable
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.evaluate import Evaluation
from hpsearch.training.formats.agreement import IMAGES, Agreement
from hpsearch.training.formats.onnx_file import require_onnx, write_onnx
from hpsearch.training.formats.safetensors_file import write_weights
from hpsearch.training.formats.torch_program import write_torch_program
from hpsearch.training.plan import plan_on
from hpsearch.workers.runs_place.place import Runs
from hpsearch.workers.trial.run_folder import RunFolder

#: The kept weights must give the recorded accuracy again, up to this share of the images or this
#: many of them: another device or number of threads changes the prediction of an image or two,
#: other weights change more.
_SLACK, _SLACK_IMAGES = 0.01, 2


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Which files to write; ``None``: not this one."""

    config: Path | None = None
    card: Path | None = None
    weights: Path | None = None
    onnx: Path | None = None
    torch_export: Path | None = None
    bundle: Path | None = None

    def files(self) -> list[Path]:
        """Return every file."""
        single = (self.config, self.card, self.weights, self.onnx, self.torch_export)
        folder = [] if self.bundle is None else bundle.files_of(self.bundle)
        return [*(path for path in single if path is not None), *folder]

    @property
    def need_weights(self) -> bool:
        """Whether the kept weights and the images are needed."""
        return any((self.weights, self.onnx, self.torch_export, self.bundle))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A winner's kept weights, and their evaluation."""

    classifier: Classifier
    #: Some of the validation images, (n, channels, height, width) uint8.
    images: Tensor
    judgement: Judgement

    @property
    def weights(self) -> str:
        """In words, which weights these are."""
        return f"those after epoch {self.classifier.signature.epoch}, which give the trial's value"


def write_export(
    export: Export, targets: Targets, *, runs: Runs, data: Path | None, overwrite: bool
) -> dict[str, Agreement]:
    """Write the files of an export.

    Args:
        export: The winner that is exported.
        targets: The files to write.
        runs: The runs place, with the kept weights.
        data: The data root; ``None``: the default one.
        overwrite: Whether existing files may be replaced.

    Returns:
        Field of ``Targets`` -> how well the exported program agrees with the model.

    Raises:
        UserError: A file exists, a package is missing or the images have changed.
        CheckpointError: The weights aren't kept here.
        ExportFailed: A format can't represent the model, or the weights don't give the recorded
            accuracy.
    """
    bundle.refuse_to_replace(targets.files(), overwrite=overwrite)
    if targets.onnx is not None:
        require_onnx()
    frozen, agreements = export.frozen, {}
    trained = load_trained(frozen, runs=runs, data=data) if targets.need_weights else None
    judgement = _judgement(export, trained)
    if trained is not None:
        classifier = trained.classifier
        if targets.weights is not None:
            write_weights(targets.weights, classifier.model.state_dict(), classifier.signature)
        if targets.onnx is not None:
            agreements["onnx"] = write_onnx(targets.onnx, classifier, trained.images)
        if targets.torch_export is not None:
            path = targets.torch_export
            agreements["torch_export"] = write_torch_program(path, classifier, trained.images)
        if targets.bundle is not None:
            folder = targets.bundle
            text = partial(model_card, frozen, trained, judgement, folder)
            bundle.write_bundle(
                folder, classifier, judgement, config=frozen.text(folder), card=text
            )
    if targets.card is not None:
        bundle.write_content(
            targets.card, model_card(frozen, trained, judgement, targets.card.parent)
        )
    if targets.config is not None:
        bundle.write_content(targets.config, frozen.text(targets.config.parent))
    return agreements


def model_card(
    frozen: FrozenConfig,
    trained: Trained | None,
    judgement: Judgement | None,
    folder: Path,
    files: ModelFiles | None = None,
) -> str:
    """Return the model card of an export.

    Args:
        frozen: The winner as a frozen config.
        trained: Its evaluated weights; ``None`` if they weren't loaded.
        judgement: The confusion matrix for the metrics per class; ``None`` without one.
        folder: The folder of the card, to which its paths are relative.
        files: The model beside the card; ``None`` for a card alone.
    """
    return card(
        portable(frozen.document, folder),
        frozen.worth,
        judgement,
        contract=None if trained is None else trained.classifier.signature.contract(),
        weights=None if trained is None else trained.weights,
        files=files,
    )


def _judgement(export: Export, trained: Trained | None) -> Judgement | None:
    """Return the confusion matrix of the confirmation, if there is one.

    Otherwise it is that of the kept weights, and otherwise that of the trial.
    """
    frozen, verdict = export.frozen, export.verdict
    if verdict is not None and verdict.confusion is not None:
        return Judgement(
            confusion=verdict.confusion,
            what=f"the validation images of {len(verdict.reported)} trainings with fresh seeds, "
            "together: an image counts once for each training that validated on it",
            once=False,
            recall=[class_metrics.recall_interval for class_metrics in verdict.per_class],
        )
    if trained is not None:
        return trained.judgement
    if frozen.confusion is None:
        return None
    return Judgement(
        confusion=frozen.confusion,
        what=f"the validation images, after epoch {frozen.weights_trial.epochs_done}",
        once="splits" not in frozen.document["data"],
        over_groups=of_json(frozen.document["provenance"].get(OVER_GROUPS)),
        grouped=VAL_GROUPS in frozen.document["provenance"],
    )


def load_trained(frozen: FrozenConfig, *, runs: Runs, data: Path | None) -> Trained:
    """Load the weights of a frozen config, and evaluate them on its validation images.

    Args:
        frozen: The frozen config.
        runs: The runs place, with the kept weights.
        data: The data root; ``None``: the default one.

    Raises:
        CheckpointError: The weights aren't kept here.
        UserError: The images have changed, or the trial has several models (folds or splits).
        ExportFailed: The weights don't give the recorded accuracy.
    """
    study = study_from_document(
        frozen.document, component_registries.registries, where="the frozen config"
    )
    config = study.trial_config({}, ticket=1)
    _require_one_model(config.data, frozen)
    content = _load_best(frozen, runs)
    prepared = prepare(config.data, split_seed=config.split_seed, root=data)
    origin = frozen.document["provenance"]
    if origin.get("data_hash") not in (None, prepared.data_hash):
        raise UserError(
            "a model is exported with the images that it was trained on, but data: images differ: "
            f"expected {origin['data_hash']}, found {prepared.data_hash}; give the right ones "
            "with --data"
        )
    precision = plan_on(config, prepared, torch.device("cpu")).precision
    signature = signature_of(config, prepared, precision, epoch=int(content["epoch"]))
    classifier = Classifier(config, signature, content["weights"])
    return Trained(
        classifier=classifier,
        images=_validation(prepared, IMAGES)[0],
        judgement=_judge(classifier, prepared, origin),
    )


def _require_one_model(data: DataConfig, frozen: FrozenConfig) -> None:
    if data.rounds == 1:
        return
    kind = "folds" if data.folds else "splits"
    name = frozen.document["provenance"]["study"]
    way = f"`hpsearch export --study {name} --out best.yaml` and then `hpsearch train best.yaml "
    way += "--on all --out FOLDER` train it on every image"
    if data.splits and not frozen.is_confirmed:
        way += f", or `hpsearch confirm --study {name}`, whose trainings have one split each"
    raise UserError(
        f"one model is exported, but a trial of {data.rounds} {kind} has {data.rounds}, each "
        f"trained without some of the images to validate the configuration; {way}"
    )


def _judge(classifier: Classifier, prepared: PreparedData, origin: dict[str, Any]) -> Judgement:
    epoch = classifier.signature.epoch
    evaluation = classifier.evaluate(*_validation(prepared))
    by_epoch = {metrics["epoch"]: metrics["val_accuracy"] for metrics in origin["figures"].values()}
    accuracy = evaluation.accuracy
    recorded_accuracy = by_epoch.get(epoch, accuracy)
    difference = round(abs(accuracy - recorded_accuracy) * evaluation.samples)
    if difference > max(_SLACK_IMAGES, _SLACK * evaluation.samples):
        raise ExportFailed(
            f"the stored weights must give the recorded validation accuracy of epoch {epoch}, "
            f"{SHARE.value(recorded_accuracy)}, but they give {SHARE.value(accuracy)}; they were "
            "replaced or damaged. `hpsearch train best.yaml --out FOLDER` makes them again"
        )
    return Judgement(
        confusion=evaluation.confusion.tolist(),
        what=f"the {evaluation.samples:,} validation images, by the weights after epoch {epoch}",
        once=True,
        over_groups=groups_of(prepared, evaluation),
        grouped=prepared.groups is not None,
    )


def groups_of(prepared: PreparedData, evaluation: Evaluation) -> OverGroups | None:
    """Return the effect of groups of validation images on the metrics; ``None`` without groups."""
    rows = prepared.val_indices
    predictions = Predictions(
        rows=rows.numpy(),
        predicted=evaluation.predictions.numpy(),
        truth=prepared.labels[rows].numpy(),
        loss=evaluation.losses.double().numpy(),
        groups=prepared.groups_of(rows.numpy()),
    )
    return over_groups(predictions, len(prepared.class_names))


def _validation(prepared: PreparedData, most: int | None = None) -> tuple[Tensor, Tensor]:
    rows = prepared.val_indices[:most]
    return prepared.images.index_select(0, rows), prepared.labels[rows]


def _load_best(frozen: FrozenConfig, runs: Runs) -> dict[str, Any]:
    study, number = frozen.weights_study.study, frozen.weights_trial.number
    if number is None:  # an exported trial has begun
        raise CheckpointError(f"no trial of study {study.name!r} has weights yet")
    try:
        return RunFolder(runs, study.name, study.run_key).load_best(number)
    except CheckpointError as error:
        raise CheckpointError(
            "only the winner's weights are kept, in the --runs folder of the host that trained it, "
            f"but {error}. `hpsearch export --out best.yaml` and `hpsearch train best.yaml --out "
            "FOLDER` make them again"
        ) from error
