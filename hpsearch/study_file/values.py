"""One key of the file against its annotation: a fixed value, a range, or a list of values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from hpsearch.errors import UserError
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, quote
from hpsearch.study_file.portable import PathText
from hpsearch.study_file.schema import Value
from hpsearch.study_file.space import (
    PRIOR_KEYS,
    Choice,
    Confidence,
    Fixed,
    Guess,
    Range,
    join,
    label,
)
from hpsearch.study_file.spelling import report_unknown
from hpsearch.study_file.syntax import ListNode, MapNode, ScalarNode, YamlNode, to_plain

RANGE_KEYS = ("min", "max", "log", "step")
#: Each shows that a mapping is a range or a list of values.
_MARKS = frozenset({*RANGE_KEYS, "values"})
SEARCH_KEYS = (*RANGE_KEYS, "values", *PRIOR_KEYS)
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)


class RuleBroken(Exception):
    """A value breaks its key's rule; the message contains the rule and the value."""


def parse_value(
    value_schema: Value, node: YamlNode, key: str, diagnostics: Diagnostics, *, searchable: bool
) -> Fixed | Range | Choice | None:
    """Check the value of a key.

    Args:
        value_schema: The schema of the key.
        node: The value: fixed, a range or a list of values.
        key: The dotted key.
        diagnostics: Receives problems.
        searchable: Whether a range or a list of values is allowed.

    Returns:
        The node of the space, or ``None`` if a problem was reported.
    """
    if not isinstance(node, MapNode) or is_value(value_schema, node):
        try:
            return Fixed(fixed_value(value_schema, node))
        except RuleBroken as broken:
            hint = ""
            if isinstance(node, ListNode) and searchable and not value_schema.takes_lists:
                hint = "; to search over several values, write {values: [..]}"
            diagnostics.add(node.location, key, f"{broken}{hint}")
            return None
    if not searchable:
        diagnostics.add(
            node.location, key, f"must be one fixed value, not searched, but got {_compact(node)}"
        )
        return None
    unknown = [name for name in node.entries if name not in SEARCH_KEYS]
    for name in unknown:
        location = node.entries[name].location
        report_unknown(location, key, "key of a range", name, SEARCH_KEYS, diagnostics)
    if unknown:
        return None
    searched = (
        _choice(value_schema, node, key, diagnostics)
        if "values" in node.entries
        else _range(value_schema, node, key, diagnostics)
    )
    before = len(diagnostics)
    guess = _guess(value_schema, searched, node, key, diagnostics)
    if searched is None or len(diagnostics) > before:
        return None
    return replace(searched, guess=guess)


def is_value(value_schema: Value, node: MapNode) -> bool:
    """Whether a mapping is a fixed value of the key, and not a range or a list of values."""
    return value_schema.takes_mappings and not set(node.entries) & _MARKS


def fixed_value(value_schema: Value, node: YamlNode) -> Any:
    """Return the fixed value of a key as JSON-like data.

    A path becomes absolute; a relative one starts from the folder of its location.

    Raises:
        RuleBroken: The value breaks the key's rule, or the key's annotation can't be used.
        UserError: The valid value isn't JSON-like.
    """
    value = to_plain(node)
    try:
        valid = value_schema.adapter.validate_json(json.dumps(value))
    except UserError as error:  # the annotation itself is unsuitable
        raise RuleBroken(str(error)) from None
    except ValidationError as error:
        raise RuleBroken(f"{_rule(value_schema, error)}, but got {quote(value)}") from None
    return _plain(valid, node.location.folder)


