"""evaluate: the winner on the test images, once."""

from __future__ import annotations

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
from hpsearch.formatting import count_noun
from hpsearch.metrics import SHARE, MetricFormat
from hpsearch.results.opening import database_for_reading, record_of, study_of

if TYPE_CHECKING:
    from hpsearch.results.final_evaluations import FinalEvaluation
    from hpsearch.results.records import StudyRecord


def evaluate(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    runs: RunsOption = DEFAULT_RUNS,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, mps, cuda:0.")] = "auto",
    data: DataOption = None,
    pick: PickOption = None,
    mirrored: Annotated[
        bool,
        typer.Option("--mirrored", help="Also average each image with its mirror image."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the winner on the test images: once, when the search is over.

    If the search was confirmed, all trainings of the confirmed winner are evaluated, else the best
    trial. No other command opens the test images. The study counts its test evaluations: a second
    one may be influenced by the first, so it is no longer a test.

    \b
    hpsearch evaluate --study quickstart
    hpsearch evaluate --study quickstart --mirrored
    """
    from hpsearch.results.confirmation.reading import read_confirmation
    from hpsearch.results.confirmation_gap import find_test_gap
    from hpsearch.results.final_evaluations import evaluations
    from hpsearch.workers.winner.final_evaluation import evaluate_winner, evaluation_warnings

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        before = evaluations(database, record.study.study_id)
        evaluation = evaluate_winner(
            database,
            record,
            study_of(record),
            runs=runs,
            device=device,
            data=data,
            pick=pick,
            mirrored=mirrored,
        )
        verdict = read_confirmation(database, record)
    gap = None
    if verdict is not None:
        gap = find_test_gap(verdict, evaluation, record.study.document)
    for warning in evaluation_warnings(record, before):
        say(f"warning: {warning}", stderr=True)
    if as_json:
        head = {"study": record.study.name, "opened": len(before) + 1}
        outside = None if gap is None else gap.to_json()
        content = {**head, "outside_confirmed": outside}
        print_json({**content, **asdict(evaluation), **evaluation.metrics()})
        return
    if gap is not None:
        print_gap(gap)
    _print(record, evaluation)
    if gap is None and verdict is not None and verdict.winner == evaluation.trial:
        value = evaluation.value_of(verdict.metric)
        if value is not None:
            print_agreement(record, verdict, value)


def _print(record: StudyRecord, evaluation: FinalEvaluation) -> None:
    from hpsearch.results.winner import unconfirmed_sentence

    low, high = evaluation.interval
    winner = record.trial(evaluation.trial)
    seeds = evaluation.seeds
    trainings = f"confirmed, {count_noun(len(seeds), 'training')}" if seeds else "1 training"
    if evaluation.models > max(1, len(seeds)):
        trainings += f" of {evaluation.models // max(1, len(seeds))} models each, one for each fold"
    say(
        f"{record.study.name}: trial {evaluation.trial} ({trainings}), weights of epoch "
        f"{evaluation.epoch}"
    )
    mean = "mean " if evaluation.models > 1 else ""
    say(
        f"{mean}test accuracy {SHARE.value(evaluation.accuracy)} on {evaluation.sample} "
        f"(95 % interval over {evaluation.over} {SHARE.interval((low, high))})",
        style="bold",
    )
    say(
        f"test loss {MetricFormat('val_loss').value(evaluation.loss)}  "
        f"macro F1 {SHARE.value(evaluation.macro_f1)}  "
        f"balanced accuracy {SHARE.value(evaluation.balanced_accuracy)}"
    )
    for name, value in evaluation.others.items():
        form, interval = MetricFormat(name), evaluation.interval_of(name)
        over = f" (95 % interval over {evaluation.over} {form.interval(interval)})"
        say(
            f"test {name.removeprefix('val_')} {form.value(value)}"
            + ("" if interval is None else over)
        )
    if evaluation.mirrored is not None:
        say(
            f"with mirror images {mean}test accuracy "
            f"{SHARE.value(evaluation.mirrored['accuracy'])}, loss "
            f"{MetricFormat('val_loss').value(evaluation.mirrored['loss'])} (not part of any "
            "other figure; other commands don't mirror)"
        )
    if not seeds:
        say(unconfirmed_sentence(record, winner))
    else:
        accuracies = ", ".join(SHARE.value(accuracy) for accuracy in evaluation.accuracies)
        say(f"of each training: {accuracies}")
    title = "Test images, of all trainings" if evaluation.models > 1 else "Test images"
    print_confusion(title, evaluation.class_names, evaluation.confusion)
