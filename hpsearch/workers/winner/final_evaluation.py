"""The evaluation of a study's winner on the test images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

import numpy as np
import torch

from hpsearch.errors import UserError
from hpsearch.formatting import count_noun
from hpsearch.metric_registry import compute
from hpsearch.metrics import OBJECTIVES, SHARE, ValPredictions, is_share
from hpsearch.results.confirmation.contributions import predictions_of, training_values
from hpsearch.results.confirmation.over_groups import error_of
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.statistics import TrainingValues, estimate
from hpsearch.results.confirmation.stored import (
    invalid_finalists,
    newest,
    progress_of,
    trainings,
)
from hpsearch.results.final_evaluations import FinalEvaluation, record_evaluation
from hpsearch.results.planned import parent_of
from hpsearch.results.ranking import none_eligible, violators, winner_or_pick
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.data.prepare import prepare
from hpsearch.training.evaluate import Evaluation
from hpsearch.training.evaluate_test_set import TestResult, TrainedModel, evaluate_on_test
from hpsearch.workers.devices import cores, resolve_devices
from hpsearch.workers.gpu import open_device
from hpsearch.workers.runs_place.place import Runs
from hpsearch.workers.trial.run_folder import RunFolder

_T = TypeVar("_T")


def evaluate_winner(
    database: Database,
    record: StudyRecord,
    study: StudyFile,
    *,
    runs: Runs,
    device: str,
    data: Path | None,
    pick: str | None = None,
    mirrored: bool = False,
) -> FinalEvaluation:
    """Evaluate the winner's kept weights on the test images, and record the evaluation.

    The winner of a confirmed search is the confirmed one, trained with each of the report's seeds;
    otherwise it is the best trial.

    Args:
        database: The database of the study.
        record: The search.
        study: The study file of the search.
        runs: The runs place, with the kept weights.
        device: The device, as ``resolve_devices`` reads it; the first one is used.
        data: The data root; ``None``: the default one.
        pick: A point of the front, for ``ranking.winner_or_pick``, if there are several objectives;
            otherwise ``None``.
        mirrored: Whether to evaluate with the mirror image of each image, too.

    Raises:
        UserError: The study is a confirmation, trials are running (the winner may still change),
            the confirmation isn't finished, or its winner is invalid, no trial is eligible, or none
            was picked.
        CheckpointError: The winner's weights aren't below ``runs``.
    """
    _refuse_confirmation(record)
    study.require_known_model()
    counts, name = record.counts, record.study.name
    if counts.running:
        raise UserError(
            f"test images are opened once, after the search, but trials of study {name!r} are "
            f"running ({counts.running}); wait until it ends, or run `hpsearch stop --study {name}`"
        )
    several = record.goals.is_multi_objective
    confirmation = None if several or pick is not None else newest(database, name)
    _refuse_searching(confirmation)
    torch.set_num_threads(cores())
    where = resolve_devices(device)[0]
    open_device(where)
    if confirmation is None:
        trial, models, seeds = _best_seen(record, study, runs, pick)
    else:
        _refuse_invalid(record, confirmation)
        trial, models, seeds = _confirmed_winner(confirmation, study, runs)
    of_training = len(models) // max(1, len(seeds))
    result = evaluate_on_test(models, device=where, data_root=data, mirrored=mirrored)
    evaluations = result.evaluations
    config = models[0].config
    prepared = prepare(config.data, split_seed=config.split_seed, root=data)
    others = _others(result, config, prepared.class_names)
    intervals = {}
    for metric in (*OBJECTIVES, *others):
        contributions = _contributions(result, metric, of_training, prepared.class_names)
        interval = _interval(contributions, share=is_share(metric), with_seeds=bool(seeds))
        if interval is not None:
            intervals[metric] = interval
    final = FinalEvaluation(
        trial=trial,
        epoch=max(model.epoch for model in models),
        images=evaluations[0].samples,
        **_means(evaluations),
        class_names=list(prepared.class_names),
        confusion=torch.stack([evaluation.confusion for evaluation in evaluations]).sum(0).tolist(),
        seeds=seeds,
        accuracies=[
            mean(evaluation.accuracy for evaluation in part)
            for part in _parts(evaluations, of_training)
        ]
        if seeds
        else [],
        # Without seeds and groups it is Wilson's interval, which follows from the accuracy
        spread=intervals.get("val_accuracy") if seeds or result.groups is not None else None,
        models=len(evaluations),
        groups=None if result.groups is None else len(np.unique(result.groups)),
        intervals=intervals,
        others=others,
        mirrored=_means(result.mirrored) if mirrored else None,
    )
    record_evaluation(database, record.study.study_id, final)
    return final


def evaluation_warnings(record: StudyRecord, before: Sequence[FinalEvaluation]) -> list[str]:
    """Return what makes an evaluation less than a test, a sentence each.

    Args:
        record: The search.
        before: The evaluations before it.
    """
    warnings = []
    if before:
        warnings.append(
            f"the test images of study {record.study.name!r} were opened before "
            f"({count_noun(len(before), 'time')}): report the first value, accuracy "
            f"{SHARE.value(before[0].accuracy)} of trial {before[0].trial}; later ones are "
            "optimistic if anything was chosen by an earlier one"
        )
    if not record.is_finished:
        left = record.study.trial_budget - record.counts.finished
        warnings.append(
            f"{count_noun(left, 'trial')} of study {record.study.name!r} never ended: if the "
            "search continues, another trial may win, and its test value would be a second look"
        )
    return warnings


def _best_seen(
    record: StudyRecord, study: StudyFile, runs: Runs, pick: str | None
) -> tuple[int, list[TrainedModel], list[int]]:
    """Return the best (or picked) trial of the search, its models, and no seeds."""
    counts, winner = record.counts, winner_or_pick(record, pick)
    if winner is None or winner.number is None:
        if violators(record):
            raise UserError(none_eligible(record))
        raise UserError(
            f"only a complete trial can be evaluated, but study {record.study.name!r} has none "
            f"({counts.pruned} pruned, {counts.failed} failed); launch more trials"
        )
    content = _folder(record, runs).load_best(winner.number)
    config = study.trial_config(winner.params, winner.ticket)
    return winner.number, _models(config, content), []


def _confirmed_winner(
    confirmation: StudyRecord, study: StudyFile, runs: Runs
) -> tuple[int, list[TrainedModel], list[int]]:
    """Return the confirmed winner, its models, one per report seed, and these seeds."""
    progress, spec = progress_of(confirmation), spec_of(confirmation.study)
    if not progress.finished:
        raise UserError(
            f"test images are opened once, for the confirmed winner, but {confirmation.study.name} "
            f"isn't finished; continue with `hpsearch confirm --study {spec.study}`"
        )
    if progress.winner is None:
        raise UserError(
            f"only a winner can be evaluated, but in {confirmation.study.name} every finalist "
            f"failed in training; `hpsearch show --study {confirmation.study.name}` shows why"
        )
    folder = _folder(confirmation, runs)
    models, seeds = [], []
    for entry, trial in trainings(confirmation).items():
        if entry.trial != progress.winner or entry.seed not in spec.report_seeds:
            continue
        if trial.number is None:
            continue
        content = folder.load_best(trial.number)
        config = study.trial_config(trial.params, trial.ticket)
        # If the search has repeated splits, a confirmation trains one per seed
        one_split = replace(config, data=replace(config.data, splits=None))
        models += _models(one_split, content)
        seeds.append(entry.seed)
    return progress.winner, models, seeds


def _refuse_invalid(record: StudyRecord, confirmation: StudyRecord) -> None:
    winner = progress_of(confirmation).winner
    why = invalid_finalists(record, confirmation).get(-1 if winner is None else winner)
    if why is not None:
        raise UserError(
            f"test images are opened once, for a winner that can be trusted, but trial {winner} "
            f"was declared invalid ({why}); confirm the others with `hpsearch confirm --study "
            f"{record.study.name} --again`"
        )


def _refuse_confirmation(record: StudyRecord) -> None:
    if (parent := parent_of(record.study)) is not None:
        raise UserError(
            f"study {record.study.name!r} is the {parent.kind} of {parent.search!r}; name the "
            f"search: hpsearch evaluate --study {parent.search}"
        )


def _refuse_searching(confirmation: StudyRecord | None) -> None:
    if confirmation is not None and confirmation.counts.running:
        raise UserError(
            f"test images are opened once, for the confirmed winner, but {confirmation.study.name} "
            "is running; wait until it ends"
        )


def _models(config: TrialConfig, content: Mapping[str, Any]) -> list[TrainedModel]:
    """Return the models of a training: one, or one per fold or split."""
    weights = content["weights"]
    several = weights if isinstance(weights, list) else [weights]
    return [
        TrainedModel(config=config, weights=model_weights, epoch=content["epoch"], round=number)
        for number, model_weights in enumerate(several)
    ]


def _means(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Return each metric, averaged over models."""
    names = ("loss", "accuracy", "macro_f1", "balanced_accuracy")
    return {name: mean(getattr(evaluation, name) for evaluation in evaluations) for name in names}