def _range(value_schema: Value, node: MapNode, key: str, diagnostics: Diagnostics) -> Range | None:
    if value_schema.number is None:
        diagnostics.add(
            node.location,
            key,
            f"a range needs a key that takes numbers, but got {_compact(node)}; "
            "write {values: [..]}",
        )
        return None
    missing = [name for name in ("min", "max") if name not in node.entries]
    if missing:
        diagnostics.add(
            node.location,
            key,
            f"a range needs both min and max, but {' and '.join(missing)} is missing",
        )
        return None
    before = len(diagnostics)
    ends = {
        name: _number(node.entries[name], join(key, name), diagnostics)
        for name in ("min", "max", "step")
        if name in node.entries
    }
    log = _log(node, key, diagnostics)
    if len(diagnostics) > before:
        return None
    integer = value_schema.number == "int" or (
        value_schema.number == "either" and all(isinstance(end, int) for end in ends.values())
    )
    if not integer and value_schema.number != "int":
        ends = {name: _float(end) for name, end in ends.items()}
    for name in ("min", "max"):
        ends[name] = _end(
            value_schema, ends[name], node.entries[name].location, join(key, name), diagnostics
        )
    if len(diagnostics) > before:
        return None
    low, high, step = ends["min"], ends["max"], ends.get("step")
    broken = _broken_range(low, high, step, log=log, integer=integer)
    if broken:
        diagnostics.add(node.location, key, f"{broken}, but got {_compact(node)}")
        return None
    if integer and step is None:
        step = 1
    if step is not None and low + step <= high:
        # A rule such as "a multiple of 8" may be satisfied at both ends but not between them
        _end(value_schema, low + step, node.location, key, diagnostics)
    if len(diagnostics) > before:
        return None
    return Range(low=low, high=high, step=step, log=log, integer=integer)


def _broken_range(low: Any, high: Any, step: Any, *, log: bool, integer: bool) -> str:
    if low >= high:
        return "empty range: min < max must hold"
    if log and low <= 0:
        return "a log range needs min > 0"
    if log and step is not None and not (integer and step == 1):
        return "log and step can't be combined"
    if step is None:
        return ""
    if integer and not isinstance(step, int):
        return "the step of an integer range must be an integer"
    if step <= 0:
        return "step > 0 must hold"
    # The decimals as written: in floats, 0.6 to 0.95 isn't a whole number of steps of 0.05
    if (Fraction(str(high)) - Fraction(str(low))) % Fraction(str(step)) != 0:
        return "max must be a whole number of steps above min"
    return ""


