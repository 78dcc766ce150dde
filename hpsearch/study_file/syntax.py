"""YAML 1.2 text as a tree of values with their lines.

Stricter than plain YAML: it refuses repeated keys, tags other than the core ones, merge keys,
numbers that aren't finite or don't fit 64 bits, and text that expands beyond bounds. Dates are
text.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import Event
from ruamel.yaml.nodes import MappingNode, SequenceNode
from ruamel.yaml.nodes import ScalarNode as RawScalar
from ruamel.yaml.reader import ReaderError

from hpsearch.errors import UserError
from hpsearch.registry import Component
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, quote
from hpsearch.study_file.space import Scalar, join

#: Most values of a study file, with those that aliases repeat.
MOST_VALUES = 20_000

#: Most keys of one mapping. As parsing takes the longest, both bounds are checked during it.
MOST_KEYS = 2_000

#: Most levels of nested lists and mappings; far more would raise a RecursionError.
MOST_LEVELS = 50

#: Larger integers have no use here, and Python refuses to print very long ones.
_LARGEST = 2**63 - 1

_TOO_DEEP = f"lists and mappings must be nested at most {MOST_LEVELS} deep"

_TOO_MANY_VALUES = f"a study file contains at most {MOST_VALUES} values"

_NUL = r"text must not contain a NUL (\0): no path or name can"

_CORE = "tag:yaml.org,2002:"
#: Tags of YAML 1.1 that are text in a study file.
_TEXT = {_CORE + "str", _CORE + "timestamp", _CORE + "value", _CORE + "merge"}
_CONSTRUCTED = {_CORE + "int", _CORE + "float", _CORE + "bool", _CORE + "null"}


@dataclass(frozen=True)
class ScalarNode:
    """A number, text, true, false or null."""

    location: SourceLocation
    value: Scalar


@dataclass(frozen=True)
class ListNode:
    """A list."""

    location: SourceLocation
    items: tuple[YamlNode, ...]


@dataclass(frozen=True)
class MapNode:
    """A mapping; the location of each value is that of its key."""

    location: SourceLocation
    entries: Mapping[str, YamlNode]


YamlNode: TypeAlias = ScalarNode | ListNode | MapNode


def read_yaml(text: str, location: SourceLocation, diagnostics: Diagnostics) -> YamlNode | None:
    """Parse YAML text.

    Args:
        text: The text.
        location: Its origin; lines are counted if its ``line`` isn't ``None``.
        diagnostics: Receives problems.

    Returns:
        The tree; ``None`` if the text isn't YAML or is too large, a null value if it is empty.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.max_depth = _BoundedComposer, MOST_LEVELS + 1
    try:
        with warnings.catch_warnings():
            # YAML allows a second definition of an anchor
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            raw = yaml.compose(text)
    except (MaxDepthExceededError, _TooMuch) as error:
        rule = str(error) if isinstance(error, _TooMuch) else _TOO_DEEP
        diagnostics.add(_at(location, error.problem_mark), "", rule)
        return None
    except MarkedYAMLError as error:
        mark, context = error.problem_mark or error.context_mark, error.context or ""
        begin = error.context_mark
        if location.line and context.startswith("while") and begin and begin.line != mark.line:
            context += f" that starts on line {begin.line + 1}"
        reason = ", ".join(part for part in (context, error.problem) if part)
        diagnostics.add(_at(location, mark), "", f"this is not valid YAML: {reason}")
        return None
    except ReaderError as error:
        here = _line(location, text.count("\n", 0, error.position))
        diagnostics.add(here, "", f"this is not valid YAML: {error.reason}")
        return None
    except YAMLError as error:
        diagnostics.add(location, "", f"this is not valid YAML: {error}")
        return None
    if raw is None:
        return ScalarNode(_line(location, 0), None)
    return _Converter(yaml, location, diagnostics).node(raw, "", _at(location, raw.start_mark), ())


def from_plain(value: Any, location: SourceLocation) -> YamlNode:
    """Return a Python value (a default, a stored document) as a tree at ``location``.

    Takes JSON-like values, ``Component``, dataclass instances, paths, enums, tuples and sets.

    Raises:
        UserError: The value is of another type, or a text contains a NUL.
    """
    match value:
        case str() if "\0" in value:
            raise UserError(f"{location}: {_NUL}")
        case Enum():
            return from_plain(value.value, location)
        case None | bool() | int() | float() | str():
            return ScalarNode(location, value)
        case Path():
            return ScalarNode(location, str(value))
        case Component(name, settings):
            return MapNode(location, {name: from_plain(settings, location)})
        case Mapping():
            return MapNode(
                location, {str(k): from_plain(item, location) for k, item in value.items()}
            )
        case list() | tuple():
            return ListNode(location, tuple(from_plain(item, location) for item in value))
        case set() | frozenset():
            return from_plain(sorted(value), location)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return from_plain(fields, location)
    raise UserError(f"a study file can't contain a value of type {type(value).__name__}: {value!r}")


