"""A table of recorded training curves, which replace trainings.

It has two files besides those of ``spaces``: ``NAME.configurations.csv.gz`` (a row per
configuration, a column per parameter, each cell JSON) and ``NAME.epochs.csv.gz`` (a line per epoch
of each training). A search proposes points of the whole space, and each is replaced by the nearest
configuration that the search hasn't used yet.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.search_efficiency.spaces import TABLES, Recorded, names_in, read_recorded
from hpsearch.errors import UserError
from hpsearch.search.samplers.forest import is_ordered, scale_of
from hpsearch.study_file.space import Choice, Parameter, Scalar, Space

FIGURES = ("val_accuracy", "val_loss", "train_loss", "seconds")

#: Distance of two configurations of different branches, which is more than any within a branch.
OTHER_BRANCH = 1000.0

#: Distance of two unordered values, such as activation functions; that of numbers is at most 1,
#: from one end of their range to the other.
OTHER_CHOICE = 0.5


@dataclass(frozen=True, kw_only=True)
class Training:
    """One recorded training."""

    #: The configuration's number in its table, from 0.
    row: int
    #: 0 for the first training of a configuration; each has its own seed.
    repeat: int
    params: dict[str, Scalar]
    #: After the last epoch, 0..1; ``None`` if it diverged.
    test_accuracy: float | None
    #: One list per metric, with an entry per epoch.
    val_accuracy: list[float]
    val_loss: list[float]
    train_loss: list[float]
    seconds: list[float]


@dataclass(frozen=True)
class Curve:
    """One training, with an entry per finished epoch."""

    val_accuracy: Sequence[float]
    val_loss: Sequence[float]
    train_loss: Sequence[float]
    #: One more entry than there are accuracies if the training diverged.
    seconds: Sequence[float]
    #: 0..1; the accuracy of a guess if it diverged.
    test_accuracy: float


class Table:
    """Recorded trainings of one study's space."""

    def __init__(self, recorded: Recorded, trainings: Sequence[Training]) -> None:
        self.recorded = recorded
        self.space = recorded.study().space
        self.epochs = recorded.study().budget.epochs_per_trial
        first = sorted(
            (training for training in trainings if training.repeat == 0),
            key=lambda training: training.row,
        )
        if [training.row for training in first] != list(range(len(first))):
            raise ValueError(f"table {recorded.name} lacks rows")
        self.params: list[Mapping[str, Scalar]] = [training.params for training in first]
        self.curves: list[list[Curve]] = [[] for _ in first]
        for training in sorted(trainings, key=lambda training: (training.row, training.repeat)):
            test = recorded.chance if training.test_accuracy is None else training.test_accuracy
            self.curves[training.row].append(
                Curve(
                    training.val_accuracy,
                    training.val_loss,
                    training.train_loss,
                    training.seconds,
                    test,
                )
            )

    def __len__(self) -> int:
        return len(self.params)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """Test accuracy of each row after its last epoch, the mean over its trainings."""
        return np.array([np.mean([curve.test_accuracy for curve in row]) for row in self.curves])

    @cached_property
    def full_seconds(self) -> float:
        """Seconds of a whole training, the mean over those that didn't diverge."""
        curves = [curve for row in self.curves for curve in row]
        whole = [sum(curve.seconds) for curve in curves if len(curve.val_accuracy) == self.epochs]
        return float(np.mean(whole))

    def draw_curves(self, replay: int) -> list[Curve]:
        """Return the training of each row that a replay sees, drawn from the recorded ones."""
        rng = np.random.default_rng([replay, 17])
        return [row[int(rng.integers(len(row)))] for row in self.curves]

    def nearest_unused(self, params: Mapping[str, Scalar], used: NDArray[np.bool_]) -> int:
        """Return the row nearest to ``params`` that isn't used.

        Within a branch (the same model and optimizer) the distance is the Euclidean one over the
        parameters, each scaled to 0..1 on its own scale (the logarithm, or the index in a list of
        numbers); different unordered values are ``OTHER_CHOICE`` apart. A row of another branch is
        returned only if none of the same branch is left.

        Raises:
            LookupError: Every row is used.
        """
        if used.all():
            raise LookupError("every configuration of the table is used")
        difference = self._encoded - self._encode(params)  # NaN if one of both lacks the parameter
        squares = np.nan_to_num(np.square(difference))
        kinds = self._kinds
        squares[:, kinds == "unordered"] = OTHER_CHOICE**2 * (squares[:, kinds == "unordered"] > 0)
        squares[:, kinds == "branch"] = OTHER_BRANCH**2 * (squares[:, kinds == "branch"] > 0)
        distances = np.where(used, np.inf, squares.sum(axis=1))
        return int(np.argmin(distances))

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        return self.space.parameters()

    @cached_property
    def _kinds(self) -> NDArray[np.str_]:
        branches = branch_paths(self.space)
        return np.array(
            [
                "branch" if path in branches else "number" if is_ordered(parameter) else "unordered"
                for path, parameter in self._parameters.items()
            ]
        )

    @cached_property
    def _encoded(self) -> NDArray[np.float64]:
        return np.array([self._encode(params) for params in self.params])

    def _encode(self, params: Mapping[str, Scalar]) -> NDArray[np.float64]:
        return np.array(
            [
                _place(parameter, params[path]) if path in params else math.nan
                for path, parameter in self._parameters.items()
            ]
        )


