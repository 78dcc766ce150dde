"""check, schema: whether a study file is right, and what there is to search in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli import completion
from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    DataOption,
    JsonOption,
    NameOption,
    RunsOption,
    SetOption,
    StorageOption,
    StudyFileOption,
)
from hpsearch.cli.terminal.model_summary import print_model_summary
from hpsearch.cli.terminal.output import (
    print_json,
    say,
    show,
    show_bytes,
    show_params,
    show_time_range,
    table,
)
from hpsearch.errors import MOST_PROBLEMS, StudyFileError, UserError
from hpsearch.formatting import count_noun, format_percent
from hpsearch.results.opening import components_of, study_file
from hpsearch.study_file.recipes import sections_of

if TYPE_CHECKING:
    from hpsearch.results.space_report import Infeasible, PriorReport, SourceReport, SpaceReport
    from hpsearch.study_file.space import Parameter
    from hpsearch.study_file.study import StudyFile

#: Classes that ``check`` lists.
_CLASSES_SHOWN = 30
#: Reasons that ``check`` writes out.
_REASONS_SHOWN = 5


def check(
    study: StudyFileOption,
    overrides: SetOption = None,
    name: NameOption = None,
    storage: StorageOption = DEFAULT_STORAGE,
    data: DataOption = None,
    runs: RunsOption = DEFAULT_RUNS,
    model_summary: Annotated[
        bool, typer.Option("--model-summary", help="Print every model layer by layer.")
    ] = False,
    time: Annotated[
        bool,
        typer.Option(
            "--time",
            help="Train a few batches, and estimate how long one worker takes for all trials.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a study file, its data and its models, and describe the search space.

    All problems of the file are listed at once, with line and rule. Models are built without memory
    or arithmetic, so the check is fast.

    \b
    hpsearch check --study cnn_dilation
    hpsearch check --study my_study.yaml --set data.limit=4000 --json
    hpsearch check --study cnn_dilation --model-summary
    hpsearch check --study cnn_dilation --time
    """
    try:
        file = study_file(study, storage=storage, overrides=overrides or (), name=name)
        from hpsearch.results.space_report import inspect_space, require_feasible
        from hpsearch.tracking.tracking import require_usable
        from hpsearch.workers.launch.launching import require_writable
        from hpsearch.workers.runs_place.place import is_shared

        require_usable(file.trackers)
        if is_shared(runs):  # without a network, nothing needs to be checked before a launch
            require_writable(runs)
        report = inspect_space(file, data=data)
    except UserError as error:
        if as_json:
            print_json(_invalid_json(study, error))
        raise
    try:
        require_feasible(file, report)
    except UserError as error:
        if as_json:
            print_json({**_check_json(file, report), **_invalid_json(file.name, error)})
        else:
            _print_check(file, report, valid=False)
        raise
    time_range = None
    if time:
        from hpsearch.workers.launch.preview import time_alone

        time_range = time_alone(file, data=data)
    if as_json:
        seconds = None if time_range is None else [time_range.low, time_range.high]
        print_json({**_check_json(file, report), **({"seconds": seconds} if time else {})})
        return
    _print_check(file, report, valid=True)
    if not time:
        say(f"to measure the time, run `hpsearch check {study} --time`; a launch measures it, too")
    else:
        text = "not known"
        if time_range is not None:
            text = show_time_range(time_range.low, time_range.high)
        say(f"time of all trials with one worker on this machine, if nothing is pruned: {text}")
    if model_summary:
        for model in report.models:
            print_model_summary(model.name, model.example)


