"""The text of a study file, with comments for people who edit it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.foreign_text import clean, escape_yaml, is_clean
from hpsearch.formatting import count_noun, format_seconds
from hpsearch.starter.fitting import PRUNER, Fit, Task
from hpsearch.starter.inspection import TEST_FRACTION, Findings
from hpsearch.starter.recipe import MODELS, Model, Recipe


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a study file is written from."""

    #: The study's name.
    name: str
    #: The command that it comes from, for the first line.
    command: str
    #: The file.
    path: Path
    findings: Findings
    recipe: Recipe


def study_text(draft: Draft, fit: Fit | None = None, task: Task | None = None) -> str:
    """Return the study file.

    Args:
        draft: What was found, and how it is searched.
        fit: The budget; ``None``: every network and size with a placeholder, to be measured.
        task: The time and machine of the budget.
    """
    recipe = draft.recipe
    sizes = recipe.sizes if fit is None else fit.sizes
    models = [model for model in MODELS if fit is None or model.name in fit.models]
    lines = [
        *_head(draft),
        "",
        f"study: {draft.name}",
        "seed: 0",
        "",
        *_objective(draft),
        "",
        *_budget(fit, task),
        "",
        *_data(draft, sizes, fit),
        "",
        *_model(models),
        "",
        *_training(recipe),
    ]
    return escape_yaml("\n".join(lines) + "\n")


def summary(findings: Findings) -> list[str]:
    """Return what was found, in a few lines."""
    counts = sorted(findings.per_class)
    least, most = counts[0], counts[-1]
    per_class = f"{least:,} each" if least == most else f"{least:,} to {most:,} each"
    colour = "gray" if findings.channels == 1 else "colour"
    own = "" if findings.val_images is None else f", and {findings.val_images:,} to validate"
    smallest, edge, largest = findings.edges
    size = f"{edge} pixels" if smallest == largest else f"{smallest} to {largest} pixels"
    lines = [
        f"{count_noun(findings.images, f'{colour} picture')} to train on, of "
        f"{count_noun(len(findings.class_names), 'class', 'classes')} ({per_class}){own}; "
        f"shorter side {size}"
    ]
    groups = findings.groups
    if groups is not None:
        name, group = groups.example
        verb = "belong together" if groups.certain else "may belong together"
        lines.append(
            f"pictures {verb} by their names: {groups.groups:,} groups of up to {groups.largest}, "
            f"such as {group} of {name}"
        )
    return [*lines, *findings.choice.notes]


def _head(draft: Draft) -> Iterator[str]:
    file = shlex.quote(os.path.relpath(draft.path))
    yield from _comment(
        f"Written by `{draft.command}`. Change what you like: docs/study-files.md explains each key"
    )
    yield "#"
    yield f"#   hpsearch check {file}"
    yield f"#   hpsearch launch --study {file} --confirm"
    yield f"#   hpsearch export {draft.name} --bundle best/ && hpsearch predict best/ new.png"
    yield "#"
    yield "# Found:"
    for line in summary(draft.findings):
        yield from _comment(f"- {line}")


def _objective(draft: Draft) -> Iterator[str]:
    if draft.recipe.balanced:
        yield from _comment(
            "Classes have uneven numbers of pictures, so every class counts alike: a trial's value "
            "is the mean over classes of the share of right answers. val_macro_f1 also punishes "
            "wrong answers of rare classes; val_accuracy counts pictures"
        )
    else:
        yield from _comment("The share of right answers on pictures that no trial trains on")
    yield f"objective: {draft.recipe.objective}"


def _budget(fit: Fit | None, task: Task | None) -> Iterator[str]:
    if fit is None or task is None:
        yield "budget: {trials: 20, epochs_per_trial: 10}"
        return
    (first, _), *_ = [(epoch, 0) for epoch in (*PRUNER.rungs(fit.epochs), fit.epochs)]
    fits = "fits" if fit.fits else "is the least that makes sense, and longer than"
    workers = count_noun(task.workers, "worker")
    yield from _comment(
        f"The time: {fits} {format_seconds(task.seconds)} with {workers}. An epoch took "
        f"{format_seconds(fit.mean_epoch)} on average over networks and sizes, and "
        f"{format_seconds(fit.dearest_epoch)} for the dearest, measured here"
    )
    yield from _comment(
        f"- search: {fit.trials} trials train {count_noun(first, 'epoch')} each, then only the "
        f"best continue: {fit.first_epochs} epochs x {format_seconds(fit.mean_epoch)} + up to "
        f"{fit.later_epochs} x {format_seconds(fit.dearest_epoch)}, {_by(task)}: about "
        f"{format_seconds(fit.search_seconds)}"
    )
    yield from _comment(
        f"- confirmation: the best {fit.top} (and one that is tied with them) with {fit.seeds} "
        f"fresh seeds, and the winner and its rival with {fit.seeds} more: up to "
        f"{fit.confirm_trainings} trainings x {fit.epochs} epochs x "
        f"{format_seconds(fit.dearest_epoch)}, {_by(task)}: at most "
        f"{format_seconds(fit.confirm_seconds)}"
    )
    yield f"budget: {{trials: {fit.trials}, epochs_per_trial: {fit.epochs}}}"
    share = f"{fit.confirm_share:g}"
    yield f"confirm: {{top: {fit.top}, seeds: {fit.seeds}, share: {share}}}"


def _by(task: Task) -> str:
    return "one worker" if task.workers == 1 else f"divided by {task.workers} workers"


