"""Each row of a source as a prior result for a study's sampler, or why it can't be used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hpsearch.errors import UnknownName, UserError
from hpsearch.metrics import is_share
from hpsearch.results.warm_start.naming import Names, is_unnamed_value, result_name, value_column
from hpsearch.results.warm_start.source import Row, Source
from hpsearch.search.prior_results import PriorResult
from hpsearch.study_file.goals import Goals
from hpsearch.study_file.space import Choice, Draw, Parameter, Scalar, Space, label

#: Unit of a share in a source.
Unit = Literal["auto", "share", "percent"]

#: Sections in which a row may differ: only a caveat, since its result is useful anyway.
_CARRIES_OVER = ("data.",)

#: Columns with the number of epochs.
_EPOCHS = ("epochs", "epoch", "n_epochs", "num_epochs", "max_epochs")


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """The user's additions to the names and values of a source."""

    #: Column -> path; a column with an empty path isn't used.
    mapped: Mapping[str, str]
    #: Path -> the common value of all rows.
    common: Mapping[str, Any]
    #: Metric -> column.
    values: Mapping[str, str]
    unit: Unit = "auto"


@dataclass(frozen=True, kw_only=True)
class CheckedRow:
    """One row."""

    place: str
    #: ``None`` if the row can't be used; then ``refused`` is the reason.
    result: PriorResult | None
    refused: str | None


@dataclass(frozen=True, kw_only=True)
class CheckedSource:
    """The prior results of a source."""

    source: str
    rows: Sequence[CheckedRow]
    #: Path or metric -> the column that it was read from.
    read_from: Mapping[str, str]
    #: Caveats, a sentence each.
    caveats: Sequence[str]

    @property
    def results(self) -> list[PriorResult]:
        """The rows that can be used."""
        return [row.result for row in self.rows if row.result is not None]


def check(
    source: Source, space: Space, goals: Goals, mapping: ColumnMapping, *, epochs: int
) -> CheckedSource:
    """Check every row against the study's space and goals.

    Args:
        source: The source.
        space: The study's space.
        goals: The study's objectives and constraints.
        mapping: The user's additions to the source.
        epochs: Epochs that a trial of the study may train.

    Raises:
        UnknownName: If ``mapping`` has a column or a path that doesn't exist.
        UserError: If there is no row, a column is ambiguous, none is the objective, or a value's
            unit is ambiguous.
    """
    if not source.rows:
        raise UserError(f"there must be at least one finished run, but {source.name} has none")
    reader = _Reader(source, space, goals, mapping)
    rows = [reader.check(row) for row in source.rows]
    caveats = [*source.caveats, *reader.unit_caveats(), *_epoch_caveats(source, epochs)]
    return CheckedSource(source=source.name, rows=rows, read_from=reader.read_from, caveats=caveats)


