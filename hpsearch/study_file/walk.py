"""Checks the whole tree of a study file against its schema, and turns it into a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, quote
from hpsearch.study_file.schema import ComponentChoice, Raw, Schema, Section, Switches, Value
from hpsearch.study_file.space import (
    PRIOR_KEYS,
    Branch,
    Choice,
    Fixed,
    Group,
    Node,
    Range,
    join,
)
from hpsearch.study_file.spelling import report_unknown
from hpsearch.study_file.syntax import (
    ListNode,
    MapNode,
    ScalarNode,
    YamlNode,
    from_plain,
    to_plain,
)
from hpsearch.study_file.values import RuleBroken, fixed_value, parse_prior, parse_value

#: As the name of a component: that of the study in ``from`` (``inherit.complete``).
FOUND = "found"


def parse(
    schema: Schema, node: YamlNode, key: str, diagnostics: Diagnostics, *, searchable: bool
) -> Node | None:
    """Return the part of the space that ``node`` describes, with defaults.

    Args:
        schema: The schema of the part.
        node: The value as it was written.
        key: The dotted key; empty for the root.
        diagnostics: Receives problems.
        searchable: Whether ranges, lists of values and branches are allowed.

    Returns:
        The part without its invalid keys; ``None`` if it is invalid itself.
    """
    match schema:
        case Value():
            return parse_value(schema, node, key, diagnostics, searchable=searchable)
        case Section():
            return _section(schema, node, key, diagnostics, searchable)
        case Switches():
            return _some_of(schema, node, key, diagnostics, searchable)
        case ComponentChoice():
            return _one_of(schema, node, key, diagnostics, searchable)
        case Raw():
            return Fixed(to_plain(node))


def plain(node: Node) -> Any:
    """Return a part of the space as a study file writes it, with defaults and ranges."""
    match node:
        case Fixed(value):
            return value
        case Range():
            return _plain_range(node)
        case Choice(values):
            return {"values": list(values), **_plain_prior(node)}
        case Group(children):
            return {key: plain(child) for key, child in children.items()}
        case Branch(options):
            plain_options = {name: plain(option) for name, option in options.items()}
            return {**plain_options, **_plain_prior(node)}


def as_entries(schema: Section | ComponentChoice, node: YamlNode) -> dict[str, YamlNode] | None:
    """Return the entries of ``node``, with short forms expanded.

    ``mlp`` is short for ``{mlp: null}``, null for ``{}``, and a bare value of a section for
    ``{shorthand: value}``. Returns ``None`` if the node is none of these and no mapping.
    """
    match node:
        case MapNode(_, entries):
            return dict(entries)
        case ScalarNode(_, None):
            return {}
        case ScalarNode(location, value):
            if isinstance(schema, Section):
                return {schema.shorthand: node} if schema.shorthand else None
            if isinstance(value, str) and not (isinstance(schema, Switches) and not schema.listed):
                return {value: ScalarNode(location, None)}
        case ListNode(_, items) if isinstance(schema, Switches) and schema.listed:
            return _components_in(schema, items)
        case ListNode() if isinstance(schema, Section) and schema.shorthand:
            short = schema.keys[schema.shorthand]
            if isinstance(short, Value) and short.takes_lists:
                return {schema.shorthand: node}
    return None


def _components_in(schema: Switches, items: Sequence[YamlNode]) -> dict[str, YamlNode] | None:
    """Return a list's components by name; ``None`` if an item isn't one, or appears twice."""
    components: dict[str, YamlNode] = {}
    for item in items:
        entries = None if isinstance(item, ListNode) else as_entries(schema, item)
        if not entries or not components.keys().isdisjoint(entries):
            return None
        components |= entries
    return components


def _plain_range(node: Range) -> dict[str, Any]:
    written: dict[str, Any] = {"min": node.low, "max": node.high}
    if node.log:
        written["log"] = True
    if node.step is not None and not (node.integer and node.step == 1):
        written["step"] = node.step
    return {**written, **_plain_prior(node)}


def _plain_prior(node: Range | Choice | Branch) -> dict[str, Any]:
    guess = node.guess
    return {} if guess is None else {"prior": guess.value, "confidence": guess.confidence}


def no_section(schema: Section, node: YamlNode) -> str:
    """Return the message for a value that should be a mapping of ``schema``'s keys and isn't."""
    listed, got = ", ".join(schema.keys), quote(to_plain(node))
    hint = "".join(f"; write {{{key}: {got}}}" for key in _likely_key(schema, node))
    return f"must be a mapping with the keys {listed}, but got {got}{hint}"


def _likely_key(schema: Section, node: YamlNode) -> list[str]:
    """Return the key of a value without key: the only required one, if the value is valid."""
    required = [key for key, sub in schema.keys.items() if sub.required]
    if len(required) != 1 or is_null(node):
        return []
    leaf = schema.keys[required[0]]
    if not isinstance(leaf, Value):
        return []
    try:
        fixed_value(leaf, node)
    except RuleBroken:
        return []
    return required


def _section(
    schema: Section, node: YamlNode, key: str, diagnostics: Diagnostics, searchable: bool
) -> Node | None:
    if schema.nullable and isinstance(node, ScalarNode) and node.value is None:
        return Fixed(None)
    entries = as_entries(schema, node)
    if entries is None:
        diagnostics.add(node.location, key, no_section(schema, node))
        return None
    for name, entry in entries.items():
        if name not in schema.keys:
            names, here = (*schema.suggested, *schema.others), join(key, name)
            report_unknown(entry.location, here, "key", name, names, diagnostics)
    children: dict[str, Node] = {}
    file_keys = {name for name, entry in entries.items() if not is_null(entry)}
    _check_either_or(schema, entries, file_keys, key, diagnostics)
    for name, sub in schema.keys.items():
        path = join(key, name)
        leaf = sub if isinstance(sub, Value) else None
        if name not in file_keys and (
            (leaf and leaf.silent) or file_keys.intersection(schema.against(name))
        ):
            continue
        value = entries.get(name) or _default(sub, node.location, path, diagnostics)
        if value is None:
            continue
        inner = (searchable or name in schema.searched) and not (leaf and leaf.fixed)
        child = parse(sub, value, path, diagnostics, searchable=inner)
        if child is not None:
            children[name] = child
    return Group(children)


def is_null(node: YamlNode) -> bool:
    """Whether the value is null, which counts as not given."""
    return isinstance(node, ScalarNode) and node.value is None


def _check_either_or(
    schema: Section,
    entries: dict[str, YamlNode],
    file_keys: set[str],
    key: str,
    diagnostics: Diagnostics,
) -> None:
    for pair in schema.either_or:
        if file_keys.issuperset(pair.keys):
            one, two = sorted(pair.keys, key=lambda name: _position(entries[name]))
            diagnostics.add(
                entries[two].location,
                join(key, two),
                f"{pair.rule}, but both {one} and {two} are given; remove one of them",
            )


def _position(node: YamlNode) -> tuple[int, int, int]:
    location = node.location
    return location.order, location.line or 0, location.column


def _default(
    schema: Schema, location: SourceLocation, key: str, diagnostics: Diagnostics
) -> YamlNode | None:
    """Return a key's default as a value of the file, so that it is checked in the same way."""
    if not isinstance(schema, Section) and schema.required:
        diagnostics.add(location, key, "this key is required, but it is missing; add it")
        return None
    return from_plain(schema.default, location)


