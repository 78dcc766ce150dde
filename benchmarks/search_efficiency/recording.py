"""Records a table: trains every configuration once by the product's own engine, some again.

Each training is stored as a line of JSON, so that an interrupted recording continues;
``write_table`` turns the lines into a table. Seconds are CPU seconds of one thread, since wall time
depends on the load of the machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search_efficiency.spaces import Recorded, Recording
from benchmarks.search_efficiency.table import Training
from hpsearch.errors import InfeasibleConfig, TrainingDiverged, UserError
from hpsearch.search.history import TrialHistory, distribution_of
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.sampler import Request
from hpsearch.seeds import hashed_seed
from hpsearch.study_file.space import Scalar
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.training.evaluate_test_set import TrainedModel, evaluate_on_test

Params = Mapping[str, Scalar]


def record(
    recorded: Recorded, folder: Path, data_root: Path, path: Path | None, slice_of: int
) -> bool:
    """Record up to ``slice_of`` more trainings into ``folder``; return whether all are done."""
    torch.set_num_threads(1)
    plan = recorded.recording
    if plan is None:
        raise UserError(f"{recorded.name}.json doesn't say how the table is recorded (`record`)")
    study = recorded.study(data=path)
    file = folder / f"{recorded.name}.jsonl"
    done = read_lines(file)
    warm = False
    for row, repeat, params in _missing(recorded.name, plan, study, done):
        if slice_of == 0:
            return False
        if not warm:
            # The first epoch of a process takes a second longer
            next(train(study.trial_config(params, ticket=1), data_root=data_root))
            warm = True
        training = _train(study, row, repeat, params, data_root)
        with file.open("a") as lines:
            lines.write(json.dumps(asdict(training)) + "\n")
        done.append(training)
        slice_of -= 1
    return True


def read_lines(file: Path) -> list[Training]:
    """Return the recorded trainings."""
    if not file.exists():
        return []
    return [Training(**json.loads(line)) for line in file.read_text().splitlines()]


def _missing(
    name: str, plan: Recording, study: StudyFile, done: list[Training]
) -> Iterator[tuple[int, int, Params]]:
    """Yield the remaining trainings; the caller adds to ``done`` meanwhile."""
    while len(_first(done)) < plan.spread + plan.proposed:
        first_trainings = _first(done)
        yield len(first_trainings), 0, configuration(name, plan, study, first_trainings)
    first_trainings = _first(done)
    have = {(training.row, training.repeat) for training in done}
    for repeat in range(1, plan.seeds):
        for row in repeated_rows(first_trainings, plan.best):
            if (row, repeat) not in have:
                yield row, repeat, first_trainings[row].params


def _first(done: list[Training]) -> list[Training]:
    return [training for training in done if training.repeat == 0]


def repeated_rows(trainings: list[Training], best: float) -> list[int]:
    """Return the rows to train again: the ``best`` share, and a tenth of the others.

    The best ones need a precise accuracy, as a search's pick is usually one of them.
    """
    order = sorted(
        trainings, key=lambda training: training.val_accuracy[-1:] or [0.0], reverse=True
    )
    top = max(1, int(len(order) * best))
    selection = [*order[:top], *order[top + 5 :: 10]]
    return [training.row for training in selection if training.test_accuracy is not None]


def configuration(
    table: str, plan: Recording, study: StudyFile, trainings: list[Training]
) -> Params:
    """Return the next configuration: first Sobol points, then TPE's proposals."""
    number = len(trainings)
    name = "qmc" if number < plan.spread else "tpe"
    draw = (
        SAMPLERS[name]
        .build()
        .draw(
            Request(
                space=study.space,
                history=_NoHistory(),
                seed=hashed_seed(table, number),
                study_seed=hashed_seed(table),
                fixed={},
                point=number,
                trials=[_frozen(training, study) for training in trainings],
            )
        )
    )
    if draw is None:
        raise RuntimeError("a Sobol sequence has no end")
    return draw.params


def _train(study: StudyFile, row: int, repeat: int, params: Params, data_root: Path) -> Training:
    config = study.trial_config(params, ticket=1000 * repeat + row + 1)
    training = Training(
        row=row, repeat=repeat, params=dict(params), test_accuracy=None,
        val_accuracy=[], val_loss=[], train_loss=[], seconds=[],
    )  # fmt: skip
    accuracy = None
    began = time.process_time()
    try:
        for result in train(config, data_root=data_root):
            training.seconds.append(round(time.process_time() - began, 4))
            training.val_accuracy.append(round(result.metrics.val_accuracy, 6))
            training.val_loss.append(round(result.metrics.val_loss, 5))
            training.train_loss.append(round(result.metrics.train_loss, 5))
            if result.last:
                weights = result.state()["model"]
                trained = TrainedModel(config=config, weights=weights, epoch=result.epoch)
                (evaluation,) = evaluate_on_test([trained], data_root=data_root).evaluations
                accuracy = round(evaluation.accuracy, 6)
            began = time.process_time()
    except TrainingDiverged:
        training.seconds.append(round(time.process_time() - began, 4))
    except InfeasibleConfig as error:
        raise RuntimeError(f"a space of a table has only what can be built: {error}") from error
    return Training(**{**asdict(training), "test_accuracy": accuracy})


class _NoHistory(TrialHistory):
    def __init__(self) -> None:
        self.directions = (StudyDirection.MAXIMIZE,)
        self.study_id = 1

    def prior_trials(self, space: Any) -> list[FrozenTrial]:
        return []

    def draft(self, fixed_params: Any = None, trials: Any = None) -> Any:
        return super().draft(fixed_params, trials or [])


def _frozen(training: Training, study: StudyFile) -> FrozenTrial:
    parameters = study.space.parameters()
    distributions: dict[str, BaseDistribution] = {
        path: distribution_of(parameters[path]) for path in training.params
    }
    complete = training.test_accuracy is not None
    return FrozenTrial(
        number=training.row,
        trial_id=training.row + 1,
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
        value=training.val_accuracy[-1] if complete else None,
        datetime_start=None,
        datetime_complete=None,
        params=training.params,
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
