"""evaluate: the winner on the test images, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    DataOption,
    JsonOption,
    PickOption,
    RunsOption,
    StorageOption,
    StoredStudyOption,
)
from hpsearch.cli.terminal.output import print_confusion, print_json, say
from hpsearch.cli.terminal.verdict import print_agreement, print_gap
from hpsearch.metrics import MetricFormat
from hpsearch.results.opening import database_for_reading, record_of, study_of
from hpsearch.wording import plural

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.results.test_openings import Opening

#: All shares are written like it.
_ACCURACY = MetricFormat("val_accuracy")


def evaluate(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    runs: RunsOption = DEFAULT_RUNS,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, mps, cuda:0.")] = "auto",
    data: DataOption = None,
    pick: PickOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the winner on the test images: once, when the search is over.

    If there is a confirmation, it evaluates all trainings of the confirmed winner, else the best
    trial. No other command opens the test images. The study counts its test evaluations: a second
    one may be influenced by the first, so it is no longer a test.

    \b
    hpsearch evaluate --study quickstart
    """
    from hpsearch.results.confirmation.reading import read_confirmation
    from hpsearch.results.test_gap import find_test_gap
    from hpsearch.results.test_openings import openings
    from hpsearch.workers.winner.final_evaluation import evaluate_winner

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        before = openings(database, record.study.study_id)
        opening = evaluate_winner(
            database, record, study_of(record), runs=runs, device=device, data=data, pick=pick
        )
        verdict = read_confirmation(database, record)
    gap = None
    if verdict is not None:
        gap = find_test_gap(verdict, opening, record.study.document)
    _warn(record, before)
    if as_json:
        counted = {"study": record.study.name, "opened": len(before) + 1}
        outside = None if gap is None else gap.to_json()
        told = {**counted, "outside_confirmed": outside}
        print_json({**told, **asdict(opening), **opening.metrics()})
        return
    if gap is not None:
        print_gap(gap)
    _print(record, opening)
    if gap is None and verdict is not None and verdict.winner == opening.trial:
        print_agreement(verdict, opening.value_of(verdict.metric))


def _warn(record: StudyRecord, before: Sequence[Opening]) -> None:
    if before:
        say(
            f"warning: the test images of study {record.study.name!r} were opened before "
            f"({plural(len(before), 'time')}): report the first value, accuracy "
            f"{_ACCURACY.value(before[0].accuracy)} of trial {before[0].trial}; later ones are "
            "optimistic if anything was chosen by an earlier one",
            stderr=True,
        )
    if not record.is_finished:
        left = record.study.trial_budget - record.counts.finished
        say(
            f"warning: {plural(left, 'trial')} of study {record.study.name!r} never ended: if the "
            "search continues, another trial may win, and its test value would be a second look",
            stderr=True,
        )


def _print(record: StudyRecord, opening: Opening) -> None:
    low, high = opening.interval
    winner = record.trial(opening.trial)
    seeds = opening.seeds
    trained = f"confirmed, {plural(len(seeds), 'training')}" if seeds else "1 training"
    if opening.models > max(1, len(seeds)):
        trained += f" of {opening.models // max(1, len(seeds))} models each, one for each fold"
    say(f"{record.study.name}: trial {opening.trial} ({trained}), weights of epoch {opening.epoch}")
    mean = "mean " if opening.models > 1 else ""
    say(
        f"{mean}test accuracy {_ACCURACY.value(opening.accuracy)} on {opening.sample} "
        f"(95 % interval over {opening.over} {_ACCURACY.interval((low, high))})",
        style="bold",
    )
    say(
        f"test loss {opening.loss:.4f}  macro F1 {_ACCURACY.value(opening.macro_f1)}  "
        f"balanced accuracy {_ACCURACY.value(opening.balanced_accuracy)}"
    )
    metric = record.objective.metric
    if not seeds:
        count = record.counts.complete
        seen = MetricFormat(metric).value(winner.value)
        say(f"{metric} had been {seen}, the best of {count}: optimistic")
    else:
        listed = ", ".join(_ACCURACY.value(each) for each in opening.accuracies)
        say(f"of each training: {listed}")
    title = "Test images, of all trainings" if opening.models > 1 else "Test images"
    print_confusion(title, opening.class_names, opening.confusion)