def _number(node: YamlNode, key: str, diagnostics: Diagnostics) -> Any:
    value = to_plain(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        diagnostics.add(node.location, key, f"must be a number, but got {quote(value)}")
    return value


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _log(node: MapNode, key: str, diagnostics: Diagnostics) -> bool:
    entry = node.entries.get("log")
    if entry is None:
        return False
    value = to_plain(entry)
    if not isinstance(value, bool):
        diagnostics.add(
            entry.location, join(key, "log"), f"must be true or false, but got {quote(value)}"
        )
        return False
    return value


def _end(
    value_schema: Value, value: Any, location: SourceLocation, key: str, diagnostics: Diagnostics
) -> Any:
    try:
        return fixed_value(value_schema, ScalarNode(location, value))
    except RuleBroken as broken:
        diagnostics.add(location, key, str(broken))
        return value


def _choice(
    value_schema: Value, node: MapNode, key: str, diagnostics: Diagnostics
) -> Choice | None:
    if set(node.entries) & set(RANGE_KEYS):
        diagnostics.add(
            node.location,
            key,
            "values must be the only key, or beside prior and confidence, without a range, but got "
            f"{_compact(node)}",
        )
        return None
    entry = node.entries["values"]
    if not isinstance(entry, ListNode) or not entry.items:
        diagnostics.add(
            entry.location,
            key,
            f"values must be a list of at least one value, but got {quote(to_plain(entry))}",
        )
        return None
    values: list[Any] = []
    complete = True
    for item in entry.items:
        try:
            value = fixed_value(value_schema, item)
        except RuleBroken as broken:
            diagnostics.add(item.location, key, str(broken))
            complete = False
            continue
        if any(label(value) == label(other) for other in values):
            diagnostics.add(
                item.location, key, f"values must differ, but {quote(value)} appears twice"
            )
            complete = False
        values.append(value)
    return Choice(tuple(values)) if complete else None


def _guess(
    value_schema: Value,
    searched: Range | Choice | None,
    node: MapNode,
    key: str,
    diagnostics: Diagnostics,
) -> Guess | None:
    """Return the prior of a range or a list of values; ``None`` without one, or if it is invalid.

    Args:
        value_schema: The schema of the key.
        searched: The range or list of values; ``None`` if it is invalid, so that a prior isn't
            compared with it.
        node: What the file contains.
        key: The dotted key.
        diagnostics: Receives problems.
    """

    def value_of(entry: YamlNode) -> Any:
        value = fixed_value(value_schema, entry)
        if isinstance(searched, Range) and not searched.integer and isinstance(value, int):
            value = value if isinstance(value, bool) else float(value)
        if searched is not None and not searched.contains(label(value)):
            raise RuleBroken(f"{_prior_rule(searched)}, but got {quote(value)}")
        return int(value) if isinstance(searched, Range) and searched.integer else value

    guess = parse_prior(node.entries, key, diagnostics, value_of)
    return None if searched is None else guess


def parse_prior(
    entries: Mapping[str, YamlNode],
    key: str,
    diagnostics: Diagnostics,
    value_of: Callable[[YamlNode], Any],
) -> Guess | None:
    """Return the prior of a parameter; ``None`` without one, or if it is invalid.

    Args:
        entries: Those of the parameter; ``prior`` and ``confidence`` are read.
        key: The dotted key of the parameter.
        diagnostics: Receives problems.
        value_of: Returns the value of ``prior``, or raises ``RuleBroken``.
    """
    confidence = _confidence(entries, key, diagnostics)
    entry = entries.get("prior")
    if entry is None:
        if "confidence" in entries:
            diagnostics.add(
                entries["confidence"].location,
                join(key, "confidence"),
                "a confidence needs a prior, the value that you expect to be best, but there is "
                "none; add prior: VALUE",
            )
        return None
    try:
        return Guess(value_of(entry), confidence)
    except RuleBroken as broken:
        diagnostics.add(entry.location, join(key, "prior"), str(broken))
        return None


def _prior_rule(searched: Range | Choice) -> str:
    """Return the rule for a prior."""
    if isinstance(searched, Choice):
        return f"a prior must be one of the values, {quote(list(searched.values))}"
    span = f"from {quote(searched.low)} to {quote(searched.high)}"
    if searched.step is None or searched.log or (searched.integer and searched.step == 1):
        return f"a prior must be {'an integer' if searched.integer else 'a number'} {span}"
    return (
        f"a prior must be on the steps of its range, {quote(searched.low)} + n x "
        f"{quote(searched.step)}, {span}"
    )


def _confidence(entries: Mapping[str, YamlNode], key: str, diagnostics: Diagnostics) -> Confidence:
    entry = entries.get("confidence")
    if entry is None:
        return "medium"
    value = to_plain(entry)
    for confidence in CONFIDENCES:
        if value == confidence:
            return confidence
    diagnostics.add(
        entry.location,
        join(key, "confidence"),
        f"a confidence must be {', '.join(CONFIDENCES[:-1])} or {CONFIDENCES[-1]}, "
        f"but got {quote(value)}",
    )
    return "medium"


def _compact(node: YamlNode) -> str:
    """Return a mapping as a study file writes it on one line."""
    value = to_plain(node)
    if not isinstance(value, dict):
        return quote(value)
    return "{" + ", ".join(f"{name}: {quote(item)}" for name, item in value.items()) + "}"


_WORDS = {
    "be a valid integer": "be an integer",
    "be a valid number": "be a number",
    "be a valid boolean": "be true or false",
    "be a valid string": "be text",
    "be a valid array": "be a list",
    "be a valid list": "be a list",
    "be None": "be null",
}


def _rule(value_schema: Value, error: ValidationError) -> str:
    """Return the broken rules in words: ``must be an integer or null``."""
    if value_schema.rule:
        return f"must be {value_schema.rule}"
    errors = error.errors(include_url=False)
    item = next((part for part in errors[0]["loc"] if isinstance(part, int)), None)
    phrases: dict[str, None] = {}
    for detail in errors:
        if item is None or item in detail["loc"]:
            phrase = re.sub(r"^\w+ should ", "", detail["msg"])
            phrase = phrase.replace("Value error, ", "satisfy this rule: ")
            phrase = phrase.replace("greater than or equal to", "at least")
            phrase = phrase.replace("less than or equal to", "at most")
            phrases[_WORDS.get(phrase, phrase)] = None
    if value_schema.nullable and item is None:
        phrases["be null"] = None
    rule = " or ".join(phrases).replace(" or be ", " or ")
    return f"must {rule}" if item is None else f"item {item + 1} must {rule}"


def _plain(value: Any, folder: Path) -> Any:
    match value:
        case Enum():
            return _plain(value.value, folder)
        case Path():
            return PathText((folder / value.expanduser()).resolve())
        case list() | tuple() | set() | frozenset():
            return [_plain(item, folder) for item in value]
        case Mapping():
            return {str(name): _plain(item, folder) for name, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
    raise UserError(f"a study file can't contain a value of type {type(value).__name__}")