def _parts(evaluations: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [evaluations[start : start + size] for start in range(0, len(evaluations), size)]


def _others(
    result: TestResult, config: TrialConfig, class_names: Sequence[str]
) -> dict[str, float]:
    """Return the means over the models of the metrics that only this study measures."""
    by_metric: dict[str, list[float]] = {metric: [] for metric in config.metrics}
    for evaluation in result.evaluations:
        if evaluation.probabilities is not None:
            probabilities, truth = evaluation.probabilities.numpy(), result.truth.numpy()
            for metric, values in by_metric.items():
                values.append(compute(metric, probabilities, truth, class_names))
    # The test images may lack a class
    return {
        metric: mean(values) for metric, values in by_metric.items() if np.isfinite(values).all()
    }


def _interval(
    contributions: Sequence[TrainingValues], *, share: bool, with_seeds: bool
) -> list[float] | None:
    """Return the 95 % interval of a metric's mean, over groups if the images have them.

    Args:
        contributions: Those of each training.
        share: Whether the metric is in 0..1.
        with_seeds: Whether trainings differ in their seeds; then it is over seeds as well.

    Returns:
        Low and high; ``None`` if they aren't known.
    """
    if with_seeds:
        interval = estimate(contributions, share=share).over_seeds_and_images()
        bounds: tuple[float, float] | None = (interval.low, interval.high)
    else:
        alone = _mean(contributions)
        bounds = error_of(alone).interval(alone.mean, share=share)
        if bounds is None and share:
            bounds = (0.0, 1.0)  # the spread of one group is unknown
    return None if bounds is None or not all(map(math.isfinite, bounds)) else list(bounds)


def _contributions(
    result: TestResult, metric: str, of_training: int, class_names: Sequence[str]
) -> list[TrainingValues]:
    """Return the contributions of each training, averaged over its models."""
    rows, truth = np.arange(len(result.truth)), result.truth.numpy()
    probability_metric = None if metric in OBJECTIVES else metric
    contributions = []
    for evaluation in result.evaluations:
        predictions = ValPredictions(
            rows=rows,
            predicted=evaluation.predictions.numpy(),
            truth=truth,
            losses=evaluation.losses.numpy(),
            probabilities=None
            if evaluation.probabilities is None
            else evaluation.probabilities.numpy(),
        )
        contributions.append(
            training_values(
                metric, predictions_of(predictions, probability_metric, class_names, result.groups)
            )
        )
    return [_mean(part) for part in _parts(contributions, of_training)]


def _mean(several: Sequence[TrainingValues]) -> TrainingValues:
    """Return the average contributions of several models on the same images."""
    return replace(
        several[0],
        values=np.mean([contribution.values for contribution in several], axis=0),
        lean=mean(contribution.lean for contribution in several),
    )


def _folder(record: StudyRecord, runs: Runs) -> RunFolder:
    return RunFolder(runs, record.study.name, record.study.run_key)
