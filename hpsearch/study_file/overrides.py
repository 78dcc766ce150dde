"""``--set path=value``: changes to a study file from the command line.

The value is YAML. A path that names a section replaces the section; a longer one changes a key
inside it, also through a short form (``data.source.cifar10.train_batches`` if the file has
``source: cifar10``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, shorten
from hpsearch.study_file.schema import ComponentChoice, Raw, Schema, Section, Switches, Value
from hpsearch.study_file.space import PRIOR_KEYS, join
from hpsearch.study_file.spelling import unknown_name
from hpsearch.study_file.syntax import MapNode, ScalarNode, YamlNode, read_yaml
from hpsearch.study_file.values import SEARCH_KEYS
from hpsearch.study_file.walk import as_entries, is_null

#: Most characters of an override that a message shows.
_LONGEST = 200


@dataclass(frozen=True)
class Override:
    """One ``--set``."""

    path: str
    value: YamlNode


class _Refused(Exception):
    """A path can't be followed: the key at which it ends, and why."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def read_overrides(
    texts: Sequence[str],
    diagnostics: Diagnostics,
    *,
    option: str = "--set",
    rule: str = "an override must be written path=value, as in data.limit=4000",
) -> list[Override]:
    """Parse ``path=value`` texts; relative paths in a value start from the current folder.

    Args:
        texts: The values of the option.
        diagnostics: Receives problems.
        option: The option, for messages.
        rule: The message for a text of another form.
    """
    overrides = []
    for order, text in enumerate(texts, start=1):
        location = SourceLocation(
            f"{option} {shorten(text, _LONGEST)}", folder=Path.cwd(), order=order
        )
        path, equals, written = text.partition("=")
        if not equals or not path.strip():
            diagnostics.add(location, "", rule)
            continue
        value = read_yaml(written, location, diagnostics)
        if value is not None:
            overrides.append(Override(path.strip(), value))
    return overrides


def apply_overrides(
    root: MapNode, schema: Section, overrides: Sequence[Override], diagnostics: Diagnostics
) -> MapNode:
    """Return the file's tree with the overrides applied.

    Args:
        root: The tree of the file.
        schema: The root schema.
        overrides: The changes; later ones take precedence.
        diagnostics: Receives problems; an override with a problem isn't applied.
    """
    all_paths = frozenset(override.path for override in overrides)
    for override in overrides:
        try:
            path = override.path.split(".")
            tree = _put(schema, root, path, override.value, "", all_paths, diagnostics)
        except _Refused as refused:
            diagnostics.add(override.value.location, refused.key, str(refused))
            continue
        if isinstance(tree, MapNode):
            root = tree
    return root


def _put(
    schema: Schema,
    node: YamlNode | None,
    path: list[str],
    value: YamlNode,
    key: str,
    all_paths: frozenset[str],
    diagnostics: Diagnostics,
) -> YamlNode:
    """Return ``node`` (``None``: not in the file) with ``value`` at ``path`` inside it.

    ``all_paths`` are those of all overrides.
    """
    if not path:
        return value
    name, rest = path[0], path[1:]
    here = join(key, name)
    inner = _inside(schema, node, name, key, diagnostics)
    entries = _entries(schema, node, value, key)
    if isinstance(schema, ComponentChoice) and not isinstance(schema, Switches):
        others = [other for other in entries if other not in (name, *PRIOR_KEYS)]
        if others and name not in (*entries, *PRIOR_KEYS):
            raise _Refused(
                here,
                f"an override reaches into what the study lists, {', '.join(others)}; "
                f"--set {key}={name} replaces it",
            )
    if isinstance(schema, Section) and not is_null(value):
        for other in schema.against(name):
            # An override replaces the file's other key, but not that of another override
            if join(key, other) not in all_paths:
                entries.pop(other, None)
    if inner is not None:
        entries[name] = _put(inner, entries.get(name), rest, value, here, all_paths, diagnostics)
    elif not rest:
        entries[name] = value
    else:
        raise _Refused(join(here, rest[0]), f"there is nothing below {here}")
    return MapNode(node.location if node else value.location, entries)


def _inside(
    schema: Schema, node: YamlNode | None, name: str, key: str, diagnostics: Diagnostics
) -> Schema | None:
    """Return the schema of ``name``; ``None`` for the end of a range or a prior: it has none."""
    here = join(key, name)
    match schema:
        case Section(keys=keys):
            if name not in keys:
                raise _Refused(here, str(unknown_name("key", name, schema.suggested, diagnostics)))
            return keys[name]
        case ComponentChoice():
            if name not in schema.registry:
                if name in PRIOR_KEYS:
                    return None
                kind, names = schema.registry.kind, schema.registry.names()
                raise _Refused(here, str(unknown_name(kind, name, names, diagnostics)))
            return schema.option(name)
        case Value():
            if isinstance(node, MapNode) and name in SEARCH_KEYS:
                return None
            raise _Refused(here, f"there is nothing below {key}; --set {key}=.. sets its value")
        case Raw():
            raise _Refused(here, f"only the whole of {key} can be set")


def _entries(
    schema: Schema, node: YamlNode | None, value: YamlNode, key: str
) -> dict[str, YamlNode]:
    if node is None:
        return {}
    if isinstance(schema, Section | ComponentChoice):
        # An override may replace true or false, as the value of a switch, by keys
        switched = isinstance(node, ScalarNode) and isinstance(node.value, bool)
        entries = {} if switched else as_entries(schema, node)
    else:
        entries = dict(node.entries) if isinstance(node, MapNode) else None
    if entries is None:
        raise _Refused(key, "an override can't reach inside what the file has here; set it whole")
    return entries