class _Reader:
    def __init__(self, source: Source, space: Space, goals: Goals, mapping: ColumnMapping) -> None:
        self._space = space
        self._goals = goals
        self._names = Names(space, source.columns, mapping.mapped)
        self._common = mapping.common
        self._value_columns = mapping.values
        for path in mapping.common:
            if path not in space.parameters():
                raise UnknownName("parameter", path, space.parameters())
        self._fixed = space.fixed()
        self.read_from: dict[str, str] = {}
        metrics = {name for row in source.rows for name in row.metrics}
        for metric in goals.metrics:
            if metric in metrics and metric not in mapping.values:
                continue
            only = (metric,) == goals.objectives
            column = value_column(metric, source.columns, mapping.values.get(metric), only=only)
            if column is not None:
                self.read_from[metric] = column
            elif metric in goals.objectives:
                raise UserError(_no_objective(metric, source))
        self._percent = {
            metric: _is_percent(metric, column, source.rows, mapping.unit)
            for metric, column in self.read_from.items()
            if is_share(metric)
        }

    def unit_caveats(self) -> list[str]:
        """Return caveats about columns whose meaning or unit was inferred."""
        unnamed = [
            f"the file doesn't name the metric of {column!r}; it is read as {metric} (--value "
            "COLUMN chooses another)"
            for metric, column in self.read_from.items()
            if metric in self._goals.objectives
            and metric not in self._value_columns
            and is_unnamed_value(metric, column)
        ]
        return unnamed + [
            f"{metric} is read from {self.read_from[metric]!r} in percent: 83.91 means 0.8391"
            for metric, percent in self._percent.items()
            if percent
        ]

    def check(self, row: Row) -> CheckedRow:
        refused = row.refused
        if refused is None:
            try:
                return CheckedRow(place=row.place, result=self._result(row), refused=None)
            except Outside as error:
                refused = str(error)
        return CheckedRow(place=row.place, result=None, refused=refused)

    def _result(self, row: Row) -> PriorResult:
        used: dict[str, str] = {}
        draw = self._space.draw(lambda path, parameter: self._value(row, path, parameter, used))
        self._require_fixed(row, draw)
        metrics = {name: self._metric(row, name) for name in self._goals.metrics}
        self.read_from |= {path: column for column, path in used.items()}
        return PriorResult(
            place=row.place,
            params=draw.params,
            values=tuple(metrics[name] for name in self._goals.objectives),
            violations=self._goals.violations(metrics),
        )

    def _value(self, row: Row, path: str, parameter: Parameter, used: dict[str, str]) -> Scalar:
        if path in self._common:
            return _parameter_value(path, parameter, self._common[path])
        column = self._column(row, path)
        if column is None:
            raise Outside(f"has no value for {path} (--fix {path}=VALUE sets it for all)")
        if used.setdefault(column, path) != path:
            raise UserError(
                f"a column must be one parameter, but {column!r} could be {used[column]} and "
                f"{path}; choose one with --map {column}={path}"
            )
        return _parameter_value(path, parameter, row.cells[column])

    def _column(self, row: Row, path: str) -> str | None:
        filled = [name for name in self._names.of(path) if not _is_empty(row.cells.get(name))]
        if len({str(row.cells[name]) for name in filled}) > 1:
            raise UserError(
                f"one column must be {path}, but {' and '.join(map(repr, filled))} could be, and "
                f"differ in {row.place}; choose one with --map {filled[0]}={path}"
            )
        return filled[0] if filled else None

    def _require_fixed(self, row: Row, draw: Draw) -> None:
        """Raise ``Outside`` if the row has another value for a key that isn't searched."""
        for path, value in self._fixed.items():
            if path.startswith(_CARRIES_OVER) or not _applies(path, draw.config):
                continue
            column = self._column(row, path)
            # A short name that several fixed keys share (kernel_size) is ambiguous
            if (
                column is None
                or sum(column in self._names.of(fixed_path) for fixed_path in self._fixed) > 1
            ):
                continue
            if not same(value, row.cells[column]):
                raise Outside(
                    f"{path} is fixed to {value} in this study, but is {row.cells[column]} "
                    f"(--map {column}= ignores the column)"
                )

    def _metric(self, row: Row, name: str) -> float:
        if name not in self.read_from:
            if name in row.metrics:
                return row.metrics[name]
            raise Outside(f"has no {name}, which a constraint of this study bounds")
        cell = row.cells.get(self.read_from[name])
        number = as_number(cell)
        if number is None:
            raise Outside(f"has no {name}" + ("" if _is_empty(cell) else f", but {cell!r}"))
        if not is_share(name):
            return number
        percent = self._percent[name] and not is_percentage(cell)
        share = number / 100 if percent else number
        if not 0 <= share <= 1:
            most = "100 percent" if percent or is_percentage(cell) else "1"
            raise Outside(f"{name} must be in 0 to {most}, but is {cell}")
        return share


def _parameter_value(path: str, parameter: Parameter, cell: Any) -> Scalar:
    try:
        return stored_value(parameter, cell)
    except Outside as error:
        raise Outside(f"{path} {error}") from None


def _is_percent(metric: str, column: str, rows: Sequence[Row], unit: Unit) -> bool:
    """Distinguish percent from shares by the whole column: a value above 1 can't be a share."""
    if unit != "auto":
        return unit == "percent"
    cells = [row.cells.get(column) for row in rows if row.refused is None]
    numbers = [
        number
        for cell in cells
        if not is_percentage(cell) and (number := as_number(cell)) is not None
    ]
    above = [number for number in numbers if number > 1]
    below = [number for number in numbers if 0 < number <= 1]
    if above and below:
        raise UserError(
            f"{metric} must be shares (0.8391) or percent (83.91), but column {column!r} has both "
            f"{below[0]:g} and {above[0]:g}; choose one with --unit share or --unit percent"
        )
    return bool(above)


