"""``recipe``: sections that train well, for the keys that a file leaves out.

A recipe is expanded when a file is read: a stored study contains the sections and not the name, so
that another version's recipe doesn't change it. The file wins, key by key, as with ``from``.
``benchmarks.recipes`` measures them (docs/recipes.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.study_file.diagnostics import Diagnostics
from hpsearch.study_file.inherit import filled
from hpsearch.study_file.overrides import Override
from hpsearch.study_file.schema import Section
from hpsearch.study_file.sections import LOOP, RECIPES
from hpsearch.study_file.space import Fixed
from hpsearch.study_file.syntax import MapNode, YamlNode, from_plain
from hpsearch.study_file.walk import parse

KEY = "recipe"

#: Keys with which a file can't have a recipe, and why.
_INSTEAD: Mapping[str, str] = {
    "found": "a file has either a recipe or `from`, which gives the same sections, but got both; "
    "remove one of them",
    LOOP: "a study with a training loop of its own (`loop`) can't have a recipe, which gives "
    "sections of hpsearch's own training; remove one of them",
}


def expand(
    root: MapNode, schema: Section, changes: Sequence[Override], diagnostics: Diagnostics
) -> tuple[MapNode, str | None]:
    """Return the file's tree without ``recipe`` and with its sections, and the recipe's name.

    Args:
        root: The tree of the file.
        schema: The root schema.
        changes: The overrides; the last one of ``recipe`` replaces the file's.
        diagnostics: Receives problems.
    """
    named = [change.value for change in changes if change.path == KEY]
    node = named[-1] if named else root.entries.get(KEY)
    entries = {key: each for key, each in root.entries.items() if key != KEY}
    name = None if node is None else _name(schema, node, diagnostics)
    if node is None or name is None:
        return replace(root, entries=entries), None
    other = next((reason for key, reason in _INSTEAD.items() if key in entries), None)
    if other is not None:
        diagnostics.add(node.location, KEY, other)
        return replace(root, entries=entries), None
    defaults = {key: from_plain(each, node.location) for key, each in RECIPES[name].items()}
    entries = filled(entries, schema, defaults, node.location, diagnostics)
    return replace(root, entries=entries), name


def _name(schema: Section, node: YamlNode, diagnostics: Diagnostics) -> str | None:
    found = parse(schema.keys[KEY], node, KEY, diagnostics, searchable=False)
    return found.value if isinstance(found, Fixed) else None


def sections_of(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a study's document that a recipe filled in, as they are now."""
    return {key: document[key] for key in RECIPES[name] if key in document}