def to_plain(node: YamlNode) -> Any:
    """Return the node as scalars, lists and dicts."""
    match node:
        case ScalarNode(_, value):
            return value
        case ListNode(_, items):
            return [to_plain(item) for item in items]
        case MapNode(_, entries):
            return {key: to_plain(value) for key, value in entries.items()}


class _TooMuch(MarkedYAMLError):
    """The text has more values or keys than a study file may; the rest isn't read."""

    def __init__(self, rule: str, event: Event) -> None:
        super().__init__(problem=rule, problem_mark=event.start_mark)

    def __str__(self) -> str:
        return str(self.problem)


class _BoundedComposer(Composer):
    """Stops parsing a text that has more values or keys than a study file may."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        is_key = isinstance(parent, MappingNode) and index is None
        self._values += not is_key
        if self._values > MOST_VALUES:
            raise _TooMuch(_TOO_MANY_VALUES, event)
        if is_key and len(parent.value) >= MOST_KEYS:
            raise _TooMuch(f"a mapping of a study file contains at most {MOST_KEYS:,} keys", event)
        return super().compose_node(parent, index)


class _Converter:
    """Turns ruamel's nodes into ours, and reports those that a study file may not have."""

    def __init__(self, yaml: Any, location: SourceLocation, diagnostics: Diagnostics) -> None:
        self.yaml, self.location, self.diagnostics = yaml, location, diagnostics
        self.count = 0

    def node(self, raw: Any, key: str, at: SourceLocation, inside: tuple[int, ...]) -> YamlNode:
        self.count += 1
        if id(raw) in inside:
            self.diagnostics.add(
                at, key, "an alias must not be inside the value that it repeats", final=True
            )
            return ScalarNode(at, None)
        if self.count > MOST_VALUES:
            if self.count == MOST_VALUES + 1:
                self.diagnostics.add(at, key, _TOO_MANY_VALUES, final=True)
            return ScalarNode(at, None)
        if len(inside) > MOST_LEVELS:
            self.diagnostics.add(at, key, _TOO_DEEP, final=True)
            return ScalarNode(at, None)
        tag = str(raw.tag)
        if isinstance(raw, MappingNode) and tag == _CORE + "map":
            return self.mapping(raw, key, at, (*inside, id(raw)))
        if isinstance(raw, SequenceNode) and tag == _CORE + "seq":
            items = (
                self.node(item, key, _at(self.location, item.start_mark), (*inside, id(raw)))
                for item in raw.value
            )
            return ListNode(at, tuple(items))
        if isinstance(raw, RawScalar) and "\0" in raw.value:
            self.diagnostics.add(at, key, _NUL, final=True)
            return ScalarNode(at, None)
        if isinstance(raw, RawScalar) and tag in _TEXT:
            return ScalarNode(at, raw.value)
        if isinstance(raw, RawScalar) and tag in _CONSTRUCTED:
            return ScalarNode(at, self.number(raw, key, at))
        self.diagnostics.add(
            at, key, f"YAML tags are not used in study files; remove {quote(tag)}", final=True
        )
        return ScalarNode(at, None)

    def mapping(self, raw: Any, key: str, at: SourceLocation, inside: tuple[int, ...]) -> MapNode:
        entries: dict[str, YamlNode] = {}
        for raw_key, raw_value in raw.value:
            here = _at(self.location, raw_key.start_mark)
            if not isinstance(raw_key, RawScalar):
                self.diagnostics.add(here, key, "a key must be a name, but got a list or a mapping")
                continue
            name = raw_key.value
            if str(raw_key.tag) == _CORE + "merge":
                self.diagnostics.add(
                    here, key, "merge keys (<<) are not part of YAML 1.2; remove it"
                )
            elif name in entries:
                first = entries[name].location.line
                self.diagnostics.add(
                    here, join(key, name), f"a key must appear once, but line {first} has it too"
                )
            else:
                entries[name] = self.node(raw_value, join(key, name), here, inside)
        return MapNode(at, entries)

    def number(self, raw: Any, key: str, at: SourceLocation) -> Scalar:
        try:
            value: Scalar = self.yaml.constructor.construct_object(raw)
        except (ValueError, YAMLError):
            self.diagnostics.add(
                at, key, f"this is not a value of its tag: {quote(raw.value)}", final=True
            )
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.diagnostics.add(
                at, key, f"a number must be finite, but got {raw.value}", final=True
            )
            return None
        if isinstance(value, int) and abs(value) > _LARGEST:
            self.diagnostics.add(
                at,
                key,
                f"a whole number must be between -2^63 and 2^63, but got {quote(raw.value)}",
                final=True,
            )
            return None
        # ruamel has its own subclasses of int and float
        if isinstance(value, float):
            return float(value)
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _line(location: SourceLocation, index: int) -> SourceLocation:
    """Return the location of a 0-based line, or ``location`` if the origin has no lines."""
    return location if location.line is None else replace(location, line=index + 1)


def _at(location: SourceLocation, mark: Any) -> SourceLocation:
    if mark is None or location.line is None:
        return location
    return replace(location, line=mark.line + 1, column=mark.column)
