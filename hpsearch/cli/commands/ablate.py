"""ablate: changes one setting of the winner at a time, and measures the effect by experiment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.commands.planned import run_command, store_and_run
from hpsearch.cli.notify import NotifyOption
from hpsearch.cli.options import (
    EngineOption,
    EngineSettingOption,
    JsonOption,
    StoredStudyOption,
    at_least_one,
)
from hpsearch.cli.run_options import RunOptions, takes_run_options
from hpsearch.cli.terminal.output import say, show_time_range
from hpsearch.errors import UserError
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.cli.commands.planned import InTime
    from hpsearch.engines.profiles import Profile
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.ablation import AblateRequest, AblationRun
    from hpsearch.workers.run_config import RunConfig


@takes_run_options
def ablate(
    study: StoredStudyOption,
    *,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            min=0,
            help="The trial that is changed.  [dim]default: the confirmed winner, or the best "
            "seen[/dim]",
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameters",
            metavar="PATH",
            help="Change only this parameter (a path, or its unique end); repeat it, or separate "
            "several by commas.  [dim]default: every searched parameter[/dim]",
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pairs", metavar="A,B", help="Measure the effect of A at each value of B; repeatable."
        ),
    ] = None,
    question: Annotated[
        bool,
        typer.Option(
            "--question",
            help="Answer the study file's `question`: the effect of its parameter, at the values "
            "of those that it depends on (`by`).",
        ),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            callback=at_least_one,
            help="Fresh seeds, the same for every configuration.  [dim]default: 10[/dim]",
        ),
    ] = None,
    run: RunOptions,
    engine: EngineOption = None,
    settings: EngineSettingOption = None,
    notify: NotifyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change one setting of the winner at a time, and measure what it is worth.

    In a search, trials differ in many settings at once. Here each parameter of the winner gets its
    other values (those of a choice, the next lower and the next higher number, the value of the
    first of try_first), and everything else stays fixed. All configurations are trained with the
    same fresh seeds and compared in pairs. The answer to each change is yes (it differs), no (it
    differs by less than a point) or undecided, with an interval that is corrected for the number of
    comparisons. A difference that is settled after 4 or 7 seeds gets no more seeds. Ctrl-C saves
    checkpoints and stops; the same command continues, or prints the finished result.

    \b
    hpsearch ablate --study quickstart --workers 2
    hpsearch ablate --study quickstart --parameters batch_size,lr --seeds 5
    hpsearch ablate --study cnn_dilation --pairs conv1.dilation,conv1.kernel_size
    hpsearch ablate --study cnn_dilation --question
    """
    paths, crossings = _split(parameters), _pairs(pairs)

    def go(
        study_file: StudyFile, config: RunConfig, profile: Profile | None
    ) -> tuple[int, dict[str, Any]]:
        from hpsearch.workers.ablation import AblateRequest

        request = AblateRequest(
            trial=trial, parameters=paths, pairs=crossings, question=question, seeds=seeds
        )
        return ablate_with(study_file, config, request, profile, as_json=as_json)

    run_command("ablate", study, run, engine, settings, notify, go, as_json=as_json)


def ablate_with(
    study: StudyFile,
    run: RunConfig,
    request: AblateRequest,
    profile: Profile | None = None,
    *,
    as_json: bool,
    in_time: InTime | None = None,
) -> tuple[int, dict[str, Any]]:
    """Ablate a trial of a stored search, and print the effects unless ``as_json``.

    Args:
        study: The study file of the search.
        run: How the trainings are run.
        request: What is changed.
        profile: The engine that runs the workers; ``None``: this machine.
        as_json: Whether the caller prints the result for programs.
        in_time: What keeps it within a deadline; ``None`` without one.

    Returns:
        The exit code, and the effects for programs.

    Raises:
        UserError: The search can't be ablated, an option is wrong, or the engine refuses it.
    """
    from hpsearch.cli.terminal import live
    from hpsearch.cli.terminal.ablation import print_effects
    from hpsearch.results.ablation.stored import read_result
    from hpsearch.results.ablation.summary import summarize
    from hpsearch.results.records import read_study
    from hpsearch.workers import ablation, planned_study

    def print_time(plan: AblationRun) -> None:
        left = planned_study.time_of_trainings(
            plan.study,
            [variant.params for variant in plan.spec.variants],
            plan.spec.seeds_before + 1,
            plan.spec.trainings - plan.ended,
            run,
        )
        if left is not None:
            say(show_time_range(left.low, left.high), stderr=as_json)

    with database_for_reading(run.storage) as database:
        plan, outcome = store_and_run(
            database,
            study,
            run,
            profile,
            in_time,
            prepare=lambda search: ablation.prepare_ablation(
                database, search, study, request, data=run.data, builds_here=profile is None
            ),
            announce=partial(_print_plan, stderr=as_json),
            print_time=print_time,
            train=lambda plan, show, elsewhere: planned_study.run_plan(
                database, plan.study, run, show, elsewhere
            ),
            stderr=as_json,
        )
        result = read_result(database, read_study(database, plan.name))
    content = {**summarize(plan.name, result).to_json(), "ended": outcome.reason}
    if not as_json:
        print_effects(plan.name, result)
        if not result.progress.finished:
            ending = live.ENDINGS[outcome.reason]
            say(f"{ending}; continue: run the same command again", style="bold")
    return (1 if outcome.reason in ("failed", "left") else 0), content


def _split(values: Sequence[str] | None) -> tuple[str, ...]:
    """Return the values of a repeatable option, each of which may be several with commas."""
    parts = (part.strip() for value in values or () for part in value.split(","))
    return tuple(part for part in parts if part)


def _pairs(values: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values or ():
        parts = [part.strip() for part in value.split(",")]
        if len(parts) != 2 or not all(parts):
            raise UserError(
                f"--pairs takes two parameters with a comma between them, but got {value!r}; write "
                "--pairs A,B, once for each pair"
            )
        pairs.append((parts[0], parts[1]))
    return tuple(pairs)


def _print_plan(plan: AblationRun, *, stderr: bool) -> None:
    from hpsearch.results.ablation.sentences import held_fixed, left_out

    spec = plan.spec
    state = "new" if plan.new else f"{count_noun(plan.ended, 'training')} ended before"
    say(f"{plan.name} ({state})", style="bold", stderr=stderr)
    in_time = "" if spec.most_seeds is None else "; more or fewer, as there is time"
    say(
        f"trial {spec.trial} and {count_noun(len(spec.variants) - 1, 'changed configuration')}, "
        f"{count_noun(len(spec.contrasts), 'comparison')}, the same {spec.seeds} fresh seeds for "
        f"each{in_time}",
        stderr=stderr,
    )
    if plan.new or plan.ended < spec.trainings:
        say(held_fixed(spec), stderr=stderr)  # else it is in the result
    for line in left_out(spec):
        say(line, stderr=stderr)
    epochs = spec.trainings * plan.epochs
    say(
        f"at most {count_noun(spec.trainings, 'training')} of "
        f"{count_noun(plan.epochs, 'epoch')}: {epochs:,} epochs",
        stderr=stderr,
    )
