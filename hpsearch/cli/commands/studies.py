"""studies: which files can be launched by name, what the database contains, and how far each is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    JsonOption,
    RunsOption,
    StorageOption,
)
from hpsearch.cli.terminal.output import print_json, say, show, show_bytes, show_time, table
from hpsearch.errors import NothingStored, UserError
from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.opening import database_for_reading, head_of

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.workers.deleting import StudyToDelete
    from hpsearch.workers.runs_place.place import Runs


def studies(
    storage: StorageOption = DEFAULT_STORAGE,
    upgrade: Annotated[
        bool,
        typer.Option(
            "--upgrade",
            help="Upgrade the tables of an older hpsearch. Stop all workers first.",
        ),
    ] = False,
    delete: Annotated[
        str | None,
        typer.Option(
            "--delete",
            metavar="NAME",
            help="Delete this study: its trials, its confirmations, its files below --runs.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    runs: RunsOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """List the study files that can be launched by name, and the studies in the database.

    --delete deletes a study of the database, after a question. No worker may be running on it.

    \b
    hpsearch studies
    hpsearch studies --storage postgresql://me@db/search --json
    hpsearch studies --delete quickstart
    """
    if delete is not None:
        _delete(storage, delete, runs, yes=yes, as_json=as_json)
        return
    if upgrade:
        _upgrade(storage, stderr=as_json)
    summaries, unusable = _stored_studies(storage)
    files = _files({summary["study"]: summary for summary in summaries})
    if as_json:
        print_json({"files": files, "stored": summaries, "unusable": unusable})
        return
    say("Study files", style="bold")
    table(
        ("name", "data", "budget", "state", "description"),
        [
            (
                file["name"] if file["packaged"] else file["path"],
                file["data"],
                f"{show(file['trials'])} x {show(file['epochs_per_trial'])}",
                file["state"],
                file["description"],
            )
            for file in files
        ],
        whole=("name", "data", "budget", "state"),
    )
    say()
    say("Launched studies", style="bold")
    for name, reason in unusable.items():
        say(f"{name}: {reason}")
    if not summaries:
        if not unusable:
            say("none yet; start with: hpsearch launch --study quickstart --workers 2")
        return
    table(
        ("name", "state", "finished", "best", "trained", "launched"),
        [
            (
                summary["study"],
                summary["state"],
                f"{summary['finished']}/{summary['budget']['trials']}",
                None
                if summary["best"] is None
                else MetricFormat(summary["objective"]).value(summary["best"]["value"]),
                show_time(summary["compute_seconds"]),
                str(summary["created_at"])[:10],
            )
            for summary in summaries
        ],
        whole=("state", "finished", "best", "trained", "launched"),
    )


def _delete(storage: str, name: str, runs: Runs, *, yes: bool, as_json: bool) -> None:
    from hpsearch.workers.deleting import delete, plan_deletion

    with database_for_reading(storage) as database:
        plan = plan_deletion(database, name, runs)
        for study in plan.studies:
            say(_deletion_line(study), stderr=as_json)
        if not yes:
            _ask(name)
        running = sum(study.rows.running for study in plan.studies)
        if running:
            say(
                f"{count_noun(running, 'trial')} may still be running; watching for one lease",
                stderr=True,
            )
        left = delete(database, plan)
    for folder in left:
        say(f"{folder} could not be removed; remove it by hand", stderr=True)
    if as_json:
        print_json({"deleted": [study.rows.name for study in plan.studies]})
    else:
        say(f"deleted: {', '.join(study.rows.name for study in plan.studies)}", style="bold")


def _deletion_line(study: StudyToDelete) -> str:
    rows = study.rows
    if rows.left_over:
        trials = (
            f"left over: {count_noun(rows.trials, 'trial')} in the ledger, none in Optuna's tables"
        )
    else:
        trials = f"{count_noun(rows.trials, 'trial')}, {rows.complete} complete"
    files = "no files on this host"
    if study.folder is not None and study.files:
        files = f"{count_noun(study.files, 'file')} ({show_bytes(study.bytes)})"
        files += f" in {study.folder.files.where()}"
    return f"{rows.name}: {trials}; {files}"


def _ask(name: str) -> None:
    """Ask on a terminal. Raises ``UserError`` if the answer is no, or there is no terminal."""
    if not sys.stdin.isatty():
        raise UserError(
            f"deleting study {name!r} must be confirmed, but there is no "
            "terminal to ask on; add --yes"
        )
    if not typer.confirm(f"Delete study {name}? This can't be undone"):
        raise UserError("nothing was deleted")


def _upgrade(storage: str, *, stderr: bool) -> None:
    from hpsearch.search.database.schema_version import head_revision, upgrade_tables
    from hpsearch.search.database.storage import Database

    with closing(Database(storage)) as database:
        revision = upgrade_tables(database)
        text = (
            f"has this version's schema, {head_revision()}"
            if revision is None
            else f"was upgraded from schema {revision} to {head_revision()}"
        )
        say(f"{database.display_url} {text}", stderr=stderr)


def _files(summaries: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    from hpsearch.study_file.shipped import packaged, shipped_studies

    files = []
    for name, path in shipped_studies().items():
        head = head_of(path)
        budget, data = head.get("budget"), head.get("data")
        budget = budget if isinstance(budget, dict) else {}
        summary = summaries.get(str(head.get("study")))
        files.append(
            {
                "name": name,
                "path": str(path),
                "packaged": path.parent == packaged(),
                "description": head.get("description") or "",
                "data": _source(data),
                "trials": budget.get("trials"),
                "epochs_per_trial": budget.get("epochs_per_trial"),
                "state": None if summary is None else summary["state"],
            }
        )
    return files


def _source(data: object) -> str | None:
    """Return the name of a file's data source, however it is written."""
    source = data.get("source") if isinstance(data, dict) else None
    if isinstance(source, dict):
        return ", ".join(map(str, source))
    return source if isinstance(source, str) else None


def _stored_studies(storage: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a summary of every study in the database, and why others can't be used.

    Nothing if there is no database yet.
    """
    from hpsearch.results.records import read_study
    from hpsearch.results.summary import summary
    from hpsearch.search.ledger import studies as stored_studies

    try:
        with database_for_reading(storage) as database:
            summaries = []
            for study in stored_studies.everything(database):
                record = read_study(database, study.name)
                summaries.append(
                    {
                        **summary(record),
                        "finished": record.counts.finished,
                        "state": _state(record),
                        "objective": record.objective.metric,
                        "created_at": study.created_at,
                    }
                )
            return summaries, stored_studies.unusable(database)
    except NothingStored:
        return [], {}


def _state(record: StudyRecord) -> str:
    if record.is_finished:
        return "finished"
    if record.counts.running:
        return f"running ({record.counts.running})"
    return "paused" if record.counts.total else "new"
