"""storage copy: studies from one database into another, as from SQLite to Postgres and back."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from hpsearch.cli.flags import Command, Group
from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    JsonOption,
    RunsOption,
    StorageOption,
)
from hpsearch.cli.storage_option import warn_of_password
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading

app = typer.Typer(cls=Group, help="Copy studies to another database.")


@app.callback()
def _root() -> None:
    """Copy studies to another database."""


@app.command(cls=Command)
def copy(
    from_storage: Annotated[
        str,
        typer.Option(metavar="URL", callback=warn_of_password, help="The database to copy from."),
    ],
    storage: StorageOption = DEFAULT_STORAGE,
    study: Annotated[
        list[str] | None,
        typer.Option(
            "--study",
            "-s",
            metavar="NAME",
            help="Copy this study and its confirmations. May be repeated.  [dim]default: all[/]",
        ),
    ] = None,
    runs: RunsOption = DEFAULT_RUNS,
    to_runs: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Copy checkpoints and weights there, too.  "
            "[dim]default: both databases use --runs[/]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy studies into another database: trials, epochs, events, confirmations, prior results.

    No worker may run on them. The copy is compared with its source, row by row, and checked by the
    rules of `doctor`. An interrupted copy can be repeated: complete copies are only compared. The
    source keeps its studies; continue each study in one database only.

    Exit code 0: all copies are equal and complete; 1: `doctor` finds problems in a copy that its
    source doesn't have.

    \b
    hpsearch storage copy --from-storage sqlite:///hpsearch.db --storage postgresql://me@db/search
    hpsearch storage copy --from-storage postgresql://me@db/search --study mine --to-runs here/runs
    """
    from hpsearch.search.database.storage import Database
    from hpsearch.workers.copying import copy_studies
    from hpsearch.workers.runs_place.place import parse_runs

    copies: list[dict[str, Any]] = []
    with database_for_reading(from_storage) as source, closing(Database(storage)) as target:
        for study_copy, problems in copy_studies(
            source,
            target,
            study or (),
            runs=runs,
            to_runs=None if to_runs is None else parse_runs(to_runs),
        ):
            copies.append(
                {
                    "study": study_copy.name,
                    "trials": study_copy.trials,
                    "rows": study_copy.rows,
                    "existed": study_copy.existed,
                    "problems": problems,
                }
            )
            if not as_json:
                _print(copies[-1])
        if as_json:
            print_json({"to": target.display_url, "studies": copies})
        elif not copies:
            say(f"{source.display_url} has no study")
        else:
            say(
                f"{source.display_url} still has what was copied; continue each study in one "
                "database only"
            )
    if any(summary["problems"] for summary in copies):
        raise typer.Exit(1)


def _print(study_copy: dict[str, Any]) -> None:
    size = f"{count_noun(study_copy['trials'], 'trial')}, {count_noun(study_copy['rows'], 'row')}"
    state = "was there already, equal" if study_copy["existed"] else "copied and compared"
    say(f"{study_copy['study']}: {state}: {size}")
    for problem in study_copy["problems"]:
        say(f"  problem that the source doesn't have: {problem}")
