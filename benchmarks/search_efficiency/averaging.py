"""How well the moving average of the weights (``evaluate: ema``) predicts a training's end.

Configurations spread evenly over a table's space are trained once each by the product's own engine,
with ``evaluate: ema``. The weights in training don't depend on what is evaluated, so each training
is evaluated twice after every epoch: with the average, and with the weights themselves.

    python -m benchmarks.search_efficiency.averaging record --table fashion14 --work FOLDER
    python -m benchmarks.search_efficiency.averaging show --work FOLDER

The end is each variant's accuracy on test images after the last epoch. Diverged trainings are left
out. Intervals are bootstraps over configurations, with both variants resampled together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Printed
from scipy.stats import rankdata
from torch import Tensor

from benchmarks.search_efficiency.figures import Interval, interval, resampled
from benchmarks.search_efficiency.recording import configuration
from benchmarks.search_efficiency.spaces import TABLES, Recorded, read_recorded
from benchmarks.search_efficiency.table import Training
from hpsearch.errors import TrainingDiverged, UserError
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import prepare
from hpsearch.training.engine import train
from hpsearch.training.evaluate import Evaluation
from hpsearch.training.evaluate_test_set import TrainedModel, evaluate_on_test

#: The weights to evaluate: those in training, and their average.
VARIANTS = ("weights", "ema")

#: Epochs at which a search decides.
RUNGS = (1, 3, 9)

Floats = NDArray[np.float64]
#: One training for each of ``VARIANTS``.
Pair = dict[str, Training]


def main(arguments: Sequence[str] | None = None) -> None:
    """Record trainings, or show the recorded ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_efficiency.averaging")
    parser.add_argument("command", choices=("record", "show"))
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the study files")
    parser.add_argument("--table", action="append", default=[], help="only this (several times)")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done")
    parser.add_argument("--file", type=Path, help="images that NAME.yaml names by a file")
    parser.add_argument("--count", type=int, default=80, help="configurations of each table")
    options = parser.parse_args(arguments)
    try:
        if options.command == "record":
            options.work.mkdir(parents=True, exist_ok=True)
            for name in options.table:
                record(
                    read_recorded(name, options.tables), options.work, options.file, options.count
                )
        else:
            for file in sorted(options.work.glob("*.jsonl")):
                if not options.table or file.stem in options.table:
                    show(file.stem, read(file))
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def record(recorded: Recorded, folder: Path, images: Path | None, count: int) -> None:
    """Train configurations until ``folder`` has ``count`` of them."""
    torch.set_num_threads(1)
    plan = recorded.recording
    if plan is None:
        raise UserError(f"{recorded.name}.json doesn't say how the table is recorded (`record`)")
    study = recorded.study(["evaluate=ema"], data=images)
    file = folder / f"{recorded.name}.jsonl"
    trainings = [pair["ema"] for pair in read(file)]
    while len(trainings) < min(count, plan.spread):
        params = configuration(recorded.name, plan, study, trainings)
        config = study.trial_config(params, ticket=len(trainings) + 1)
        pair = train_once(config, len(trainings), params, folder / "data")
        with file.open("a") as lines:
            lines.write(
                json.dumps({name: asdict(training) for name, training in pair.items()}) + "\n"
            )
        trainings.append(pair["ema"])


