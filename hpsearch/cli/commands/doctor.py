"""doctor: checks a stored study, and repairs what is safe to repair."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    JsonOption,
    RunsOption,
    StorageOption,
    StoredStudyOption,
)
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading, stored_name

if TYPE_CHECKING:
    from hpsearch.workers.checkup.examine import Health


def doctor(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    runs: RunsOption = DEFAULT_RUNS,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Repair what is safe to repair, and print what was done."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a stored study: every trial ended once, every epoch counted once, every file complete.

    Workers may run during the check. Exit code 0: no problem; 1: a list of problems shows what is
    wrong, where, what it means, and whether --repair can repair it.

    \b
    hpsearch doctor --study quickstart
    hpsearch doctor --study quickstart --repair
    """
    from hpsearch.workers.checkup.examine import examine
    from hpsearch.workers.checkup.repairs import make_repairs

    with database_for_reading(storage) as database:
        name = stored_name(database, study)
        health = examine(database, name, runs)
        done: list[str] = []
        if repair:
            done = make_repairs(database, health)
            health = examine(database, name, runs) if done else health
    if as_json:
        print_json(_as_json(health, done))
    else:
        _print(health, done)
    raise typer.Exit(0 if health.is_well else 1)


def _problems(health: Health) -> list[dict[str, Any]]:
    rows = [{**asdict(finding), "mendable": False} for finding in health.broken]
    files = [
        {**asdict(file_finding.finding), "mendable": file_finding.repair is not None}
        for file_finding in health.files.findings
    ]
    return rows + files


def _notes(health: Health) -> list[str]:
    gone = [
        f"{owner.name} belongs to process {owner.pid}, which is gone: the next launch takes it "
        "after its lease, --repair frees it at once"
        for owner in health.dead
    ]
    return [*health.files.notes, *gone]


def _as_json(health: Health, done: list[str]) -> dict[str, Any]:
    facts = health.facts
    return {
        "study": facts.record.study.name,
        "well": health.is_well,
        "checked": {
            "trials": len(facts.tickets),
            "epochs": sum(map(len, facts.epochs.values())),
            "events": len(facts.events),
            "files": health.files.whole,
        },
        "problems": _problems(health),
        "notes": _notes(health),
        "done": done,
    }


def _print(health: Health, done: list[str]) -> None:
    content = _as_json(health, done)
    counts, problems = content["checked"], content["problems"]
    for line in done:
        say(f"repaired: {line}")
    looked_at = ", ".join(count_noun(count, noun[:-1]) for noun, count in counts.items())
    verdict = "no problems" if not problems else count_noun(len(problems), "problem")
    say(f"{content['study']}: {verdict} in {looked_at}", style="bold" if problems else None)
    for number, problem in enumerate(problems, start=1):
        say(f"{number}. {problem['where']}: {problem['what']}")
        say(f"   rule broken: {problem['rule']}")
        say(f"   it means: {problem['means']}")
        say(
            "   repair it: hpsearch doctor --repair"
            if problem["mendable"]
            else "   --repair can't repair this; docs/reliability.md describes what to do"
        )
    for note in content["notes"]:
        say(f"note: {note}")
