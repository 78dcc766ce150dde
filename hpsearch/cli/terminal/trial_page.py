"""One trial on one page: parameters, curve, attempts, errors, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal.output import (
    print_confusion,
    say,
    show,
    show_bytes,
    show_params,
    show_time,
    sparkline,
    table,
)
from hpsearch.metrics import METRIC_COLUMNS, MetricFormat, format_metrics

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord, TrialRecord
    from hpsearch.results.trial_attributes import InfeasibleDraw
    from hpsearch.search.database.storage import Database
    from hpsearch.workers.runs_place.place import Runs

#: The metrics that fit a terminal; the JSON contains all.
_SHOWN = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")
_TIMES = ("train_seconds", "val_seconds")


def trial_page(
    database: Database, record: StudyRecord, trial: TrialRecord, runs: Runs
) -> dict[str, Any]:
    """Return everything that is known of a trial, JSON-like.

    Args:
        database: The database of the study.
        record: The study.
        trial: One of its trials.
        runs: The runs place, for the trial's files.
    """
    from hpsearch.reporting.status import winners
    from hpsearch.results import trial_attributes
    from hpsearch.results.overfitting import overfits_from
    from hpsearch.search.ledger import queries
    from hpsearch.search.ledger.events import event_log

    study_id = record.study.study_id
    complete = trial.state.value == "complete"
    curve = queries.curve(database, study_id, trial.ticket)
    events = event_log(database, study_id, trial.ticket)
    attributes = {} if trial.trial_id is None else trial_attributes.read(database, trial.trial_id)
    return {
        "study": record.study.name,
        "number": trial.number,
        "ticket": trial.ticket,
        "state": trial.state.value,
        "waits_at_epoch": trial.rung if trial.waits else None,
        "winner": winners(database, record).get(trial.ticket),
        "objective": {"metric": record.objective.metric, "at": record.objective.at},
        "value": trial.value,
        "figures": dict(trial.metrics),
        "violations": record.goals.violated(trial.metrics) if complete else [],
        "best_value": trial.best_value,
        "best_epoch": trial.best_epoch,
        "epochs": trial.epochs_done,
        "epochs_per_trial": record.study.epochs_per_trial,
        "compute_seconds": trial.compute_seconds,
        "attempts": trial.attempts,
        "owner": trial.owner,
        "params": record.values(trial.params),
        "noted": attributes,
        "curve": [
            {
                **{name: getattr(result, name) for name in (*METRIC_COLUMNS, *_TIMES)},
                **result.others,
            }
            for result in curve
        ],
        "overfits_from": overfits_from(curve),
        "events": [
            {
                "at": event.at,
                "attempt": event.attempt,
                "kind": event.kind,
                "owner": event.owner,
                "detail": dict(event.detail),
            }
            for event in events
        ],
        "error": trial.error,
        "flaws": trial.flaws,
        "invalid": None
        if trial.invalid is None
        else {
            "reason": trial.invalid.reason,
            "at": trial.invalid.at,
            "was": trial.invalid.before.value,
        },
        "files": _files(record, trial, runs),
    }


def draw_page(record: StudyRecord, draw: InfeasibleDraw) -> dict[str, Any]:
    """Return what is known of a draw that couldn't be built."""
    return {
        "study": record.study.name,
        "number": draw.number,
        "ticket": draw.ticket,
        "state": "infeasible",
        "params": record.values(draw.params),
        "reason": draw.reason,
    }