def read(file: Path) -> list[Pair]:
    """Return the recorded trainings."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [
        {name: Training(**fields) for name, fields in json.loads(line).items()} for line in lines
    ]


def train_once(config: TrialConfig, row: int, params: Mapping[str, Any], root: Path) -> Pair:
    """Train ``config``, and return the results of its weights and of their average."""
    trainings = {
        name: Training(
            row=row, repeat=0, params=dict(params), test_accuracy=None,
            val_accuracy=[], val_loss=[], train_loss=[], seconds=[],
        )
        for name in VARIANTS
    }  # fmt: skip
    tested: dict[str, float | None] = dict.fromkeys(VARIANTS)
    try:
        for result in train(config, data_root=root):
            state = result.state()
            weights = {"weights": state["raw"], "ema": state["model"]}
            own = _validated(config, state["precision"], weights["weights"], root)
            for name, accuracy, loss in (
                ("weights", own.accuracy, own.loss),
                ("ema", result.metrics.val_accuracy, result.metrics.val_loss),
            ):
                trainings[name].val_accuracy.append(round(accuracy, 6))
                trainings[name].val_loss.append(round(loss, 5))
                trainings[name].train_loss.append(round(result.metrics.train_loss, 5))
                trainings[name].seconds.append(round(result.metrics.seconds, 4))
            if result.last:
                for name in VARIANTS:
                    one = TrainedModel(config=config, weights=weights[name], epoch=result.epoch)
                    (evaluation,) = evaluate_on_test([one], data_root=root).evaluations
                    tested[name] = round(evaluation.accuracy, 6)
    except TrainingDiverged:
        pass
    return {
        name: Training(**{**asdict(training), "test_accuracy": tested[name]})
        for name, training in trainings.items()
    }


def _validated(
    config: TrialConfig, precision: Any, weights: Mapping[str, Tensor], root: Path
) -> Evaluation:
    data = prepare(config.data, split_seed=config.split_seed, root=root)
    model = Classifier(config, signature_of(config, data, precision, epoch=1), weights)
    return model.evaluate(data.images[data.val_indices], data.labels[data.val_indices])


def show(name: str, pairs: Sequence[Pair]) -> None:
    """Print the statistics of one table."""
    whole = [pair for pair in pairs if pair["ema"].test_accuracy is not None]
    ends = {variant: _ends(whole, variant) for variant in VARIANTS}
    middle = ends["weights"] + ends["ema"]
    upper = np.flatnonzero(middle >= np.median(middle))
    table = Printed(
        title=f"{name}, {len(whole)} configurations of {len(pairs)} (others diverged): rank "
        "correlation with the end"
    )
    for column in ("epoch", "of", *VARIANTS, "ema - weights"):
        table.add_column(column)
    last = len(whole[0]["ema"].val_accuracy)
    for epoch in sorted({*RUNGS, last}):
        accuracies = {variant: _accuracies_at(whole, variant, epoch) for variant in VARIANTS}
        for part, rows in (("all", np.arange(len(whole))), ("upper half", upper)):
            both = {
                variant: (accuracies[variant][rows], ends[variant][rows]) for variant in VARIANTS
            }
            table.add_row(str(epoch), part, *_compared(both, _rank_correlation))
    for what, figure in (("mean at the end", np.mean), ("best at the end", np.max)):
        both = {variant: (ends[variant], ends[variant]) for variant in VARIANTS}
        table.add_row(what, "%", *_compared(both, lambda end, _, of=figure: 100 * float(of(end))))
    Console(width=120).print(table)


def _compared(
    both: Mapping[str, tuple[Floats, Floats]], figure: Callable[[Floats, Floats], float]
) -> list[str]:
    """Return a statistic of each variant and their difference, with intervals, as text."""
    rows = resampled(len(both["ema"][0]))
    values = {variant: figure(*both[variant]) for variant in VARIANTS}
    resamples = {
        variant: np.array([figure(both[variant][0][row], both[variant][1][row]) for row in rows])
        for variant in VARIANTS
    }
    intervals: list[Interval] = [
        interval(values[variant], resamples[variant]) for variant in VARIANTS
    ]
    intervals.append(
        interval(values["ema"] - values["weights"], resamples["ema"] - resamples["weights"])
    )
    return [bounds.text() for bounds in intervals]


def _rank_correlation(one: Floats, other: Floats) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:  # a small resample may consist of one row
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _ends(pairs: Sequence[Pair], variant: str) -> Floats:
    return np.array([pair[variant].test_accuracy for pair in pairs], dtype=np.float64)


def _accuracies_at(pairs: Sequence[Pair], variant: str, epoch: int) -> Floats:
    return np.array([pair[variant].val_accuracy[epoch - 1] for pair in pairs])


if __name__ == "__main__":
    main()
