"""The model that was trained, as the folder that predict reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpsearch.metrics import EpochMetrics
from hpsearch.results import provenance
from hpsearch.results.confirmation.over_groups import OVER_GROUPS, VAL_GROUPS
from hpsearch.results.export import bundle
from hpsearch.results.export.card import ModelFiles, card
from hpsearch.results.export.card_metrics import Judgement
from hpsearch.results.export.frozen import layers_of
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.portable import portable
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import prepare
from hpsearch.training.models.inspection import ModelSummary
from hpsearch.workers.retraining.assignment import Assignment
from hpsearch.workers.winner.exporting import groups_of

#: Keys of the provenance that are results of one training, and not those of another one.
_OF_THE_TRIAL = (
    "state",
    "rank",
    "value",
    "confirmed",
    "training",
    "overfits_from",
    "cost",
    "test",
    "worth",
    OVER_GROUPS,
    VAL_GROUPS,
    "lacks_groups",
)


@dataclass(frozen=True, kw_only=True)
class RetrainingResult:
    """A training that has ended."""

    assignment: Assignment
    curve: Sequence[EpochMetrics]
    #: ``epoch``, ``value`` and ``weights`` of the epoch whose weights are kept.
    best: Mapping[str, Any]
    #: Whether the config was changed for this call: then its recorded metrics don't apply.
    changed: bool

    @property
    def is_the_recorded_one(self) -> bool:
        """Whether the frozen config records the metrics of this training."""
        return self.assignment.nth_seed == 1 and not self.changed


def write_outcome(outcome: RetrainingResult, folder: Path) -> None:
    """Write weights, config, class names and model card."""
    assignment = outcome.assignment
    training_config = assignment.build_plan.config
    prepared = prepare(
        training_config.data, split_seed=training_config.split_seed, root=assignment.data
    )
    signature = signature_of(
        assignment.config,
        prepared,
        assignment.build_plan.plan.precision,
        epoch=outcome.best["epoch"],
        trained_on=assignment.trained_on,
    )
    classifier = Classifier(assignment.config, signature, outcome.best["weights"])
    judgement = None
    rows = prepared.val_indices
    if len(rows):
        evaluation = classifier.evaluate(
            prepared.images.index_select(0, rows), prepared.labels[rows]
        )
        judgement = Judgement(
            confusion=evaluation.confusion.tolist(),
            what=f"the {len(rows):,} validation images, by the weights after epoch "
            f"{outcome.best['epoch']}",
            once=True,
            over_groups=groups_of(prepared, evaluation),
            grouped=prepared.groups is not None,
        )
    document = portable(_document(outcome, judgement, classifier.summary), folder)
    origin = document["provenance"]
    header = (
        f"{assignment.study.name}, trained by `hpsearch train` on {_images(assignment)}.\n"
        f"{origin['worth']}"
    )

    def text(files: ModelFiles) -> str:
        return card(
            document,
            origin["worth"],
            judgement,
            contract=signature.contract(),
            weights=f"those after epoch {signature.epoch} of a training on {_images(assignment)}, "
            f"seed {training_config.seed}",
            files=files,
        )

    config = to_yaml(document, header)
    bundle.write_bundle(folder, classifier, judgement, config=config, card=text)


def _document(
    outcome: RetrainingResult, judgement: Judgement | None, model: ModelSummary
) -> dict[str, Any]:
    """Return the frozen config with this training, and recorded metrics only if they apply.

    Args:
        outcome: The training.
        judgement: Its confusion matrix; ``None`` if no image was left to validate on.
        model: Its model, which ``--set`` may have changed.
    """
    assignment = outcome.assignment
    study = assignment.study
    origin: dict[str, Any] = dict(study.provenance or {})
    last = outcome.curve[-1]
    if not outcome.is_the_recorded_one or "figures" not in origin:
        for name in _OF_THE_TRIAL:
            origin.pop(name, None)
        origin.update(assignment.build_plan.attributes())
        origin.pop("figures", None)
        if assignment.trained_on == "train":
            best = outcome.best["epoch"]
            origin["figures"] = provenance.epoch_metrics(list(outcome.curve), best_epoch=best)
            if judgement is not None and judgement.over_groups is not None:
                origin[OVER_GROUPS] = judgement.over_groups.to_json()
        origin["versions"] = provenance.versions()
        origin["architecture"] = layers_of(model)
        origin["confirmed"] = False
        origin["worth"] = "One training of this config, with one seed."
    origin["trained"] = {
        "on": assignment.trained_on,
        "seed": assignment.build_plan.config.seed,
        "nth_seed": assignment.nth_seed,
        "epochs": last.epoch,
        "weights_of_epoch": outcome.best["epoch"],
        "train_accuracy": last.train_accuracy,
        "train_loss": last.train_loss,
        "val_accuracy": last.val_accuracy,
        "val_loss": last.val_loss,
        "device": assignment.build_plan.attributes()["device"],
        "threads": assignment.build_plan.threads,
        "versions": provenance.versions(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    worth = str(origin.get("worth") or "One training of this config, with one seed.")
    if assignment.trained_on == "train+validation":
        worth += (
            " The weights next to it were trained on training and validation images together, so "
            "they have no validation metrics; the metrics here are of a training without the "
            "validation images."
        )
    origin["worth"] = worth
    return freeze(study, {}, origin)


def _images(assignment: Assignment) -> str:
    count = assignment.build_plan.plan.train_images
    together = assignment.trained_on == "train+validation"
    return f"{count:,} {'training and validation' if together else 'training'} images"
