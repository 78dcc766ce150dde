"""studies: which files can be launched by name, what the database holds, and how far each is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, JsonOption, StorageOption
from hpsearch.cli.terminal.output import print_json, say, show, show_time, table
from hpsearch.errors import NothingStored
from hpsearch.results.opening import database_for_reading, head_of

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord


def studies(
    storage: StorageOption = DEFAULT_STORAGE,
    upgrade: Annotated[
        bool,
        typer.Option(
            "--upgrade",
            help="First bring tables of an older hpsearch up to date. Its workers must be stopped.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the study files that can be launched by name, and the studies in the database.

    \b
    hpsearch studies
    hpsearch studies --storage postgresql://me@db/search --json
    """
    if upgrade:
        _upgrade(storage, stderr=as_json)
    stored = _stored(storage)
    files = _files({each["study"]: each for each in stored})
    if as_json:
        print_json({"files": files, "stored": stored})
        return
    say("Study files", style="bold")
    table(
        ("name", "data", "budget", "state", "description"),
        [
            (
                each["name"] if each["packaged"] else each["path"],
                each["data"],
                f"{show(each['trials'])} x {show(each['epochs_per_trial'])}",
                each["state"],
                each["description"],
            )
            for each in files
        ],
        whole=("name", "data", "budget", "state"),
    )
    say()
    say("Launched studies", style="bold")
    if not stored:
        say("none yet; begin with: hpsearch launch --study quickstart --workers 2")
        return
    table(
        ("name", "state", "finished", "best", "trained", "launched"),
        [
            (
                each["study"],
                each["state"],
                f"{each['finished']}/{each['budget']['trials']}",
                None if each["best"] is None else each["best"]["value"],
                show_time(each["compute_seconds"]),
                str(each["created_at"])[:10],
            )
            for each in stored
        ],
        whole=("state", "finished", "best", "trained", "launched"),
    )


def _upgrade(storage: str, *, stderr: bool) -> None:
    from hpsearch.search.schema_version import head_revision, upgrade_tables
    from hpsearch.search.storage import Database

    with closing(Database(storage)) as database:
        found = upgrade_tables(database)
        told = (
            f"has this version's schema, {head_revision()}"
            if found is None
            else f"was upgraded from schema {found} to {head_revision()}"
        )
        say(f"{database.display_url} {told}", stderr=stderr)


def _files(stored: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    from hpsearch.study_file.shipped import packaged, shipped_studies

    found = []
    for name, path in shipped_studies().items():
        head = head_of(path)
        budget, data = head.get("budget"), head.get("data")
        budget = budget if isinstance(budget, dict) else {}
        launched = stored.get(str(head.get("study")))
        found.append(
            {
                "name": name,
                "path": str(path),
                "packaged": path.parent == packaged(),
                "description": head.get("description") or "",
                "data": _source(data),
                "trials": budget.get("trials"),
                "epochs_per_trial": budget.get("epochs_per_trial"),
                "state": None if launched is None else launched["state"],
            }
        )
    return found


def _source(data: object) -> str | None:
    """Return the name of a file's data source, however it is written."""
    source = data.get("source") if isinstance(data, dict) else None
    if isinstance(source, dict):
        return ", ".join(map(str, source))
    return source if isinstance(source, str) else None


def _stored(storage: str) -> list[dict[str, Any]]:
    """Return a summary of every study in the database; none where there is no database yet."""
    from hpsearch.results.records import read_study
    from hpsearch.results.summary import summary
    from hpsearch.search import studies as stored_studies

    try:
        with database_for_reading(storage) as database:
            found = []
            for each in stored_studies.everything(database):
                record = read_study(database, each.name)
                found.append(
                    {
                        **summary(record),
                        "finished": record.counts.finished,
                        "state": _state(record),
                        "objective": record.objective.metric,
                        "created_at": each.created_at,
                    }
                )
            return found
    except NothingStored:
        return []


def _state(record: StudyRecord) -> str:
    if record.is_finished:
        return "finished"
    if record.counts.running:
        return f"running ({record.counts.running})"
    return "paused" if record.counts.total else "new"
