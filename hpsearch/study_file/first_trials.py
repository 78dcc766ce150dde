"""``try_first``: configurations to run before the sampler chooses.

An entry has the shape of the file itself and may leave out any key; its values must be inside the
space. It becomes path -> stored value, the form in which a trial's parameters are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, quote
from hpsearch.study_file.schema import ComponentChoice, Schema, Section, Switches, Value
from hpsearch.study_file.space import (
    Branch,
    Choice,
    Fixed,
    Group,
    Node,
    Parameter,
    Range,
    Scalar,
    join,
    label,
)
from hpsearch.study_file.spelling import report_unknown
from hpsearch.study_file.syntax import ListNode, MapNode, ScalarNode, YamlNode, to_plain
from hpsearch.study_file.values import RuleBroken, fixed_value, is_value
from hpsearch.study_file.walk import ON_OFF, as_entries, no_section


@dataclass(frozen=True, kw_only=True)
class FirstTrial:
    """One entry of ``try_first``."""

    #: Path -> stored value, as in ``Draw.params``; missing parameters are sampled.
    params: Mapping[str, Scalar]
    #: The entry in the file's shape, with short forms expanded.
    written: Mapping[str, Any]


def parse_first_trials(
    schema: Section, space: Group, node: YamlNode, diagnostics: Diagnostics
) -> list[FirstTrial]:
    """Check each entry against the schema of the space and the space itself.

    Args:
        schema: The schema of the keys that the space consists of.
        space: The space of the study.
        node: The value of ``try_first``.
        diagnostics: Receives problems.

    Returns:
        The entries in the file's order, without their invalid values.
    """
    if not isinstance(node, ListNode):
        diagnostics.add(
            node.location,
            "try_first",
            f"must be a list of entries, but got {quote(to_plain(node))}",
        )
        return []
    trials = []
    for number, item in enumerate(node.items):
        key = f"try_first[{number}]"
        if not isinstance(item, MapNode):
            diagnostics.add(
                item.location,
                key,
                f"must be a mapping like the file, but got {quote(to_plain(item))}",
            )
            continue
        reader = _Reader(diagnostics, key)
        written = reader.read(schema, space, item, "")
        trials.append(FirstTrial(params=reader.params, written=written))
    return trials


@dataclass
class _Reader:
    """Walks one entry along the schema and the space, and collects its parameters."""

    diagnostics: Diagnostics
    prefix: str
    params: dict[str, Scalar] = field(default_factory=dict)

    def read(self, schema: Schema, space: Node, node: YamlNode, path: str) -> Any:
        """Return the normal form of a part of the entry; report and leave out invalid values."""
        match schema, space:
            case Value(), _:
                return self.leaf(schema, space, node, path)
            case Switches(), Group():
                return self.switches(schema, space, node, path)
            case ComponentChoice(), Branch():
                return self.branch(schema, space, node, path)
            case Section(), Group():
                return self.group(schema, space, node, path)
        # A group or a component that is null in this study
        self.inside(space, to_plain(node), node.location, path)
        return to_plain(node)

    def problem(self, location: SourceLocation, path: str, message: str) -> None:
        self.diagnostics.add(location, join(self.prefix, path), message)

    def leaf(self, schema: Value, space: Node, node: YamlNode, path: str) -> Any:
        if isinstance(node, MapNode) and not is_value(schema, node):
            self.problem(
                node.location,
                path,
                f"an entry must give one value, but got {quote(to_plain(node))}",
            )
            return None
        try:
            value = fixed_value(schema, node)
        except RuleBroken as broken:
            self.problem(node.location, path, str(broken))
            return None
        self.inside(space, value, node.location, path)
        return value

    def inside(self, space: Node, value: Any, location: SourceLocation, path: str) -> None:
        """Store the parameter at ``path``, or report that ``value`` isn't in its space."""
        if isinstance(space, Range | Choice):
            if space.contains(label(value)):
                self.params[path] = label(value)
            else:
                self.problem(
                    location,
                    path,
                    f"must be in the space, {_words(space)}, but got {quote(value)}",
                )
        elif isinstance(space, Fixed) and label(space.value) != label(value):
            self.problem(
                location,
                path,
                f"is fixed to {quote(space.value)} in this study, so an entry can't change it, "
                f"but got {quote(value)}",
            )

    def group(self, schema: Section, space: Group, node: YamlNode, path: str) -> Any:
        entries = as_entries(schema, node)
        if entries is None:
            self.problem(node.location, path, no_section(schema, node))
            return None
        written = {}
        for name, entry in entries.items():
            here = join(path, name)
            if name not in schema.keys:
                key = join(self.prefix, here)
                names = schema.suggested
                report_unknown(entry.location, key, "key", name, names, self.diagnostics)
                continue
            sub = schema.keys[name]
            if name in space.children:  # else the file's own value is invalid and already reported
                written[name] = self.read(sub, space.children[name], entry, here)
            elif isinstance(sub, Value) and sub.silent:
                self.leaf(sub, Fixed(None), entry, here)
            elif instead := space.children.keys() & set(schema.against(name)):
                self.problem(
                    entry.location,
                    here,
                    f"this study gives {', '.join(instead)} in its place; leave it out",
                )
        return {name: written[name] for name in schema.keys if name in written}

    def branch(self, schema: ComponentChoice, space: Branch, node: YamlNode, path: str) -> Any:
        entries = as_entries(schema, node)
        if entries is None or len(entries) != 1:
            kind = schema.registry.kind
            self.problem(
                node.location,
                path,
                f"an entry must name exactly one {kind}, but got {quote(to_plain(node))}",
            )
            return None
        ((name, entry),) = entries.items()
        if name not in space.options:
            self.problem(
                entry.location,
                path,
                f"must be one that this study lists, {', '.join(space.options)}, "
                f"but got {quote(name)}",
            )
            return None
        if len(space.options) > 1:
            self.params[path] = name
        return {name: self.read(schema.option(name), space.options[name], entry, join(path, name))}

    def switches(self, schema: Switches, space: Group, node: YamlNode, path: str) -> Any:
        entries = as_entries(schema, node)
        if entries is None:
            self.problem(
                node.location, path, f"must be a mapping of names, but got {quote(to_plain(node))}"
            )
            return None
        written: dict[str, Any] = {}
        for name, entry in entries.items():
            here = join(path, name)
            if name not in schema.registry:
                key, kind = join(self.prefix, path), schema.registry.kind
                names = schema.registry.names()
                report_unknown(entry.location, key, kind, name, names, self.diagnostics)
                continue
            own = space.children.get(name, Fixed(False))
            if not isinstance(own, Group):
                written[name] = self.leaf(ON_OFF, own, entry, here)
            elif isinstance(entry, ScalarNode) and entry.value is True:
                written[name] = True
            else:
                written[name] = self.group(schema.option(name), own, entry, here)
        return written


def _words(space: Parameter) -> str:
    if isinstance(space, Choice):
        return "one of " + ", ".join(quote(value) for value in space.values)
    step = "" if space.step is None else f" in steps of {space.step}"
    return f"{space.low} to {space.high}{step}"
