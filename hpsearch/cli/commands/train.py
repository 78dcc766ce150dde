"""train: trains a frozen config again, to compare its metrics or to get a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hpsearch.cli.options import (
    CheckpointOption,
    DataOption,
    FrozenConfigArgument,
    JsonOption,
    RecordedDeviceOption,
    RecordedThreadsOption,
    SetOption,
    at_least_one,
)
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.cli.terminal.reproduction import COMPARED, at_epoch, recorded_metrics, verdict
from hpsearch.cli.terminal.training_progress import epoch_printer, stopped_by_signals
from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat, format_metrics
from hpsearch.output_streams import optional_output
from hpsearch.workers.run_config import RunConfig

if TYPE_CHECKING:
    from hpsearch.metrics import EpochMetrics
    from hpsearch.study_file.study import StudyFile
    from hpsearch.training.classifier import TrainedOn
    from hpsearch.workers.retraining.assignment import Assignment

#: ``all`` is short for ``train+validation``.
_On = Literal["train", "train+validation", "all"]


def train(
    config: FrozenConfigArgument,
    on: Annotated[
        _On,
        typer.Option(
            "--on",
            help="The images; train+validation (or all) leaves none for validation metrics.",
        ),
    ] = "train",
    seeds: Annotated[
        int, typer.Option(callback=at_least_one, help="Train with this many seeds, one by one.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Keep checkpoints (the same command continues) and the model that predict reads.",
        ),
    ] = None,
    device: RecordedDeviceOption = None,
    threads: RecordedThreadsOption = None,
    checkpoint_interval: CheckpointOption = RunConfig.checkpoint_seconds,
    overrides: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a frozen config, and compare the metrics with those of its trial.

    By default, device, threads and precision are the recorded ones, because they determine the
    last digits. Test images aren't opened. With --out, Ctrl-C saves and stops, and the same command
    continues, also after a kill or a power cut.

    \b
    hpsearch train best.yaml
    hpsearch train best.yaml --out best/ --on all
    hpsearch train best.yaml --seeds 5 --out best/
    """
    from hpsearch.component_registries import registries
    from hpsearch.errors import TrainingInterrupted, UserError
    from hpsearch.study_file.loading import load_study
    from hpsearch.study_file.portable import only_sets_path
    from hpsearch.workers.retraining.assignment import plan_single

    study = load_study(config, registries, overrides=overrides or ())
    if study.has_loop:
        if out is not None or seeds > 1 or on != "train":
            raise UserError(
                f"{config} has a training loop of its own, which decides itself about images and "
                "files, so it is trained once with its recorded seed; leave --out, --seeds and "
                "--on out"
            )
        _train_loop(study, device=device, threads=threads, data=data, as_json=as_json)
        return
    trained_on: TrainedOn = "train" if on == "train" else "train+validation"
    changed = not all(map(only_sets_path, overrides or ()))
    recorded = None if changed or on != "train" else recorded_metrics(study)
    trainings: list[tuple[Assignment, list[EpochMetrics]]] = []
    for nth in range(1, seeds + 1):
        assignment = plan_single(
            study, device=device, threads=threads, data=data, trained_on=trained_on, nth_seed=nth
        )
        if not as_json:
            _announce(assignment, seeds)
        folder = None if out is None else out if nth == 1 else out / f"seed-{nth}"
        try:
            curve = _train(
                assignment,
                folder,
                checkpoint_seconds=checkpoint_interval,
                changed=changed,
                quiet=as_json,
            )
        except TrainingInterrupted as interruption:
            say(
                f"{interruption}; it is saved in {folder}, and the same command continues",
                stderr=True,
            )
            raise typer.Exit(0) from None
        trainings.append((assignment, curve))
        if not as_json:
            _print(assignment, curve, recorded if nth == 1 else None)
    if as_json:
        print_json(_as_json(study, trainings, recorded, out))
        return
    if seeds > 1:
        say()
        say(_spread(trained_on, [curve[-1] for _, curve in trainings]), style="bold")
    if out is not None:
        say(f"Label pictures: hpsearch predict {out} PICTURE...")


def _train_loop(
    study: StudyFile, *, device: str | None, threads: int | None, data: Path | None, as_json: bool
) -> None:
    """Train with the study's own loop, and print the metrics beside the recorded ones."""
    from hpsearch.workers.retraining.assignment import train_loop

    curve = []
    for metrics in train_loop(study, device=device, threads=threads, data=data):
        curve.append({"epoch": metrics.epoch, "seconds": metrics.seconds, **metrics.others})
        if not as_json:
            say(
                f"epoch {metrics.epoch}/{study.budget.epochs_per_trial}  "
                f"{format_metrics(metrics.others)}  {metrics.seconds:.1f} s"
            )
    objective, figures = study.objective, (study.provenance or {}).get("figures") or {}
    recorded = figures.get(objective.at) or {}
    again = next((row for row in curve if row["epoch"] == recorded.get("epoch")), curve[-1])
    value, recorded_value = again[objective.metric], recorded.get(objective.metric)
    if as_json:
        print_json(
            {
                "study": study.name,
                "epochs": curve,
                "metric": objective.metric,
                "value": value,
                "recorded": recorded_value,
            }
        )
        return
    form = MetricFormat(objective.metric, digits=4)
    say()
    say(
        f"{objective.metric} {form.value(value)}"
        + ("" if recorded_value is None else f", recorded {form.value(recorded_value)}")
        + (": reproduced exactly" if value == recorded_value else "")
    )