def _one_of(
    schema: ComponentChoice, node: YamlNode, key: str, diagnostics: Diagnostics, searchable: bool
) -> Node | None:
    if schema.nullable and isinstance(node, ScalarNode) and node.value is None:
        return Fixed(None)
    kind = schema.registry.kind
    entries = as_entries(schema, node)
    prior: dict[str, YamlNode] = {}
    if entries and searchable:
        names = schema.registry.names()
        prior = {name: entries.pop(name) for name in PRIOR_KEYS if name in {*entries} - {*names}}
    if not entries:
        hint = ""
        if isinstance(node, ListNode) and searchable:
            hint = "; to search over several, name each as a key: {a: {..}, b: {..}}"
        diagnostics.add(
            node.location,
            key,
            f"must name a {kind}, one of {', '.join(schema.registry.names())}, "
            f"but got {quote(to_plain(node))}{hint}",
        )
        return None
    if len(entries) > 1 and not searchable:
        diagnostics.add(
            node.location, key, f"must name one {kind}, not searched, but got {', '.join(entries)}"
        )
        return None
    options: dict[str, Group] = {}
    for name, entry in entries.items():
        if name not in schema.registry:
            if name == FOUND:
                message = (
                    f"found means the {kind} that the study in `from` found, but this "
                    f"study has no `from`; name one there, or a {kind} here"
                )
                diagnostics.add(entry.location, key, message)
                continue
            report_unknown(entry.location, key, kind, name, schema.registry.names(), diagnostics)
            continue
        option = parse(
            schema.option(name), entry, join(key, name), diagnostics, searchable=searchable
        )
        # An invalid option stays listed, or try_first would report it as unknown
        options[name] = option if isinstance(option, Group) else Group({})
    guess = parse_prior(
        prior, key, diagnostics, lambda entry: _prior_component(entry, kind, entries)
    )
    return Branch(options, guess=guess) if options else None