def print_page(page: Mapping[str, Any]) -> None:
    """Print what ``trial_page`` or ``draw_page`` returned."""
    mark = f" ({page['winner']})" if page.get("winner") else ""
    say(f"{page['study']}, trial {page['number']}: {page['state']}{mark}", style="bold")
    if page.get("waits_at_epoch") is not None:
        say(
            f"it is paused at the rung of epoch {page['waits_at_epoch']}: it continues "
            "from there if it is among the best, and ends when the study's budget is used up"
        )
    if page["state"] == "infeasible":
        say(f"ticket {page['ticket']} drew again; this used no budget")
        say(f"reason: {page['reason']}")
        _print_params(page["params"])
        return
    if page["invalid"] is not None:
        declaration = page["invalid"]
        say(
            f"declared invalid {declaration['at'][:19].replace('T', ' ')} UTC (it was "
            f"{declaration['was']}): {declaration['reason']}",
            style="bold red",
        )
    for flaw in page["flaws"]:
        say(flaw, style="bold red")
    metric, at = page["objective"]["metric"], page["objective"]["at"]
    form = MetricFormat(metric)
    value = form.value(page["value"])
    say(
        f"ticket {page['ticket']}, attempt {page['attempts']}"
        + (f", owned by {page['owner']}" if page["owner"] else "")
    )
    say(
        f"{metric} {value} ({at} epoch); best {form.value(page['best_value'])} at epoch "
        f"{show(page['best_epoch'])}; {page['epochs']} of {page['epochs_per_trial']} epochs in "
        f"{show_time(page['compute_seconds'])}"
    )
    if page["figures"]:
        say(format_metrics(page["figures"]))
    for violation in page["violations"]:
        say(f"no rank: {violation}")
    _print_params(page["params"])
    _print_curve(page["curve"], metric)
    if "out_of_memory" in page["noted"]:
        say(page["noted"]["out_of_memory"])
        say("counts toward the budget; the sampler treats its configuration as infeasible")
    if page["overfits_from"] is not None:
        say(f"overfits from epoch {page['overfits_from']}: validation loss rises, training falls")
    names, matrix = page["noted"].get("class_names"), page["noted"].get("val_confusion")
    if names and matrix:
        print_confusion(f"Validation images of epoch {page['epochs']}", names, matrix)
    _print_events(page["events"])
    if page["noted"]:
        say()
        say("Recorded by the worker", style="bold")
        apart = (
            "ticket",
            "val_confusion",
            "over_groups",
            "class_names",
            "images_per_class",
            "error",
            "invalid",
        )
        say(show_params({key: value for key, value in page["noted"].items() if key not in apart}))
    if page["error"]:
        say()
        say("Last error", style="bold")
        say(page["error"].rstrip())
    say()
    say("Files", style="bold")
    for file in page["files"]:
        say(f"{file['path']} ({show_bytes(file['bytes'])})")
    if not page["files"]:
        say("none on this host")


def _print_params(params: Mapping[str, Any]) -> None:
    say()
    if not params:
        say("no parameters yet")
        return
    table(("parameter", "value"), list(params.items()))


def _print_curve(curve: list[dict[str, Any]], metric: str) -> None:
    if not curve:
        return
    say()
    say(f"{metric} {sparkline([point[metric] for point in curve])}")
    others = [name for name in curve[0] if name not in METRIC_COLUMNS and name not in _TIMES]
    objective = [] if metric in _SHOWN or metric in others else [metric]
    # A study with a training loop of its own may not measure all of them
    every = (*_SHOWN, *objective, *others, *_TIMES)
    columns = [name for name in every if curve[0][name] == curve[0][name]]
    table(
        columns,
        [[_cell(name, point[name]) for name in columns] for point in curve],
    )


def _cell(name: str, value: float | None) -> Any:
    if value is None or name in ("epoch", "lr"):
        return value
    if name in _TIMES:
        return float(f"{value:.3g}")  # further digits are noise
    return MetricFormat(name).value(value)


def _print_events(events: list[dict[str, Any]]) -> None:
    say()
    from hpsearch.results.error_text import first_line

    rows = [
        (
            event["at"][:19].replace("T", " "),
            event["attempt"],
            event["kind"],
            ", ".join(
                # The whole error is printed below.
                f"{key} {first_line(show(value)) if key == 'error' else show(value)}"
                for key, value in event["detail"].items()
                if key not in ("key", "sha256")
            ),
            event["owner"],
        )
        for event in events
    ]
    table(("time (UTC)", "attempt", "event", "detail", "worker"), rows)


def _files(record: StudyRecord, trial: TrialRecord, runs: Runs) -> list[dict[str, Any]]:
    """Return the trial's files: checkpoints and best weights."""
    from hpsearch.workers.trial.run_folder import RunFolder, trial_folder

    if trial.number is None:
        return []
    files = RunFolder(runs, record.study.name, record.study.run_key).files
    return [
        {"path": files.where(name), "bytes": size}
        for name, size in files.sizes(trial_folder(trial.number)).items()
    ]
