"""learn: results from elsewhere become knowledge of a study's sampler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, JsonOption, StorageOption, StoredStudyOption
from hpsearch.cli.storage_option import warn_of_password
from hpsearch.cli.terminal.output import print_json, say, show_params, table
from hpsearch.errors import NothingStored, UnknownName, UserError
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading, record_of, study_of

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.results.warm_start.check import CheckedRow, CheckedSource, ColumnMapping
    from hpsearch.results.warm_start.source import Source
    from hpsearch.search.database.storage import Database
    from hpsearch.study_file.study import StudyFile

#: Rows that are listed; --json lists all.
_ROWS_SHOWN = 40


def learn(
    study: StoredStudyOption,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE.csv|STUDY", help="A table of runs, or another study's name."
        ),
    ] = None,
    from_storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=warn_of_password,
            help="The other study's database, hpsearch's or Optuna's.  [dim]default: --storage[/]",
        ),
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=PATH",
            help="This column is that parameter; COLUMN= ignores it. May be repeated.",
        ),
    ] = None,
    common: Annotated[
        list[str] | None,
        typer.Option(
            "--fix",
            metavar="PATH=VALUE",
            help="A value that all rows have in common. May be repeated.",
        ),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="The column of the objective; METRIC=COLUMN if the study has several.",
        ),
    ] = None,
    unit: Annotated[
        Literal["auto", "share", "percent"],
        typer.Option(help="How accuracies are written: 0.8391, or 83.91."),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show which results would be added, and store nothing."),
    ] = False,
    forget: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Remove the results of this source."),
    ] = None,
    storage: StorageOption = DEFAULT_STORAGE,
    as_json: JsonOption = False,
) -> None:
    """Give a study's sampler results from elsewhere: a table of runs, or another study.

    Each row is checked against the study's space. The results don't become trials: they are in no
    count, ranking or report. Adding the same results again changes nothing.

    \b
    hpsearch learn --study training --from wandb_export.csv --dry-run
    hpsearch learn --study training --from runs.csv --value "val acc" --fix optimizer.sgd.weight_decay=1e-4
    hpsearch learn --study training --from training_narrow
    hpsearch learn --study training --from tuning --from-storage sqlite:///optuna.db
    """  # noqa: E501
    if (source is None) == (forget is None):
        raise typer.BadParameter("--from FILE.csv|STUDY, or --forget SOURCE, must be given.")
    from hpsearch.search import prior_results

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        study_id = record.study.study_id
        if source is None:
            _forget(database, record, forget or "", as_json=as_json)
            return
        target = _learning_study(record)
        mapping = _column_mapping(record, mapped or (), common or (), value or (), unit)
        check = _look(database, record, target, source, from_storage, mapping)
        added = 0
        if not dry_run:
            added = prior_results.add(database, study_id, check.source, check.results)
        content = _as_json(record, check, added, dry_run=dry_run)
    if as_json:
        print_json(content)
    else:
        _print(check, content)
    if not check.results:
        raise UserError(f"no result can be used from {check.source}: see the reasons above")


def _learning_study(record: StudyRecord) -> StudyFile:
    from hpsearch.results.planned import parent_of
    from hpsearch.search.samplers import SAMPLERS

    if (parent := parent_of(record.study)) is not None:
        raise UserError(
            "only a search can get results from elsewhere, but "
            f"{record.study.name!r} is the {parent.kind} of {parent.search!r}"
        )
    file = study_of(record)
    if not getattr(SAMPLERS.build(file.sampler), "learns", False):
        raise UserError(
            f"the sampler must learn from results, but {record.study.name!r} "
            f"has {file.sampler.name}, which doesn't use any; use forest, tpe or gp in a study "
            "of another name"
        )
    return file


def _column_mapping(
    record: StudyRecord,
    mapped: Sequence[str],
    common: Sequence[str],
    values: Sequence[str],
    unit: Literal["auto", "share", "percent"],
) -> ColumnMapping:
    from hpsearch.results.warm_start.check import ColumnMapping

    metrics = record.goals.metrics
    columns: dict[str, str] = {}
    for text in values:
        metric, sign, column = text.partition("=")
        if sign and metric in metrics:
            columns[metric] = column
        elif record.goals.is_multi_objective:
            raise UserError(
                f"--value must be METRIC=COLUMN with one of the metrics {', '.join(metrics)}, but "
                f"got {text}"
            )
        else:
            columns[metrics[0]] = text
    return ColumnMapping(
        mapped=dict(_pair("--map COLUMN=PATH", text) for text in mapped),
        common=dict(_pair("--fix PATH=VALUE", text) for text in common),
        values=columns,
        unit=unit,
    )


def _pair(rule: str, text: str) -> tuple[str, str]:
    name, sign, value = text.rpartition("=") if rule.startswith("--map") else text.partition("=")
    if not sign or not name:
        raise UserError(f"an option must be {rule}, but got {text}")
    return name, value


def _look(
    database: Database,
    record: StudyRecord,
    target: StudyFile,
    name: str,
    from_storage: str | None,
    mapping: ColumnMapping,
) -> CheckedSource:
    from hpsearch.results.warm_start.check import check
    from hpsearch.results.warm_start.csv_file import read_csv

    path = Path(name)
    if from_storage is None and (path.suffix.lower() == ".csv" or path.is_file()):
        source = read_csv(path, ignored=[name for name, to in mapping.mapped.items() if not to])
    else:
        source = _study_source(database, record, name, from_storage)
    epochs = record.study.epochs_per_trial
    return check(source, target.space, record.goals, mapping, epochs=epochs)


def _study_source(
    database: Database, record: StudyRecord, name: str, from_storage: str | None
) -> Source:
    from hpsearch.results.warm_start.studies import from_hpsearch, from_optuna

    url = from_storage or database.url.render_as_string(hide_password=False)
    try:
        with database_for_reading(url) as other_database:
            other = record_of(other_database, name)
            same_place = from_storage is None or other_database.url == database.url
            if same_place and other.study.study_id == record.study.study_id:
                raise UserError(
                    f"a study already uses its own trials, so name another study than {name!r}"
                )
            document = record.study.document
            return from_hpsearch(other_database, other, study_of(other), record.goals, document)
    except (NothingStored, UnknownName):
        return from_optuna(url, name, record.goals)


def _forget(database: Database, record: StudyRecord, source: str, *, as_json: bool) -> None:
    from hpsearch.search import prior_results

    names = [source.name for source in prior_results.sources(database, record.study.study_id)]
    if source not in names:
        raise UnknownName("source of knowledge", source, names)
    count = prior_results.remove(database, record.study.study_id, source)
    if as_json:
        print_json({"study": record.study.name, "source": source, "forgotten": count})
    else:
        say(f"{record.study.name}: {count_noun(count, 'result')} of {source} forgotten")


def _as_json(
    record: StudyRecord, check: CheckedSource, added: int, *, dry_run: bool
) -> dict[str, Any]:
    usable = len(check.results)
    return {
        "study": record.study.name,
        "source": check.source,
        "dry_run": dry_run,
        "rows": len(check.rows),
        "usable": usable,
        "skipped": len(check.rows) - usable,
        "added": added,
        "columns": dict(check.read_from),
        "caveats": list(check.caveats),
        "results": [
            {
                "place": row.place,
                "values": None if row.result is None else list(row.result.values),
                "params": None if row.result is None else dict(row.result.params),
                "skipped": row.refused,
            }
            for row in check.rows
        ],
    }


def _print(check: CheckedSource, summary: dict[str, Any]) -> None:
    say(f"{summary['study']} learns from {summary['source']}", style="bold")
    if summary["columns"]:
        columns = ", ".join(f"{path} from {name!r}" for path, name in summary["columns"].items())
        say(f"read: {columns}")
    for caveat in summary["caveats"]:
        say(f"warning: {caveat}", style="yellow")
    table(
        ("row", "value", "parameters, or why it is skipped"), map(_line, _rows_to_list(check.rows))
    )
    if len(check.rows) > _ROWS_SHOWN:
        say(f"and {len(check.rows) - _ROWS_SHOWN} more (--json lists them)")
    skipped = f", {summary['skipped']} skipped" if summary["skipped"] else ""
    if summary["dry_run"]:
        say(
            f"{summary['usable']} of {count_noun(summary['rows'], 'row')} usable{skipped}; "
            "nothing stored"
        )
        return
    before = summary["usable"] - summary["added"]
    twice = f", {before} known before or twice" if before else ""
    say(f"{count_noun(summary['added'], 'result')} learned{twice}{skipped}; they are no trials")


def _rows_to_list(rows: Sequence[CheckedRow]) -> Sequence[CheckedRow]:
    """Return the rows to list, in their order; if there are too many, skipped ones stay."""
    by_priority = sorted(rows, key=lambda row: row.result is not None)
    ids = {id(row) for row in by_priority[:_ROWS_SHOWN]}
    return [row for row in rows if id(row) in ids]


def _line(row: CheckedRow) -> tuple[str, Any, str]:
    if row.result is None:
        return row.place, None, f"skipped: {row.refused}"
    values = row.result.values
    cell = values[0] if len(values) == 1 else ", ".join(f"{value:.4g}" for value in values)
    return row.place, cell, show_params(row.result.params)