def _data(draft: Draft, sizes: Sequence[int | None], fit: Fit | None) -> Iterator[str]:
    findings, recipe = draft.findings, draft.recipe
    yield "data:"
    yield from _source(draft)
    if fit is not None and fit.share < 1:
        part = float(f"{findings.images * fit.share:.2g}")  # two digits are as exact as the time
        limit = max(len(findings.class_names), int(part))
        yield from _comment(
            f"A part of the {findings.images:,} pictures, so that the search fits the time; "
            "without this line all are used",
            "  ",
        )
        yield f"  limit: {limit}"
    if recipe.folds is not None:
        yield from _comment(
            f"Few pictures: each trial trains {recipe.folds} models, so that every picture "
            "validates once",
            "  ",
        )
        yield f"  folds: {recipe.folds}"
    elif findings.val_images is None:
        line = f"  validation: {recipe.validation}"
        yield f"{line:<35}# of the pictures of each class"
    yield from _input_size(findings, sizes)
    yield from _augmentation(recipe)


def _source(draft: Draft) -> Iterator[str]:
    choice, findings = draft.findings.choice, draft.findings
    yield "  source:" if choice.settings else f"  source: {choice.source}"
    if choice.settings:
        yield f"    {choice.source}:"
    for key, value in choice.settings.items():
        if key in ("group", "group_pattern"):
            yield from _comment(
                "Pictures with the same match stay on one side of every split, so that no model is "
                "judged by near copies of what it was trained on",
                "      ",
            )
        if key == "test_fraction":
            yield from _comment(
                "Held out: no search sees these pictures. `hpsearch evaluate`, at the very end, "
                "does",
                "      ",
            )
        yield f"      {key}: {_value(_relative(value, draft.path))}"
    groups = findings.groups
    if groups is not None and not {"group", "group_pattern"} & set(choice.settings):
        yield from _comment(
            "If these names mean pictures of the same thing, remove the # of this line: then they "
            "stay on one side of every split",
            "      ",
        )
        key = "group_pattern" if choice.source == "table" else "group"
        yield f"      # {key}: {_value(groups.pattern)}"
    if choice.source == "arrays" and "groups_key" not in choice.settings:
        yield from _comment(
            "Pictures of one patient or thing must stay on one side of every split: near copies of "
            "training pictures make values too high. If an array numbers them, name it here",
            "      ",
        )
        yield "      # groups_key: ARRAY"
    if findings.can_hold_out and "test_fraction" not in choice.settings:
        yield from _comment("Too few pictures to hold some out for a final test", "      ")
        yield f"      # test_fraction: {TEST_FRACTION}"


def _relative(value: Any, file: Path) -> Any:
    """Return a path relative to the study file if it is below its folder."""
    if not (isinstance(value, str) and os.path.isabs(value)):  # noqa: PTH117 - text, not a path
        return value
    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100 - keeps links
    if not Path(value).is_relative_to(folder):
        return value
    relative = str(Path(value).relative_to(folder))
    return f"./{relative}" if relative.startswith("~") else relative


def _value(value: Any) -> str:
    """Return a value as YAML: JSON is YAML, but patterns are easier to read in single quotes."""
    if isinstance(value, str) and "\\" in value and "'" not in value and is_clean(value):
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def _input_size(findings: Findings, sizes: Sequence[int | None]) -> Iterator[str]:
    if sizes == (None,) or list(sizes) == [None]:
        return
    shape = "" if findings.square else "; pictures become squares"
    yield from _comment(f"Edge in pixels that pictures are resized to{shape}", "  ")
    one = len(sizes) == 1
    yield f"  input_size: {sizes[0] if one else f'{{values: {list(sizes)}}}'}"


def _augmentation(recipe: Recipe) -> Iterator[str]:
    yield from _comment("Random changes of training pictures", "  ")
    yield "  augmentation:"
    if recipe.flip:
        yield "    horizontal_flip: true          # leave it out if left and right matter"
    else:
        yield "    # horizontal_flip: true        # left out: a mirrored one may be another class"
    yield "    random_crop: {values: [true, false]}"


def _model(models: Sequence[Model]) -> Iterator[str]:
    yield from _comment("The search picks one network for each trial; only its lines apply")
    yield "model:"
    for model in models:
        yield f"  {model.name}:   # {model.what}"
        yield from (f"    {key}" for key in model.keys)


def _training(recipe: Recipe) -> Iterator[str]:
    yield from _comment(
        "Learning rates are searched on a logarithmic scale: 0.001 to 0.01 as often as 0.01 to 0.1"
    )
    yield "optimizer:"
    yield "  sgd:"
    yield "    lr: {min: 0.003, max: 0.3, log: true}"
    yield "    momentum: 0.9"
    yield "    nesterov: true"
    yield "    weight_decay: 5e-4"
    yield "  adamw:"
    yield "    lr: {min: 3e-4, max: 1e-2, log: true}"
    yield "    weight_decay: 0.05"
    yield "lr_schedule: cosine                # the learning rate falls to 0 over the epochs"
    yield "regularization: {label_smoothing: {amount: 0.1}}   # less certain of its training labels"
    if recipe.balanced:
        yield "class_weights: balanced            # pictures of rare classes count for more"
    yield f"batch_size: {{values: {list(recipe.batch_sizes)}}}"


def _comment(text: str, indent: str = "") -> Iterator[str]:
    """Yield a comment in lines of at most 100 characters."""
    prefix, width = f"{indent}# ", 100 - len(indent) - 2
    line = ""
    for word in clean(text).split():
        if line and len(line) + 1 + len(word) > width:
            yield prefix + line
            line = f"  {word}" if text.startswith("- ") else word
        else:
            line = f"{line} {word}" if line else word
    yield prefix + line
