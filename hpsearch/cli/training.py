"""train: a frozen config once more, and whether its figures come out again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import DataOption, JsonOption, SetOption, at_least_one
from hpsearch.cli.output import plural, print_json, say, show

if TYPE_CHECKING:
    from hpsearch.measurement import EpochResult
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.blueprint import Blueprint

_COMPARED = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


def train(
    config: Annotated[
        Path, typer.Argument(metavar="FILE", help="A frozen config, from `hpsearch export`.")
    ],
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Instead of the recorded one: cpu, mps, cuda:0."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(callback=at_least_one, help="CPU threads instead of the recorded number."),
    ] = None,
    overrides: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a frozen config, and compare with the figures that its trial had.

    Device, threads and precision are the recorded ones unless told otherwise: they decide the
    last digits. Test images stay closed.

    \b
    hpsearch train winner.yaml
    hpsearch train winner.yaml --device cuda:0
    """
    from hpsearch.catalog import registries
    from hpsearch.study_file.loading import load_study
    from hpsearch.workers.single import plan_single, train_single

    study = load_study(config, registries, overrides=overrides or ())
    blueprint = plan_single(study, device=device, threads=threads, data=data)
    if not as_json:
        say(
            f"{study.name}: {blueprint.plan.model.parameters:,} parameters, "
            f"{blueprint.plan.train_images:,} training and {blueprint.plan.val_images:,} "
            f"validation images, on {blueprint.device} with {plural(blueprint.threads, 'thread')} "
            f"in {blueprint.plan.precision}"
        )
    curve = []
    for result in train_single(blueprint, data=data):
        curve.append(result)
        if not as_json:
            say(_line(result, study.budget.epochs_per_trial))
    recorded = None if overrides else _recorded(study)
    if as_json:
        print_json(_as_json(study, blueprint, curve, recorded))
        return
    last = curve[-1]
    say()
    say(f"train      accuracy {last.train_accuracy:.6f}  loss {last.train_loss:.6f}")
    say(f"validation accuracy {last.val_accuracy:.6f}  loss {last.val_loss:.6f}")
    if recorded is not None:
        say(verdict(curve, recorded, blueprint, study.provenance or {}))


def verdict(
    curve: list[EpochResult],
    recorded: Mapping[str, Any],
    blueprint: Blueprint,
    provenance: Mapping[str, Any],
) -> str:
    """Say whether the recorded figures came out again, and if not, what was different."""
    epoch = recorded["epoch"]
    again = _at(curve, epoch)
    if again is None:
        return f"the recorded figures are of epoch {epoch}, which this training doesn't reach"
    trial = f"trial {provenance.get('trial')} at epoch {epoch}"
    if all(again[name] == recorded.get(name) for name in _COMPARED):
        return f"reproduced exactly: every figure is that of {trial}"
    accuracy = recorded["val_accuracy"]
    if again["val_accuracy"] == accuracy:
        loss = again["val_loss"] - recorded["val_loss"]
        text = f"reproduced: the validation accuracy of {trial} exactly, its loss up to {loss:+.2g}"
    else:
        text = (
            f"differs by {again['val_accuracy'] - accuracy:+.6f}: {trial} had the validation "
            f"accuracy {accuracy:.6f}"
        )
    changed = _changes(blueprint, provenance)
    return text + (f" (other than then: {', '.join(changed)})" if changed else "")


def _changes(blueprint: Blueprint, provenance: Mapping[str, Any]) -> list[str]:
    """Return what decides the last digits and isn't as it was recorded."""
    from hpsearch.results.provenance import versions

    now = {**blueprint.attributes(), **versions()}
    then = {**provenance, **(provenance.get("versions") or {})}
    names = ("device", "threads", "precision", "data_hash", "split_hash", *versions())
    return [
        f"{name} {show(now.get(name))} instead of {show(then[name])}"
        for name in names
        if then.get(name) is not None and now.get(name) != then[name]
    ]


def _recorded(study: StudyFile) -> Mapping[str, Any] | None:
    """Return the figures of the trial's last epoch, ``None`` where the config holds none."""
    figures = (study.provenance or {}).get("figures")
    last = figures.get("last") if isinstance(figures, Mapping) else None
    complete = isinstance(last, Mapping) and {"epoch", *_COMPARED} <= set(last)
    return last if complete else None


def _at(curve: list[EpochResult], epoch: int) -> dict[str, float] | None:
    for result in curve:
        if result.epoch == epoch:
            return {name: getattr(result, name) for name in _COMPARED}
    return None


def _line(result: EpochResult, epochs: int) -> str:
    return (
        f"epoch {result.epoch}/{epochs}  train loss {result.train_loss:.4f}  "
        f"accuracy {result.train_accuracy:.4f}  val loss {result.val_loss:.4f}  "
        f"accuracy {result.val_accuracy:.4f}  lr {result.lr:.3g}  {result.seconds:.1f} s"
    )


def _as_json(
    study: StudyFile,
    blueprint: Blueprint,
    curve: list[EpochResult],
    recorded: Mapping[str, Any] | None,
) -> dict[str, Any]:
    names = ("epoch", *_COMPARED, "lr", "seconds")
    epochs = [{name: getattr(result, name) for name in names} for result in curve]
    again = None if recorded is None else _at(curve, recorded["epoch"])
    return {
        "study": study.name,
        "trained": blueprint.attributes(),
        "epochs": epochs,
        "final": epochs[-1],
        "recorded": recorded,
        "reproduced": None
        if recorded is None
        else again is not None and all(again[name] == recorded[name] for name in _COMPARED),
    }