def _prior_component(node: YamlNode, kind: str, listed: Mapping[str, YamlNode]) -> str:
    """Return the component that a branch's prior names. Raises ``RuleBroken``."""
    name = to_plain(node)
    if len(listed) < 2:
        raise RuleBroken(
            f"a prior needs several to choose from, but {', '.join(listed)} is the only {kind} "
            "that this study lists; remove the prior"
        )
    if not isinstance(name, str) or name not in listed:
        raise RuleBroken(
            f"a prior must be a {kind} that this study lists, {', '.join(listed)}, but got "
            f"{quote(name)}"
        )
    return name


def _some_of(
    schema: Switches, node: YamlNode, key: str, diagnostics: Diagnostics, searchable: bool
) -> Node | None:
    kind = schema.registry.kind
    entries = as_entries(schema, node)
    if entries is None:
        diagnostics.add(
            node.location,
            key,
            f"must be a {'list of names, each once, or a ' if schema.listed else ''}mapping, "
            f"{{name: true}} for each {kind} of {', '.join(schema.registry.names())}, "
            f"but got {quote(to_plain(node))}",
        )
        return None
    children: dict[str, Node] = {}
    for name, entry in entries.items():
        if name not in schema.registry:
            report_unknown(entry.location, key, kind, name, schema.registry.names(), diagnostics)
            continue
        child = _switch(schema, name, entry, join(key, name), diagnostics, searchable)
        children[name] = Group({}) if child is None else child
    return Group(children)


#: The value of a switch without settings.
ON_OFF = Value(type=bool, rule="true, false, {values: [true, false]} or a mapping of its keys")


def _switch(
    schema: Switches,
    name: str,
    node: YamlNode,
    key: str,
    diagnostics: Diagnostics,
    searchable: bool,
) -> Node | None:
    """Parse the value of a switch: on, off, searched, or settings."""
    keys = schema.option(name)
    searched = isinstance(node, MapNode) and "values" in node.entries
    if isinstance(node, ScalarNode) and node.value is None:
        node = MapNode(node.location, {})
    if isinstance(node, MapNode) and not searched:
        return parse(keys, node, key, diagnostics, searchable=searchable)
    child = parse_value(ON_OFF, node, key, diagnostics, searchable=searchable)
    needed = [own for own, sub in keys.keys.items() if sub.required]
    if child is not None and child != Fixed(False) and needed:
        diagnostics.add(
            node.location,
            key,
            f"needs its keys {', '.join(needed)}, but got {quote(to_plain(node))}",
        )
        return None
    return child
