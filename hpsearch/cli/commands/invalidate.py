"""invalidate: excludes a trial whose value can't be trusted, and records the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, JsonOption, StorageOption, StoredStudyOption
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.errors import UserError
from hpsearch.metrics import MetricFormat
from hpsearch.results.opening import database_for_reading, record_of

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.search.database.storage import Database


def invalidate(
    study: StoredStudyOption,
    number: Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.")],
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="Why its value can't be trusted."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Raise the budget by one trial to replace it.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Declare it valid again.")] = False,
    storage: StorageOption = DEFAULT_STORAGE,
    as_json: JsonOption = False,
) -> None:
    """Declare a finished trial invalid if its value can't be trusted: it no longer counts.

    It has no rank, can't win and isn't a finalist, and the sampler and the pruner ignore it. Its
    row, curve and reason stay. It has used its part of the budget; --again raises the budget by one
    trial.

    \b
    hpsearch invalidate --study quickstart 17 --reason "wrong labels in that run"
    hpsearch invalidate --study quickstart 17 --undo
    """
    if undo and (reason is not None or again):
        raise typer.BadParameter(
            "--undo declares the trial valid again, so it takes no --reason and no --again."
        )
    if not undo and reason is None:
        raise typer.BadParameter(
            '--reason "TEXT" must give the reason why its value can\'t be trusted.'
        )
    from hpsearch.results.planned import parent_of
    from hpsearch.search.ledger import validity

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        if (parent := parent_of(record.study)) is not None:
            advice = ""
            if parent.kind == "confirmation":
                advice = f", or start a new confirmation with `{parent.command} --again`"
            raise UserError(
                f"the next trainings of {record.study.name!r}, the {parent.kind} of "
                f"{parent.search!r}, follow from those before, so none can be removed; declare the "
                f"trial invalid in {parent.search!r}{advice}"
            )
        trial = record.trial(number)
        if reason is None:
            validity.reinstate(database, record.study.study_id, trial.ticket, record.goals)
        else:
            validity.invalidate(database, record.study.study_id, trial.ticket, reason, again=again)
        content = _content(database, record.study.name, number)
    if as_json:
        print_json(content)
    else:
        _print(content, record, undo=undo)


def _content(database: Database, name: str, number: int) -> dict[str, Any]:
    from hpsearch.results.confirmation.stored import invalid_finalists, newest
    from hpsearch.results.ranking import best
    from hpsearch.results.records import read_study

    record = read_study(database, name)
    trial, leader = record.trial(number), best(record)
    confirmation = newest(database, name)
    finalists = {} if confirmation is None else invalid_finalists(record, confirmation)
    declaration = trial.invalid
    return {
        "study": name,
        "number": number,
        "state": trial.state.value,
        "invalid": declaration
        and {"reason": declaration.reason, "at": declaration.at, "was": declaration.before.value},
        "budget": record.study.trial_budget,
        "best": None if leader is None else {"number": leader.number, "value": leader.value},
        "confirmation": confirmation.study.name
        if confirmation is not None and number in finalists
        else None,
    }


def _print(summary: dict[str, Any], before: StudyRecord, *, undo: bool) -> None:
    name, number = summary["study"], summary["number"]
    if undo:
        say(f"{name}: trial {number} is {summary['state']} again, and it counts")
    else:
        declaration = summary["invalid"]
        say(f"{name}: trial {number} ({declaration['was']}) is invalid: {declaration['reason']}")
        say("It has no rank any more, and the sampler ignores it; `--undo` declares it valid again")
    budget, old = summary["budget"], before.study.trial_budget
    if budget != old:
        go_on = ": launch the study again" if budget > old else ""
        say(f"The budget is {budget} trials instead of {old}{go_on}")
    elif not undo:
        say(f"It still uses one of the budget's {budget} trials (--again adds one more)")
    leader = summary["best"]
    form = MetricFormat(before.objective.metric)
    winner = (
        "none" if leader is None else f"trial {leader['number']} ({form.value(leader['value'])})"
    )
    say(f"Best now: {winner}")
    if summary["confirmation"] is not None:
        say(
            f"It was a finalist of {summary['confirmation']}: start a new confirmation with "
            f"`hpsearch confirm --study {name} --again`"
        )
