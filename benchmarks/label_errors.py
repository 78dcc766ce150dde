"""How many wrong labels does a report find? Labels are swapped at random, and a study is confirmed.

    python -m benchmarks.label_errors [--share 0.02] [--seeds 1 2 3] [--colour emoji5_32.pkl]
    python -m benchmarks.label_errors --fixed [--similar] --seeds 21 22 23 24

For each data set, a share of the labels is replaced by another class, a shipped study searches and
confirms on the rest as on any data, and the report's list (``reporting.analysis.pictures``) is
compared with what was swapped. *Found* counts only swapped pictures that at least two trainings of
the confirmation predicted. *All wrong* is the plain rule: every training predicts another class.

``--fixed`` trains three models with the seeds of a confirmation instead, without a search: eight of
the first two and four of the third. That takes less than a minute. ``--similar`` swaps a label for
a class that such models confuse it with, as often as they do; otherwise all classes are equally
probable.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import hpsearch.training.builtin  # noqa: F401 - registers sources
from benchmarks.pictures import gray
from hpsearch.registry import Component
from hpsearch.reporting.analysis.pictures import LEAST_TRAININGS, wrong_pictures
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.stored import newest, outcomes_of
from hpsearch.search.database.storage import Database
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.data.prepare import prepare
from hpsearch.training.engine import train


def _cnn(width: int) -> Component:
    settings = {"conv1_channels": width, "conv2_channels": 16, "hidden": [64]}
    return Component("simple_cnn", settings)


#: Data set -> the shipped study that searches on it, and its trials.
STUDIES = {"digits": ("quickstart", 16), "fashion": ("quickstart", 16), "colour": ("emoji", 10)}

#: Data set -> the models of ``--fixed``, each with its learning rate and epochs.
FIXED = {
    "digits": (
        (Component("mlp", {"hidden": [64]}), 3e-3, 12),
        (Component("mlp", {"hidden": [128, 64]}), 2e-3, 12),
        (Component("mlp", {"hidden": [32]}), 5e-3, 12),
    ),
    "fashion": (
        (Component("mlp", {"hidden": [128]}), 1e-3, 12),
        (Component("mlp", {"hidden": [256, 64]}), 1e-3, 12),
        (Component("mlp", {"hidden": [64]}), 2e-3, 12),
    ),
    "colour": (
        (Component("mlp", {"hidden": [128]}), 5e-4, 14),
        (_cnn(8), 2e-3, 10),
        (_cnn(4), 2e-3, 10),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One confirmation's list against the labels that were swapped."""

    data: str
    seed: int
    #: Mean accuracy of the confirmation's trainings, by the labels with errors.
    accuracy: float
    #: Pictures, those that enough trainings predicted, and swapped ones among these.
    pictures: int
    judged: int
    swapped: int
    #: Listed pictures, and swapped ones among them; the same for the plain rule.
    listed: int
    right: int
    #: Swapped ones among the first ten of the list.
    first: int
    all_wrong: int
    all_wrong_right: int


def content_of(data: str, colour: Path | None) -> dict[str, Any]:
    """Return the images as a pickled dictionary's content."""
    if data == "colour":
        assert colour is not None
        loaded: dict[str, Any] = pickle.loads(colour.read_bytes())  # noqa: S301 - the user's own
        return loaded
    config = gray(2000) if data == "fashion" else DataConfig(source=Component("digits"))
    prepared = prepare(config, split_seed=0)
    return {
        "data": np.ascontiguousarray(prepared.images.permute(0, 2, 3, 1).numpy()),
        "labels": prepared.labels.tolist(),
        "label_names": list(prepared.class_names),
    }


def swap(
    content: dict[str, Any], share: float, seed: int, similarity: np.ndarray | None = None
) -> tuple[dict[str, Any], set[int]]:
    """Return the content with a share of the labels swapped, and the rows of these.

    Args:
        content: The images and labels.
        share: The share of the labels.
        seed: Draws them.
        similarity: The probability of each other class for each class; ``None``: all are equal.
    """
    rng = np.random.default_rng(seed)
    labels, classes = list(content["labels"]), len(content["label_names"])
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    for row in rows:
        if similarity is None:
            labels[row] = int((labels[row] + rng.integers(1, classes)) % classes)
        else:
            labels[row] = int(rng.choice(classes, p=similarity[labels[row]]))
    return {**content, "labels": labels}, {int(row) for row in rows}


