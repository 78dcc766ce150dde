"""``recipe``: sections that train well, for the keys that a file leaves out.

A recipe is expanded when a file is read: a stored study contains the sections and not the name, so
that another version's recipe doesn't change it. The file wins, key by key, as with ``from``.
``benchmarks.recipes`` measures them (docs/recipes.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation
from hpsearch.study_file.inherit import fill_in
from hpsearch.study_file.overrides import Override
from hpsearch.study_file.schema import ComponentChoice, Section
from hpsearch.study_file.sections import LOOP, NEED_WEIGHTS, RECIPES
from hpsearch.study_file.space import Fixed, join
from hpsearch.study_file.syntax import MapNode, YamlNode, from_plain, to_plain
from hpsearch.study_file.walk import as_entries, parse

KEY = "recipe"


@dataclass(frozen=True)
class Recipe:
    """The recipe that a file names."""

    name: str
    location: SourceLocation


#: The key of a model that names the file of its first weights, and its value for random ones.
_WEIGHTS, _RANDOM = "weights", "none"

#: Keys with which a file can't have a recipe, and why.
_INSTEAD: Mapping[str, str] = {
    "found": "a file has either a recipe or `from`, which gives the same sections, but got both; "
    "remove one of them",
    LOOP: "a study with a training loop of its own (`loop`) can't have a recipe, which gives "
    "sections of hpsearch's own training; remove one of them",
}


def expand(
    root: MapNode, schema: Section, changes: Sequence[Override], diagnostics: Diagnostics
) -> tuple[MapNode, Recipe | None]:
    """Return the file's tree without ``recipe`` and with its sections, and the recipe.

    Args:
        root: The tree of the file.
        schema: The root schema.
        changes: The overrides; the last one of ``recipe`` replaces the file's.
        diagnostics: Receives problems.
    """
    overrides = [change.value for change in changes if change.path == KEY]
    node = overrides[-1] if overrides else root.entries.get(KEY)
    entries = {key: entry for key, entry in root.entries.items() if key != KEY}
    problems = len(diagnostics)
    name = None if node is None else _name(schema, node, diagnostics)
    if node is None or (name is None and len(diagnostics) == problems):
        return replace(root, entries=entries), None
    other = next((reason for key, reason in _INSTEAD.items() if key in entries), None)
    if other is not None:
        if name is not None:
            diagnostics.add(node.location, KEY, other)
        return replace(root, entries=entries), None
    # A wrong name is one problem: the keys that a recipe would fill in aren't missing
    nearest = get_close_matches(str(to_plain(node)), RECIPES, n=1, cutoff=0)
    sections = RECIPES[name or nearest[0]]
    defaults = {key: from_plain(section, node.location) for key, section in sections.items()}
    entries = fill_in(entries, schema, defaults, node.location, diagnostics)
    return replace(root, entries=entries), None if name is None else Recipe(name, node.location)


def require_weights(
    recipe: Recipe, root: MapNode, schema: Section, diagnostics: Diagnostics
) -> None:
    """Report models that begin with random weights, if the recipe is for pretrained ones.

    Args:
        recipe: The recipe.
        root: The tree of the file, with the overrides applied.
        schema: The root schema.
        diagnostics: Receives problems.
    """
    models = schema.keys["model"]
    if recipe.name not in NEED_WEIGHTS or not isinstance(models, ComponentChoice):
        return
    with_weights = [
        name for name in models.registry.names() if _WEIGHTS in models.option(name).keys
    ]
    rule = f"the recipe {recipe.name} is for a model with pretrained weights"
    example = "such as {resnet18: {weights: imagenet}}, or {resnet18: {weights: FILE}}"
    node = root.entries.get("model")
    written = None if node is None else as_entries(models, node)
    if not written:
        message = f"{rule}, but the file has no model; add one, {example}"
        diagnostics.add(recipe.location, "model", message)
        return
    for name, settings in written.items():
        key = join("model", name)
        if name in models.registry and name not in with_weights:
            diagnostics.add(
                settings.location,
                key,
                f"{rule}, but {name} has no key `{_WEIGHTS}`; use one of {', '.join(with_weights)}",
            )
        elif name in with_weights and _is_random(as_entries(models.option(name), settings)):
            diagnostics.add(
                settings.location,
                join(key, _WEIGHTS),
                f"{rule}, but got {_RANDOM}; give its weights, {example}, or use the recipe "
                "from_scratch",
            )


def _is_random(settings: Mapping[str, YamlNode] | None) -> bool:
    """Whether a model's first weights are always random."""
    if settings is None:
        return False  # not a mapping: reported elsewhere
    weights = settings.get(_WEIGHTS)
    return weights is None or to_plain(weights) in (None, _RANDOM, {"values": [_RANDOM]})


def _name(schema: Section, node: YamlNode, diagnostics: Diagnostics) -> str | None:
    name_node = parse(schema.keys[KEY], node, KEY, diagnostics, searchable=False)
    return name_node.value if isinstance(name_node, Fixed) else None


def sections_of(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a study's document that a recipe filled in, as they are now."""
    return {key: document[key] for key in RECIPES[name] if key in document}