def _train(
    assignment: Assignment,
    folder: Path | None,
    *,
    checkpoint_seconds: float,
    changed: bool,
    quiet: bool,
) -> list[EpochMetrics]:
    """Train to the end, from the last checkpoint if there is one; returns every epoch."""
    from hpsearch.workers.retraining.run import Retraining

    begun = Retraining(assignment, folder, checkpoint_seconds=checkpoint_seconds)
    with closing(begun) as retraining:
        if retraining.is_complete:
            if not quiet:
                say(f"already trained, in {folder}: nothing is left to do")
            return retraining.curve
        done = retraining.resumed
        if done and not quiet:
            say(f"continues after epoch {done}, saved in {folder}")
        if retraining.damaged is not None and not quiet:
            say(f"starts again: {retraining.damaged}", stderr=True)
        with (
            optional_output() if folder is not None else nullcontext(),
            stopped_by_signals(active=folder is not None) as stop,
            epoch_printer(assignment.study.name, assignment.epochs, done, quiet=quiet) as tell,
        ):
            for metrics in retraining.epochs(stop):
                tell(metrics)
        retraining.write_model(changed=changed)
        return retraining.curve


def _announce(assignment: Assignment, seeds: int) -> None:
    plan, build_plan = assignment.build_plan.plan, assignment.build_plan
    if seeds > 1:
        say()
        say(f"seed {assignment.nth_seed} of {seeds}: {build_plan.config.seed}", style="bold")
    if assignment.trained_on == "train":
        images = f"{plan.train_images:,} training and {plan.val_images:,} validation images"
        data = build_plan.config.data
        if data.rounds > 1:
            images = f"{data.rounds} trainings on {plan.train_images:,} images each, " + (
                f"each of {plan.val_images:,} images validates once"
                if data.folds
                else "each with validation images of its own"
            )
    else:
        images = (
            f"{plan.train_images:,} images, those for validation among them (so there are no "
            f"validation metrics, and it ends after epoch {assignment.epochs}, as recorded)"
        )
    say(
        f"{assignment.study.name}: {plan.model.parameters:,} parameters, {images}, on "
        f"{build_plan.device} with {count_noun(build_plan.threads, 'thread')} in {plan.precision}"
    )


def _print(
    assignment: Assignment, curve: Sequence[EpochMetrics], recorded: Mapping[str, Any] | None
) -> None:
    last = curve[-1]
    say()
    share, loss = (MetricFormat(name, digits=4).value for name in ("val_accuracy", "val_loss"))
    say(f"train      accuracy {share(last.train_accuracy)}  loss {loss(last.train_loss)}")
    if assignment.trained_on == "train":
        say(f"validation accuracy {share(last.val_accuracy)}  loss {loss(last.val_loss)}")
    if recorded is not None:
        origin = assignment.study.provenance or {}
        say(verdict(curve, recorded, assignment.build_plan, origin))


def _spread(on: TrainedOn, last: Sequence[EpochMetrics]) -> str:
    name = "val_accuracy" if on == "train" else "train_accuracy"
    values, form = [float(getattr(metrics, name)) for metrics in last], MetricFormat(name, digits=4)
    return (
        f"{name} over {len(values)} seeds: mean {form.value(fmean(values))}, standard deviation "
        f"{form.width(stdev(values))}, from {form.interval((min(values), max(values)))}"
        + (" (one division of the images: another may give another mean)" if on == "train" else "")
    )


def _as_json(
    study: StudyFile,
    trainings: Sequence[tuple[Assignment, list[EpochMetrics]]],
    recorded: Mapping[str, Any] | None,
    out: Path | None,
) -> dict[str, Any]:
    names = ("epoch", *COMPARED, "lr", "seconds")
    curves = [
        [{name: getattr(result, name) for name in names} for result in curve]
        for _, curve in trainings
    ]
    assignment, first = trainings[0]
    again = None if recorded is None else at_epoch(first, recorded["epoch"])
    metric = "val_accuracy" if assignment.trained_on == "train" else "train_accuracy"
    values = [curve[-1][metric] for curve in curves]
    return {
        "study": study.name,
        "trained": assignment.build_plan.attributes(),
        "on": assignment.trained_on,
        "epochs": curves[0],
        "final": curves[0][-1],
        "recorded": recorded,
        "reproduced": None
        if recorded is None
        else again is not None and all(again[name] == recorded[name] for name in COMPARED),
        "seeds": [
            {"seed": assignment.build_plan.config.seed, "final": curve[-1]}
            for (assignment, _), curve in zip(trainings, curves, strict=True)
        ],
        "metric": metric,
        "mean": fmean(values),
        "standard_deviation": stdev(values) if len(values) > 1 else None,
        "folder": None if out is None else str(out),
    }
