"""Conversion of a source's cell to the value that a trial of the study would store."""

from __future__ import annotations

import json
import math
from typing import Any

from hpsearch.study_file.space import Choice, Parameter, Scalar, label

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
        raise Outside(f"must lie in {parameter.low} to {parameter.high}{step}, but is {cell}")
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
    for known in labels:
        if number is not None and not isinstance(known, bool | str | None) and known == number:
            return known
    if isinstance(cell, str):
        text = cell.strip().lower()
        if text in _WORDS and choice.contains(_WORDS[text]):
            return _WORDS[text]
        spelled = [known for known in labels if isinstance(known, str) and known.lower() == text]
        if len(spelled) == 1:
            return spelled[0]
        try:
            written = label(json.loads(cell))
        except (ValueError, RecursionError):
            written = None
        if isinstance(written, str) and choice.contains(written):
            return written
    listed = ", ".join(map(str, labels))
    raise Outside(f"must be one of {listed}, but is {cell}")
