"""Whether a training reproduced its recorded metrics, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal.output import show
from hpsearch.metrics import MetricFormat

if TYPE_CHECKING:
    from hpsearch.metrics import EpochMetrics
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.trial.build_plan import BuildPlan

COMPARED = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


def verdict(
    curve: Sequence[EpochMetrics],
    recorded: Mapping[str, Any],
    build_plan: BuildPlan,
    provenance: Mapping[str, Any],
) -> str:
    """Return whether the recorded metrics were reproduced, and if not, what was different.

    Args:
        curve: The epochs of the new training.
        recorded: The recorded metrics, with their ``epoch``.
        build_plan: How the new training was built.
        provenance: The provenance of the frozen config.

    Returns:
        One sentence.
    """
    epoch = recorded["epoch"]
    again = at_epoch(curve, epoch)
    if again is None:
        return f"the recorded metrics are of epoch {epoch}, which this training doesn't reach"
    trial = f"{_training_name(provenance)} at epoch {epoch}"
    if all(again[name] == recorded.get(name) for name in COMPARED):
        return f"reproduced exactly: every metric equals that of {trial}"
    accuracy = recorded["val_accuracy"]
    if again["val_accuracy"] == accuracy:
        loss = MetricFormat("val_loss").difference(again["val_loss"] - recorded["val_loss"])
        text = f"reproduced: the validation accuracy of {trial} exactly, its loss up to {loss}"
    else:
        form = MetricFormat("val_accuracy", digits=4)
        text = (
            f"differs by {form.difference(again['val_accuracy'] - accuracy)}: {trial} had the "
            f"validation accuracy {form.value(accuracy)}"
        )
    differences = changes(build_plan, provenance)
    return text + (f" (changed since: {', '.join(differences)})" if differences else "")


def changes(build_plan: BuildPlan, provenance: Mapping[str, Any]) -> list[str]:
    """Return what changes the last digits of a result and differs from the provenance."""
    from hpsearch.results.provenance import versions

    now = {**build_plan.attributes(), **versions()}
    then = {**provenance, **(provenance.get("versions") or {})}
    names = ("device", "threads", "precision", "data_hash", "split_hash", *versions())
    return [
        f"{name} {show(now.get(name))} instead of {show(then[name])}"
        for name in names
        if then.get(name) is not None and now.get(name) != then[name]
    ]


def recorded_metrics(study: StudyFile) -> Mapping[str, Any] | None:
    """Return the metrics of the trial's last epoch; ``None`` if the config contains none."""
    metrics = (study.provenance or {}).get("figures")
    last = metrics.get("last") if isinstance(metrics, Mapping) else None
    complete = isinstance(last, Mapping) and {"epoch", *COMPARED} <= set(last)
    return last if complete else None


def at_epoch(curve: Sequence[EpochMetrics], epoch: int) -> dict[str, float] | None:
    """Return the compared metrics of ``epoch``; ``None`` if it wasn't reached."""
    for result in curve:
        if result.epoch == epoch:
            return {name: getattr(result, name) for name in COMPARED}
    return None


def _training_name(provenance: Mapping[str, Any]) -> str:
    """Return the name of the recorded training: the trial, or one with a fresh seed."""
    training, trial = provenance.get("training"), f"trial {provenance.get('trial')}"
    if isinstance(training, Mapping) and training.get("seed") is not None:
        return f"{trial} with fresh seed {training['seed']}"
    return trial