def _no_objective(metric: str, source: Source) -> str:
    numeric = [
        column
        for column in source.columns
        if any(as_number(row.cells.get(column)) is not None for row in source.rows)
    ]
    names = ", ".join(map(repr, numeric)) or "none"
    return (
        f"a column must be the study's objective, {metric}, but no column has this name; choose "
        f"one with --value COLUMN (columns with numbers: {names})"
    )


def _epoch_caveats(source: Source, epochs: int) -> list[str]:
    """Return a caveat if rows were trained for other numbers of epochs than the study's trials."""
    for column in source.columns:
        if result_name(column) not in _EPOCHS:
            continue
        ended = (row for row in source.rows if row.refused is None)
        numbers = [as_number(row.cells.get(column)) for row in ended]
        epoch_counts = sorted({number for number in numbers if number is not None})
        if epoch_counts and epoch_counts != [epochs]:
            low, high = f"{epoch_counts[0]:g}", f"{epoch_counts[-1]:g}"
            text = low if low == high else f"{low} to {high}"
            return [
                f"they were trained for {text} epochs, this study's trials for up to {epochs}: "
                "values are used without correction"
            ]
    return []


def _applies(path: str, config: Mapping[str, Any]) -> bool:
    node: Any = config
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


_WORDS: dict[str, Scalar] = {"true": True, "false": False, "none": None, "null": None}


class Outside(Exception):
    """A value outside the study's space; the message names the broken rule."""


def stored_value(parameter: Parameter, cell: Any) -> Scalar:
    """Return ``cell`` as the parameter's stored value.

    Raises:
        Outside: If the space doesn't contain it.
    """
    if isinstance(parameter, Choice):
        return _label_of(parameter, cell)
    number = as_number(cell)
    if number is None:
        raise Outside(f"must be a number, but is {cell!r}")
    value: Scalar = int(number) if parameter.integer and number.is_integer() else number
    if not parameter.contains(value):
        any_step = parameter.step in (None, 1) or parameter.log
        step = "" if any_step else f" in steps of {parameter.step}"
        raise Outside(f"must be in {parameter.low} to {parameter.high}{step}, but is {cell}")
    return value


def as_number(cell: Any) -> float | None:
    """Return a finite number, ``None`` for anything else; ``12 %`` is 0.12."""
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        number = float(cell[:-1]) / 100 if is_percentage(cell) else float(cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_percentage(cell: Any) -> bool:
    """Whether a cell has a percent sign, so that its unit is known."""
    return isinstance(cell, str) and cell.endswith("%")


def same(value: Any, cell: Any) -> bool:
    """Whether a fixed value of the study equals ``cell``."""
    try:
        _label_of(Choice((value,)), cell)
    except Outside:
        return False
    return True


def _label_of(choice: Choice, cell: Any) -> Scalar:
    """Return the label that ``cell`` means: as it is, as a number, a word or JSON."""
    labels = choice.labels
    if choice.contains(label(cell)):
        return label(cell)
    number = as_number(cell)
    for candidate in labels:
        if (
            number is not None
            and not isinstance(candidate, bool | str | None)
            and candidate == number
        ):
            return candidate
    if isinstance(cell, str):
        text = cell.strip().lower()
        if text in _WORDS and choice.contains(_WORDS[text]):
            return _WORDS[text]
        spelled = [
            candidate
            for candidate in labels
            if isinstance(candidate, str) and candidate.lower() == text
        ]
        if len(spelled) == 1:
            return spelled[0]
        try:
            json_label = label(json.loads(cell))
        except (ValueError, RecursionError):
            json_label = None
        if isinstance(json_label, str) and choice.contains(json_label):
            return json_label
    choices = ", ".join(map(str, labels))
    raise Outside(f"must be one of {choices}, but is {cell}")
