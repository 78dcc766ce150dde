"""How many wrong labels does a report find? Labels are swapped at random, and a study is confirmed.

    python -m benchmarks.label_errors [--share 0.02] [--seeds 1 2 3] [--colour emoji5_32.pkl]

For each data set, a share of the labels is replaced by another class, a shipped study searches and
confirms on the rest as on any data, and the report's list (``reporting.analysis.pictures``) is
compared with what was swapped. *Found* counts only swapped pictures that at least two trainings of
the confirmation predicted. *All wrong* is the plain rule: every training predicts another class.
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
from hpsearch.results.confirmation.stored import newest, outcomes_of
from hpsearch.search.database.storage import Database
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.prepare import prepare

#: Data set -> the shipped study that searches on it, and its trials.
STUDIES = {"digits": ("quickstart", 16), "fashion": ("quickstart", 16), "colour": ("emoji", 10)}


@dataclass(frozen=True, kw_only=True)
class Found:
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
    all_wrong: int
    all_wrong_right: int


def content_of(data: str, colour: Path | None) -> dict[str, Any]:
    """Return the images as a pickled dictionary's content."""
    if data == "colour":
        assert colour is not None
        loaded: dict[str, Any] = pickle.loads(colour.read_bytes())  # noqa: S301 - the user's own
        return loaded
    config = gray(4000) if data == "fashion" else DataConfig(source=Component("digits"))
    prepared = prepare(config, split_seed=0)
    return {
        "data": np.ascontiguousarray(prepared.images.permute(0, 2, 3, 1).numpy()),
        "labels": prepared.labels.tolist(),
        "label_names": list(prepared.class_names),
    }


def swap(content: dict[str, Any], share: float, seed: int) -> tuple[dict[str, Any], set[int]]:
    """Return the content with a share of the labels swapped, and the rows of these."""
    rng = np.random.default_rng(seed)
    labels, classes = list(content["labels"]), len(content["label_names"])
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    for row in rows:
        labels[row] = int((labels[row] + rng.integers(1, classes)) % classes)
    return {**content, "labels": labels}, {int(row) for row in rows}


def measure(data: str, content: dict[str, Any], swapped: set[int], seed: int) -> Found:
    """Search and confirm on the content, and compare the report's list with ``swapped``."""
    study, trials = STUDIES[data]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.pkl")
        file.write_bytes(pickle.dumps(content))
        database = f"sqlite:///{folder}/study.db"
        subprocess.run(
            [
                *(sys.executable, "-m", "hpsearch", "launch", "--study", study, "--confirm"),
                *(
                    "--workers",
                    "2",
                    "--trials",
                    str(trials),
                    "--storage",
                    database,
                    "--runs",
                    f"{folder}/runs",
                ),
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
    trainings = [each.predictions for each in outcomes if each.predictions is not None]
    found = wrong_pictures(trainings, content["label_names"], at_most=sys.maxsize)
    rows, counts = np.unique(np.concatenate([each.rows for each in trainings]), return_counts=True)
    judged = set(rows[counts >= LEAST_TRAININGS].tolist())
    listed = {each.row for each in found.label_errors}
    wrong = {
        each.row
        for each in (*found.label_errors, *found.hardest)
        if each.wrong == each.trainings >= LEAST_TRAININGS
    }
    right = [float((each.predicted == each.truth).mean()) for each in trainings]
    return Found(
        data=data,
        seed=seed,
        accuracy=float(np.mean(right)),
        pictures=len(content["labels"]),
        judged=found.judged,
        swapped=len(swapped & judged),
        listed=len(listed),
        right=len(listed & swapped),
        all_wrong=len(wrong),
        all_wrong_right=len(wrong & swapped),
    )


def show(found: Sequence[Found]) -> None:
    """Print one row per confirmation."""
    table = Table(title="swapped labels")
    for column in (
        *("data", "seed", "accuracy", "pictures", "judged", "swapped"),
        *("listed", "right", "found", "all wrong", "right", "found"),
    ):
        table.add_column(column, justify="right")
    for each in found:
        table.add_row(
            *(each.data, str(each.seed), f"{each.accuracy:.1%}"),
            *(f"{number:,}" for number in (each.pictures, each.judged, each.swapped)),
            *_shares(each.listed, each.right, each.swapped),
            *_shares(each.all_wrong, each.all_wrong_right, each.swapped),
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
    options = parser.parse_args()
    names = [
        *options.data,
        *(["colour"] if options.colour and "colour" not in options.data else []),
    ]
    found = []
    for name in names:
        content = content_of(name, options.colour)
        for seed in options.seeds:
            planted, rows = swap(content, options.share, seed)
            found.append(measure(name, planted, rows, seed))
            show(found)


if __name__ == "__main__":
    main()
