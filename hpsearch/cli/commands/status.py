"""status: how far a study is, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import (
    DEFAULT_STORAGE,
    JsonOption,
    StorageOption,
    StoredStudyOption,
    more_than_zero,
)
from hpsearch.cli.terminal.front import print_best, print_warnings
from hpsearch.cli.terminal.output import console, print_json, say, show, show_time, sparkline, table
from hpsearch.formatting import count_noun, format_percent, format_percent_range
from hpsearch.metrics import MetricFormat
from hpsearch.results.opening import database_for_reading, record_of

if TYPE_CHECKING:
    from hpsearch.engines.fleet_state import FleetState
    from hpsearch.results.records import StudyRecord, TrialRecord
    from hpsearch.search.database.storage import Database

#: Failed trials that ``status`` lists with their reasons.
_FAILURES_SHOWN = 5

#: Effects of an ablation that ``status`` lists.
_EFFECTS = 8

#: Curves of running trials that ``--watch`` draws, and the columns of each.
_CURVES_SHOWN, _CURVE_WIDTH = 12, 30


def status(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat it until Ctrl-C.")] = False,
    interval: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", callback=more_than_zero, help="Time between two updates of --watch."
        ),
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Show the state of a study, and its best trial.

    \b
    hpsearch status --study quickstart
    hpsearch status --study quickstart --watch
    hpsearch status --study quickstart --json
    """
    from hpsearch.reporting.status import status_of
    from hpsearch.results.records import read_study
    from hpsearch.search.ledger.seen_events import SameLedger

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        same = SameLedger(database, record.study)
        while True:
            same.require()
            content = status_of(database, record)
            if fleets := _fleets(database, record, storage):
                content["fleets"] = [fleet.as_json() for fleet in fleets]
            curves = _curves(database, record) if watch and not as_json else []
            if watch and console().is_terminal and not as_json:
                console().clear()
            if as_json:
                print_json(content)
            else:
                _print_status(record, content)
                for fleet in fleets:
                    say(fleet.sentence())
                _print_curves(curves, record)
            if not watch or record.is_finished:
                return
            time.sleep(interval)
            record = read_study(database, record.study.name)


def _fleets(database: Database, record: StudyRecord, storage: str) -> Sequence[FleetState]:
    """Return what the engines that run workers of the study report."""
    from hpsearch.search.ledger.fleets import fleets_of

    fleets = fleets_of(database, record.study)
    if not fleets:
        return ()
    from hpsearch.engines.fleet_state import fleet_state

    states = [fleet_state(fleet, storage) for fleet in fleets]
    return [
        state
        for state in states
        if state.has_workers or (state.fleet.workers > 0 and not record.is_finished)
    ]


def _print_status(record: StudyRecord, document: Mapping[str, Any]) -> None:
    from hpsearch.study_file.study import trials_of

    counts, budget = document["trials"], document["budget"]
    say(
        f"{document['study']}: {trials_of(record.counts.finished, budget['trials'])} finished"
        + (" (every point of the space has been used)" if record.study.exhausted else ""),
        style="bold",
    )
    names = ("complete", "pruned", "failed", "running", "paused")
    say(
        ", ".join(f"{counts[name]} {name}" for name in names)
        + (f" ({counts['waiting']} at a rung)" if "waiting" in counts else "")
        + (f", {counts['invalid']} declared invalid" if "invalid" in counts else "")
        + (f"; {counts['infeasible']} infeasible draws" if counts["infeasible"] else "")
    )
    say(
        f"{count_noun(document['epochs_run'], 'epoch')} in "
        f"{show_time(document['compute_seconds'])} of training"
    )
    if "ended_by_itself" in document:
        say(document["ended_by_itself"])
    if "deadline" in document:
        say(document["deadline"]["sentence"])
    print_warnings(record)
    if document["pruning"] is not None:
        _print_pruning(document["pruning"], record.objective.metric)
    _print_failures(record)
    _print_invalid(document.get("invalid", ()))
    for knowledge in document.get("knowledge", ()):
        results = count_noun(knowledge["results"], "result")
        say(f"the sampler uses {results} from {knowledge['source']}")
    if "prior" in document:
        _print_prior(document["prior"])
    confirmation = document.get("confirmation", {})
    if (gap := confirmation.get("test_outside_confirmed")) is not None:
        say(gap["headline"], style="bold red")
    print_best(record, document)
    for sentence in document.get("interim", {}).get("sentences", ()):
        say(sentence)
    if confirmation and (document["best"] is not None or "invalid" in document):
        _print_confirmation(confirmation)
    for ablation in document.get("ablations", ()):
        _print_ablation(ablation)


def _print_ablation(document: Mapping[str, Any]) -> None:
    done = (
        "" if document["finished"] else f", {document['trainings']} of {document['planned']} done"
    )
    comparisons = count_noun(document["comparisons"], "comparison")
    answers = document["answers"]
    say(f"by experiment ({document['study']}, {comparisons}{done})")
    lines = answers or document["effects"]
    for line in lines[:_EFFECTS]:
        say(f"  {line}")
    if len(lines) > _EFFECTS:
        say(f"  and {len(lines) - _EFFECTS} more: hpsearch report")