def schema(
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            "-s",
            metavar="NAME|PATH",
            help="With the components of this study's plug-ins: a name, or a .yaml file.",
            autocompletion=completion.study_files,
        ),
    ] = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Print the JSON Schema of study files, for completion and checks in an editor.

    With `--study`, it knows the components that the study's `plugins` register, and those of the
    study that its `from` names. The plug-ins are run, as by `hpsearch check`.

    \b
    hpsearch schema > study.schema.json
    hpsearch schema --study my_study.yaml > my_study.schema.json
    """
    from hpsearch.component_registries import registries
    from hpsearch.study_file.json_schema import json_schema

    components = registries() if study is None else components_of(study, storage=storage)
    print_json(json_schema(components))


def _invalid_json(study: str, error: UserError) -> dict[str, Any]:
    """Return what is wrong with a study, for programs: the first problems, and how many more."""
    problems = error.problems if isinstance(error, StudyFileError) else ()
    listed = [vars(problem) for problem in problems[:MOST_PROBLEMS]]
    return {
        "study": study,
        "valid": False,
        "problems": listed or [{"where": study, "key": "", "message": str(error)}],
        "more_problems": len(problems) - len(listed),
    }


def _check_json(study: StudyFile, report: SpaceReport) -> dict[str, Any]:
    from hpsearch.training.models.layer_table import summary_json

    return {
        "study": study.name,
        "valid": True,
        "problems": [],
        "more_problems": 0,
        "fingerprint": study.fingerprint,
        "objectives": study.goals.directions,
        "prune_on": study.objective.metric,
        "constraints": [str(constraint) for constraint in study.goals.constraints],
        "budget": {
            "trials": study.budget.trials,
            "epochs_per_trial": study.budget.epochs_per_trial,
        },
        "expected_complete": report.expected_complete,
        "points": report.points,
        "parameters": {
            path: _parameter_json(parameter) for path, parameter in report.parameters.items()
        },
        "found": study.document.get("found"),
        "recipe": None
        if study.recipe is None
        else {
            "name": study.recipe,
            "sections": sections_of(study.recipe, study.document),
        },
        "sources": [vars(source) for source in report.sources],
        "warnings": list(report.warnings),
        "prior": None if report.prior is None else vars(report.prior),
        "models": [
            {**vars(model), "example": summary_json(model.example)} for model in report.models
        ],
        "tried": report.tried,
        "infeasible": [_draw_json(draw) for draw in report.infeasible],
        "impossible_models": [vars(model) for model in report.impossible],
        "violating": [_draw_json(draw) for draw in report.violating],
    }


def _draw_json(draw: Infeasible) -> dict[str, Any]:
    return {"try_first": draw.try_first, "params": dict(draw.params), "reason": draw.reason}


def _parameter_json(parameter: Parameter) -> dict[str, Any]:
    from hpsearch.study_file.space import Choice

    if isinstance(parameter, Choice):
        fields: dict[str, Any] = {"values": list(parameter.values)}
    else:
        fields = {key: value for key, value in vars(parameter).items() if key != "guess"}
    if (guess := parameter.guess) is not None:
        fields |= {"prior": guess.value, "confidence": guess.confidence}
    return fields


def _print_check(study: StudyFile, report: SpaceReport, *, valid: bool) -> None:
    from hpsearch.search.pruning.forecast import completion

    budget = study.budget
    state = "valid" if valid else "read, but it can't be launched (see the end)"
    say(f"{study.name}: {state}", style="bold")
    for impossible in report.impossible:
        say(f"warning: {impossible}", style="yellow")
    if study.description:
        say(study.description)
    size = "continuous" if report.points is None else f"{report.points:,} configurations"
    say(
        f"{count_noun(len(report.parameters), 'parameter')} ({size}), "
        f"{count_noun(budget.trials, 'trial')} of up to "
        f"{count_noun(budget.epochs_per_trial, 'epoch')}, "
        f"sampler {study.sampler.name}, "
        f"pruner {study.pruner.name}, {_objectives(study)} of the {study.objective.at} epoch"
    )
    say(completion(report.expected_complete, budget.trials))
    if study.goals.constraints:
        say(f"constraints: {', '.join(map(str, study.goals.constraints))}")
    if report.prior is not None:
        _print_prior(study, report.prior)
    origin = study.document.get("found")
    if origin:
        trial = "" if origin["trial"] is None else f"trial {origin['trial']} of "
        say(f"keys that the file leaves out are from {trial}study {origin['study']}")
    if study.recipe is not None:
        from hpsearch.study_file.freezing import to_yaml

        say(f"recipe {study.recipe} and the file's own keys expand to:")
        for line in to_yaml(sections_of(study.recipe, study.document)).splitlines():
            say(f"  {line}")
    say()
    table(
        ("parameter", "values", "kind"),
        [(path, *_describe(parameter)) for path, parameter in report.parameters.items()],
    )
    say()
    for source in report.sources:
        shapes = ", ".join("x".join(map(str, shape)) for shape in source.input_shapes)
        say(f"data {source.name}: {_division(source)}, {source.classes} classes, {shapes}")
        say(f"  images per class: {_per_class(source)}")
        for note in source.notes:
            say(f"note: {note}")
    for model in report.models:
        say(
            f"model {model.name}: {_span(model.smallest_parameters, model.largest_parameters)} "
            f"parameters, up to {model.largest_multiply_adds:,} multiply-adds per image and "
            f"{show_bytes(model.largest_activation_bytes)} of activations per batch"
            f"{_receptive_fields(model.receptive_fields)}"
        )
    _print_infeasible(report)
    _print_violating(report)
    for warning in report.warnings[len(report.impossible) :]:
        say(f"warning: {warning}", style="yellow")


def _per_class(source: SourceReport) -> str:
    counts = [f"{name} {count:,}" for name, count in source.images_per_class.items()]
    more = f", and {len(counts) - _CLASSES_SHOWN:,} more classes (--json lists them)"
    return ", ".join(counts[:_CLASSES_SHOWN]) + (more if len(counts) > _CLASSES_SHOWN else "")


def _print_prior(study: StudyFile, prior: PriorReport) -> None:
    from hpsearch.search.starts import CANDIDATES, RANDOM_EVERY

    off = "`search: {prior: none}` switches it off"
    if not prior.is_used:
        say(f"prior {prior.name}: sampler {study.sampler.name} never draws at random, so it has no "
            f"effect; {off}")  # fmt: skip
        return
    share = format_percent(prior.known / prior.judged if prior.judged else 0.0)
    by = "a rule of thumb" if prior.name == "rule" else "a rule of thumb and recorded searches"
    exceptions = f", but not {', '.join(prior.unknown)}" if prior.unknown else ""
    if prior.by_rule_alone:
        exceptions += f"; {', '.join(prior.by_rule_alone)} by the rule alone"
    say(
        f"prior {prior.name}: of {CANDIDATES} random points the best by {by} is tried, "
        f"but for every {RANDOM_EVERY}th trial; it can judge {share} of this space{exceptions}; "
        f"{off}"
    )


def _division(source: SourceReport) -> str:
    groups = "" if source.val_groups is None else f" in {count_noun(source.val_groups, 'group')}"
    if source.folds is not None:
        return (
            f"{source.val_images:,} images{groups} in {source.folds} folds (a trial trains "
            f"{source.folds} models on up to {source.train_images:,} each; every image validates "
            "once)"
        )
    images = f"{source.train_images:,} training and "
    if source.splits is not None:
        return (
            f"{source.splits} random splits (a trial trains {source.splits} models) with {images}"
            f"validation images of their own, {source.val_images:,} in all{groups}"
        )
    return f"{images}{source.val_images:,} validation images{groups}"


def _objectives(study: StudyFile) -> str:
    goals = study.goals
    if not goals.is_multi_objective:
        return goals.objective.metric
    names, metric = " and ".join(goals.objectives), goals.objective.metric
    if goals.by_fronts:
        return f"{names} (promotion by fronts, stopping rules by {metric})"
    return f"{names} (pruning uses {metric})"


def _print_violating(report: SpaceReport) -> None:
    if not report.violating:
        return
    count = len(report.violating)
    say(
        f"{count} of the {report.tried} configurations that were tried (about "
        f"{format_percent(count / report.tried)} of the space) break a constraint and would never "
        "be trained; the sampler learns from such draws:"
    )
    for draw in report.violating[:_REASONS_SHOWN]:
        prefix = "" if draw.try_first is None else f"try_first[{draw.try_first}]: "
        say(f"  {prefix}{draw.reason}")


def _print_infeasible(report: SpaceReport) -> None:
    if not report.tried:
        return  # a training loop of the study's own builds the models
    if not report.infeasible:
        say(f"all of the {report.tried} configurations that were tried can be built")
        return
    say()
    say(
        f"{len(report.infeasible)} of the {report.tried} configurations that were tried can't be "
        "built; a search records such draws and learns from them, and they use no budget:"
    )
    by_reason: dict[str, list[Infeasible]] = {}
    for draw in report.infeasible:
        by_reason.setdefault(draw.reason, []).append(draw)
    commonest = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    for reason, draws in commonest[:_REASONS_SHOWN]:
        try_first = draws[0].try_first
        source = f"try_first[{try_first}]" if try_first is not None else f"{len(draws)} x"
        say(f"  {source}: {reason}")
        if draws[0].params:
            say(f"     e.g. {show_params(draws[0].params)}")
    if len(by_reason) > _REASONS_SHOWN:
        say(f"  and {len(by_reason) - _REASONS_SHOWN} other reasons (--json lists them)")


def _describe(parameter: Parameter) -> tuple[str, str]:
    from hpsearch.study_file.space import Choice, label

    guess = parameter.guess
    prior = [] if guess is None else [f"prior {show(label(guess.value))} ({guess.confidence})"]
    if isinstance(parameter, Choice):
        values = ", ".join(show(level) for level in parameter.labels)
        return values, ", ".join(["choice", *prior])
    kind = ["log" if parameter.log else "linear", "integer" if parameter.integer else "float"]
    step = parameter.step
    if step is not None and not (parameter.integer and step == 1):
        kind.append(f"step {show(step)}")
    return f"{show(parameter.low)} .. {show(parameter.high)}", ", ".join([*kind, *prior])


def _receptive_fields(fields: tuple[tuple[int, int], tuple[int, int]] | None) -> str:
    if fields is None:
        return ""
    smallest, largest = ("x".join(map(str, field)) for field in fields)
    span = smallest if smallest == largest else f"{smallest} to {largest}"
    return f"; its last convolution covers {span} pixels"


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
