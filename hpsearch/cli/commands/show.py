"""show: every trial of a study, or one of them on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    JsonOption,
    RunsOption,
    StorageOption,
    StoredStudyOption,
)
from hpsearch.cli.terminal.front import print_warnings
from hpsearch.cli.terminal.output import (
    print_json,
    say,
    show_params,
    show_time,
    table,
)
from hpsearch.metrics import MetricFormat
from hpsearch.results.opening import database_for_reading, record_of

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord

#: Failed trials that ``show`` lists with their reasons.
_FAILURES_SHOWN = 5


def show_trial(
    study: StoredStudyOption,
    number: Annotated[
        int | None,
        typer.Argument(metavar="TRIAL", help="A trial's number. Without it: every trial."),
    ] = None,
    storage: StorageOption = DEFAULT_STORAGE,
    runs: RunsOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Show one trial: parameters, curve, attempts, errors, files. Or list every trial.

    \b
    hpsearch show --study quickstart 17
    hpsearch show --study quickstart
    """
    from hpsearch.cli.terminal.trial_page import draw_page, print_page, trial_page
    from hpsearch.reporting.status import winners
    from hpsearch.results.deadline.sentence import deadline_state
    from hpsearch.results.trial_attributes import infeasible_draw

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        if number is None:
            under = deadline_state(database, record)
            _print_trials(record, winners(database, record), as_json=as_json)
            if under is not None:
                say(under.sentence, stderr=as_json)
            return
        draw = infeasible_draw(database, record.study.study_id, number)
        page = (
            trial_page(database, record, record.trial(number), runs)
            if draw is None
            else draw_page(record, draw)
        )
    if as_json:
        print_json(page)
    else:
        print_page(page)


def _print_trials(record: StudyRecord, marks: Mapping[int, str], *, as_json: bool) -> None:
    from hpsearch.results.ranking import ranked

    print_warnings(record, stderr=as_json)
    ranks = {trial.ticket: rank for rank, trial in enumerate(ranked(record), start=1)}
    order = sorted(record.trials, key=lambda trial: ranks.get(trial.ticket, len(ranks) + 1))
    if as_json:
        print_json(
            [
                {
                    "rank": ranks.get(trial.ticket),
                    "number": trial.number,
                    "ticket": trial.ticket,
                    "state": trial.state.value,
                    "value": trial.value,
                    **(
                        {}
                        if record.goals.is_single_unconstrained
                        else {"figures": dict(trial.metrics)}
                    ),
                    "epochs": trial.epochs_done,
                    "attempts": trial.attempts,
                    "compute_seconds": trial.compute_seconds,
                    "params": record.values(trial.params),
                    **({"winner": marks[trial.ticket]} if trial.ticket in marks else {}),
                    **({} if trial.invalid is None else {"invalid": trial.invalid.reason}),
                    **({"flaws": trial.flaws} if trial.flaws else {}),
                }
                for trial in order
            ]
        )
        return
    paths = record.paths
    others = tuple(name for name in record.goals.metrics if name != record.objective.metric)
    table(
        (
            "rank",
            "trial",
            "state",
            record.objective.metric,
            *others,
            "epochs",
            "time",
            "parameters" if record.goals.is_single_unconstrained else "configuration",
            "",
        ),
        [
            (
                ranks.get(trial.ticket),
                trial.number,
                f"{trial.state.value} (!)" if trial.flaws else trial.state.value,
                MetricFormat(record.objective.metric).value(trial.value),
                *(MetricFormat(name).value(trial.metrics.get(name)) for name in others),
                trial.epochs_done,
                show_time(trial.compute_seconds),
                show_params(record.values(trial.params), paths),
                marks.get(trial.ticket, ""),
            )
            for trial in order
        ],
    )