def similar(trainings: Sequence[Predictions], classes: int) -> np.ndarray:
    """Return how often pictures of each class are taken for each other one, ``(classes, classes)``.

    Each row has the sum 1, and no pair is impossible.
    """
    counts = np.zeros((classes, classes))
    for training in trainings:
        np.add.at(counts, (training.truth, training.predicted), 1)
    counts += 0.01
    np.fill_diagonal(counts, 0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def searched(data: str, content: dict[str, Any], seed: int) -> list[Predictions]:
    """Search and confirm on the content; return the predictions of the confirmation."""
    study, trials = STUDIES[data]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.pkl")
        file.write_bytes(pickle.dumps(content))
        database = f"sqlite:///{folder}/study.db"
        subprocess.run(
            [
                *(sys.executable, "-m", "hpsearch", "launch", "--study", study, "--confirm"),
                *("--workers", "2", "--trials", str(trials)),
                *("--storage", database, "--runs", f"{folder}/runs"),
                *("--set", f"data.source={{pickled_dict: {{path: {file}}}}}"),
                *("--set", f"seed={seed}"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with closing(Database(database)) as opened:
            confirmation = newest(opened, study)
            assert confirmation is not None
            outcomes = outcomes_of(opened, confirmation).values()
    return [outcome.predictions for outcome in outcomes if outcome.predictions is not None]


def trained(data: str, content: dict[str, Any], seed: int) -> list[Predictions]:
    """Train fixed models on the content; return their predictions."""
    predictions = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.pkl")
        file.write_bytes(pickle.dumps(content))
        source = Component("pickled_dict", {"path": str(file)})
        for number, (model, lr, epochs) in enumerate(FIXED[data]):
            for fresh in range(8 if number < 2 else 4):
                config = TrialConfig(
                    data=DataConfig(source=source, validation=0.2),
                    model=model,
                    optimizer=Component("adam", {"lr": lr}),
                    lr_schedule=Component("constant"),
                    batch_size=32,
                    epochs=epochs,
                    precision="fp32",
                    split_seed=1000 * seed + fresh,
                    seed=1000 * seed + fresh,
                )
                *_, end = train(config, keep_predictions=True)
                val_predictions = end.val_predictions
                assert val_predictions is not None
                predictions.append(
                    Predictions(
                        rows=val_predictions.rows,
                        predicted=val_predictions.predicted,
                        truth=val_predictions.truth,
                        loss=val_predictions.losses,
                    )
                )
    return predictions


def compare(
    data: str,
    content: dict[str, Any],
    swapped: set[int],
    seed: int,
    trainings: Sequence[Predictions],
) -> Comparison:
    """Compare the report's list with what was swapped.

    Args:
        data: The name of the data set.
        content: Its images, with swapped labels.
        swapped: The rows with another label.
        seed: The seed of the swaps.
        trainings: The predictions of a confirmation.
    """
    report = wrong_pictures(trainings, content["label_names"], at_most=sys.maxsize)
    rows, counts = np.unique(
        np.concatenate([training.rows for training in trainings]), return_counts=True
    )
    judged = set(rows[counts >= LEAST_TRAININGS].tolist())
    listed = [picture.row for picture in report.label_errors]
    wrong = {
        picture.row
        for picture in (*report.label_errors, *report.hardest)
        if picture.wrong == picture.trainings >= LEAST_TRAININGS
    }
    right = [float((training.predicted == training.truth).mean()) for training in trainings]
    return Comparison(
        data=data,
        seed=seed,
        accuracy=float(np.mean(right)),
        pictures=len(content["labels"]),
        judged=report.judged,
        swapped=len(swapped & judged),
        listed=len(listed),
        right=len(swapped.intersection(listed)),
        first=len(swapped.intersection(listed[:10])),
        all_wrong=len(wrong),
        all_wrong_right=len(wrong & swapped),
    )


def show(comparisons: Sequence[Comparison]) -> None:
    """Print one row per confirmation."""
    table = Table(title="swapped labels")
    for column in (
        *("data", "seed", "accuracy", "pictures", "judged", "swapped"),
        *("listed", "right", "found", "first 10", "all wrong", "right", "found"),
    ):
        table.add_column(column, justify="right")
    for comparison in comparisons:
        table.add_row(
            *(comparison.data, str(comparison.seed), f"{comparison.accuracy:.1%}"),
            *(
                f"{number:,}"
                for number in (comparison.pictures, comparison.judged, comparison.swapped)
            ),
            *_shares(comparison.listed, comparison.right, comparison.swapped),
            f"{comparison.first} of {min(10, comparison.listed)}",
            *_shares(comparison.all_wrong, comparison.all_wrong_right, comparison.swapped),
        )
    Console(width=140).print(table)


def _shares(listed: int, right: int, swapped: int) -> tuple[str, str, str]:
    return (
        str(listed),
        f"{right / listed:.0%}" if listed else "-",
        f"{right / swapped:.0%}" if swapped else "-",
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=0.02, help="of the labels are swapped")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--data", nargs="+", choices=list(STUDIES), default=["digits", "fashion"])
    parser.add_argument("--colour", type=Path, help="a pickled dictionary, for the data set colour")
    parser.add_argument("--fixed", action="store_true", help="fixed models, without a search")
    parser.add_argument("--similar", action="store_true", help="swap similar classes")
    options = parser.parse_args()
    names = [
        *options.data,
        *(["colour"] if options.colour and "colour" not in options.data else []),
    ]
    comparisons = []
    for name in names:
        content = content_of(name, options.colour)
        similarity = None
        if options.similar:
            similarity = similar(trained(name, content, seed=0), len(content["label_names"]))
        for seed in options.seeds:
            planted, rows = swap(content, options.share, seed, similarity)
            trainings = (trained if options.fixed else searched)(name, planted, seed)
            comparisons.append(compare(name, planted, rows, seed, trainings))
            show(comparisons)


if __name__ == "__main__":
    main()