def branch_paths(space: Space) -> set[str]:
    """Return the parameters that determine which others apply (``model``, ``optimizer``)."""
    parameters = space.parameters()
    return {
        path
        for path, parameter in parameters.items()
        if isinstance(parameter, Choice)
        and any(other.startswith(f"{path}.") for other in parameters)
    }


def _place(parameter: Parameter, value: Scalar) -> float:
    if isinstance(parameter, Choice):
        return parameter.labels.index(value) / max(1, len(parameter.values) - 1)
    return scale_of(parameter)(value)


def write_table(recorded: Recorded, trainings: Sequence[Training]) -> None:
    """Write a table's rows into its folder."""
    paths = list(recorded.study().space.parameters())
    rows = {training.row: training.params for training in trainings}
    configurations = [["row", *paths]]
    for row, params in sorted(rows.items()):
        cells = [json.dumps(params[path]) if path in params else "" for path in paths]
        configurations.append([str(row), *cells])
    epochs = [["row", "repeat", "epoch", *FIGURES, "test_accuracy"]]
    for training in sorted(trainings, key=lambda training: (training.row, training.repeat)):
        for number, seconds in enumerate(training.seconds):
            is_measured = number < len(training.val_accuracy)
            last = number == len(training.seconds) - 1 and training.test_accuracy is not None
            figures = [
                str(getattr(training, name)[number]) if is_measured else "" for name in FIGURES[:-1]
            ]
            test = str(training.test_accuracy) if last else ""
            epochs.append(
                [
                    str(training.row),
                    str(training.repeat),
                    str(number + 1),
                    *figures,
                    str(seconds),
                    test,
                ]
            )
    for name, lines in (("configurations", configurations), ("epochs", epochs)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        file = recorded.folder / f"{recorded.name}.{name}.csv.gz"
        # Without a timestamp, so that equal tables are equal files
        file.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def read_tables(folder: Path = TABLES, names: Sequence[str] = ()) -> list[Table]:
    """Return the tables of a folder, or those of ``names``.

    Raises:
        UserError: There is none, or a table lacks one of its four files.
    """
    available = names_in(folder)
    if not available:
        raise UserError(
            f"a folder of tables has NAME.configurations.csv.gz, NAME.epochs.csv.gz, NAME.yaml and "
            f"NAME.json for each of them, but {folder} has no NAME.configurations.csv.gz"
        )
    for name in names:
        if name not in available:
            raise UserError(f"{folder} has no table {name!r}; it has {', '.join(available)}")
    return [read_table(name, folder) for name in names or available]


def read_table(name: str, folder: Path = TABLES) -> Table:
    """Return a recorded table.

    Raises:
        UserError: One of its files is missing.
    """
    recorded = read_recorded(name, folder)
    params = {
        int(line["row"]): {
            path: json.loads(cell) for path, cell in line.items() if path != "row" and cell
        }
        for line in _lines(folder / f"{name}.configurations.csv.gz")
    }
    trainings: dict[tuple[int, int], Training] = {}
    for line in _lines(folder / f"{name}.epochs.csv.gz"):
        key = (int(line["row"]), int(line["repeat"]))
        training = trainings.get(key) or Training(
            row=key[0], repeat=key[1], params=params[key[0]], test_accuracy=None,
            val_accuracy=[], val_loss=[], train_loss=[], seconds=[],
        )  # fmt: skip
        for figure in FIGURES:
            if line[figure]:
                getattr(training, figure).append(float(line[figure]))
        if line["test_accuracy"]:
            training = Training(**{**vars(training), "test_accuracy": float(line["test_accuracy"])})
        trainings[key] = training
    return Table(recorded, list(trainings.values()))


def _lines(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise UserError(f"a table needs {file.name}, but {file} doesn't exist")
    return list(csv.DictReader(io.StringIO(gzip.decompress(file.read_bytes()).decode())))