def _print_prior(document: Mapping[str, Any]) -> None:
    starts, random = (
        count_noun(document["starts"], "start"),
        count_noun(document["random_starts"], "random one"),
    )
    share, weight = document["better_than_random"], ""
    if not document["is_off"]:
        weight = f"; it chooses {format_percent(document['weight'])} of the starts"
    if share is None:
        comparison = f"{starts} and {random}, too few to compare"
    elif document["is_off"]:
        comparison = (
            f"off for now, as its {starts} beat {random} in only {format_percent(share)} of "
        )
        comparison += "all pairs"
    else:
        comparison = f"its {starts} beat {random} in {format_percent(share)} of all pairs"
    say(
        f"prior {document['name']}: {comparison}{weight} (a study with "
        "`search: {prior: none}` switches it off)"
    )


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """One trial's curve, for ``--watch``."""

    trial: TrialRecord
    #: Whether it is the best complete one, and not a running one.
    best: bool
    values: Sequence[float]


def _curves(database: Database, record: StudyRecord) -> list[_Curve]:
    """Return the curves of the best trial and of those that run or are paused."""
    from hpsearch.results.ranking import ranked
    from hpsearch.search.ledger import queries

    leading = ranked(record)[:1]
    running = [trial for trial in record.trials if trial.state.value == "running"]
    paused = [trial for trial in record.trials if trial.state.value == "paused"]
    trials = [*leading, *running, *paused][: _CURVES_SHOWN + len(leading)]
    curves = queries.curves(database, record.study.study_id, [trial.ticket for trial in trials])
    metric = record.objective.metric
    return [
        _Curve(
            trial=trial,
            best=trial in leading,
            values=[epoch.value(metric) for epoch in curves.get(trial.ticket, [])],
        )
        for trial in trials
    ]


def _print_curves(curves: Sequence[_Curve], record: StudyRecord) -> None:
    """Draw each curve between the lowest and the highest value of all."""
    if not curves:
        return
    every = [value for curve in curves for value in curve.values if isfinite(value)]
    span = (min(every), max(every)) if every else None
    form = MetricFormat(record.objective.metric)
    say()
    table(
        ("trial", "state", "epoch", record.objective.metric, "curve"),
        [
            (
                curve.trial.number,
                "best" if curve.best else curve.trial.state.value,
                f"{curve.trial.epochs_done}/{record.study.epochs_per_trial}",
                form.value(curve.values[-1]) if curve.values else None,
                sparkline(curve.values, most=_CURVE_WIDTH, span=span),
            )
            for curve in curves
        ],
    )
    rest = record.counts.running + record.counts.paused - sum(not curve.best for curve in curves)
    if rest > 0:
        say(f"and {count_noun(rest, 'trial')} more running")


def _print_confirmation(document: Mapping[str, Any]) -> None:
    from hpsearch.results.winner import newer_trials_warning

    if document.get("damaged"):
        say(f"confirmation: {document['damaged']}", style="bold red")
        return
    if not document["finished"]:
        trainings = count_noun(document["trainings"], "training")
        say(f"confirmation: {trainings} ended so far; `hpsearch confirm` continues")
    elif document["winner"] is None:
        say(f"confirmation: every finalist failed (`hpsearch show --study {document['study']}`)")
    if newer := newer_trials_warning(document["newer_trials"]):
        say(newer)
    for trial, reason in document.get("invalid", {}).items():
        role = "winner" if trial == document["winner"] else "finalist"
        say(f"  its {role}, trial {trial}, is invalid: {reason} (`hpsearch confirm --again`)")


def _print_pruning(bill: Mapping[str, Any], metric: str) -> None:
    spared = len(bill["spared"])
    line = f"pruning saved up to {count_noun(bill['epochs_saved'], 'epoch')}"
    if bill["false_rate"] is not None:
        low, high = bill["false_interval"]
        regret = MetricFormat(metric).width(bill["regret"])
        line += (
            f"; of {count_noun(spared, 'trial')} kept by the audit {bill['falsely_pruned']} would "
            f"have been stopped falsely ({format_percent(bill['false_rate'])}; 95 %: "
            f"{format_percent_range(low, high)}), regret {regret}, for "
            f"{count_noun(bill['epochs_paid'], 'epoch')}"
        )
    say(line)
    ranks = [rung for rung in bill["rungs"] if rung["spearman"] is not None]
    if ranks:
        text = ", ".join(f"{rung['spearman']:.2f} (epoch {rung['epoch']})" for rung in ranks)
        say(f"  rank correlation with the end: {text}")


def _print_failures(record: StudyRecord) -> None:
    from hpsearch.results.error_text import first_line

    failed = [trial for trial in record.trials if trial.state.value == "failed"]
    for trial in failed[:_FAILURES_SHOWN]:
        say(f"  trial {show(trial.number)} failed: {first_line(trial.error or '')}")
    if len(failed) > _FAILURES_SHOWN:
        say(f"  and {len(failed) - _FAILURES_SHOWN} more (`show` lists every trial)")


def _print_invalid(invalid_trials: Sequence[Mapping[str, Any]]) -> None:
    for trial in invalid_trials[:_FAILURES_SHOWN]:
        say(f"  trial {show(trial['number'])} ({trial['was']}) is invalid: {trial['reason']}")
    if len(invalid_trials) > _FAILURES_SHOWN:
        say(f"  and {len(invalid_trials) - _FAILURES_SHOWN} more (`show` lists every trial)")
