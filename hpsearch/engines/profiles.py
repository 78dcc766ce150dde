"""Profiles: how an engine runs workers at this site, from ``engines.yaml``.

They are apart from study files, since where a search runs is no part of its question::

    slurm:
      default: {time: 4h, gpus: 1, partition: gpu}
      big: {time: 12h, gpus: 1, memory: 64G}
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.engines import local as local  # each registers itself
from hpsearch.engines import ray as ray
from hpsearch.engines import slurm as slurm
from hpsearch.engines.engine import ENGINES
from hpsearch.engines.kubernetes import engine as kubernetes  # noqa: F401
from hpsearch.errors import UnknownName
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, quote
from hpsearch.study_file.loading import read_text
from hpsearch.study_file.overrides import read_overrides
from hpsearch.study_file.schema import ComponentChoice, Section
from hpsearch.study_file.space import join
from hpsearch.study_file.spelling import unknown_name
from hpsearch.study_file.syntax import MapNode, ScalarNode, YamlNode, read_yaml, to_plain
from hpsearch.study_file.walk import parse, plain

#: The profile of an engine that is named without one.
DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """An engine and its settings, checked, with defaults."""

    engine: str
    name: str
    settings: Mapping[str, Any]


def read_profile(profile: str, changes: Sequence[str] = ()) -> Profile:
    """Read the profile that ``--engine`` names.

    The file is ``engines.yaml`` in the current folder, otherwise that in the user's configuration
    folder. Without a file an engine has the profile ``default`` with the default settings.

    Args:
        profile: ``slurm`` or ``slurm:big``.
        changes: ``key=value`` texts, which replace settings of the profile; values are YAML.

    Raises:
        UnknownName: There is no such engine or profile.
        StudyFileError: The file or a change breaks rules; the message lists all mistakes.
    """
    engine, _, name = profile.partition(":")
    choice = ComponentChoice(registry=ENGINES)
    section = choice.option(engine)
    diagnostics = Diagnostics()
    by_engine = _profiles(choice, diagnostics)
    profiles = by_engine.get(engine, {})
    name = name or DEFAULT
    if name not in profiles and (name != DEFAULT or profiles):
        raise UnknownName("profile", name, profiles, f"(Those of {engine} in {_source()}.)")
    node = _with_changes(profiles.get(name), section, changes, diagnostics)
    space = parse(section, node, "", diagnostics, searchable=False)
    if len(diagnostics) or space is None:
        raise diagnostics.error()
    return Profile(engine=engine, name=name, settings=plain(space))


def profile_files() -> list[Path]:
    """Return the paths of files with profiles; the first one that exists is read."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [Path("engines.yaml"), Path(home) / "hpsearch" / "engines.yaml"]


def _source() -> str:
    paths = [str(path) for path in profile_files() if path.exists()]
    return paths[0] if paths else " or ".join(map(str, profile_files()))


def _profiles(choice: ComponentChoice, diagnostics: Diagnostics) -> dict[str, dict[str, YamlNode]]:
    """Return engine -> profile -> settings as they are written; all of them are checked."""
    path = next((path for path in profile_files() if path.exists()), None)
    if path is None:
        return {}
    root = read_yaml(
        read_text(path),
        SourceLocation(str(path), line=1, folder=path.resolve().parent),
        diagnostics,
    )
    profiles: dict[str, dict[str, YamlNode]] = {}
    for engine, node in _entries(root, "", "engines", diagnostics).items():
        try:
            section = choice.option(engine)
        except UnknownName:
            message = unknown_name("engine", engine, ENGINES.names(), diagnostics)
            diagnostics.add(node.location, engine, str(message))
            continue
        profiles[engine] = _entries(node, engine, "profiles", diagnostics)
        for name, settings in profiles[engine].items():
            parse(section, settings, join(engine, name), diagnostics, searchable=False)
    if len(diagnostics):
        raise diagnostics.error()
    return profiles


def _entries(
    node: YamlNode | None, key: str, what: str, diagnostics: Diagnostics
) -> dict[str, YamlNode]:
    match node:
        case MapNode(_, entries):
            return dict(entries)
        case None | ScalarNode(_, None):
            return {}
    value = quote(to_plain(node))
    diagnostics.add(node.location, key, f"must be a mapping of {what} by name, but got {value}")
    return {}


def _with_changes(
    node: YamlNode | None, section: Section, changes: Sequence[str], diagnostics: Diagnostics
) -> YamlNode:
    """Return a profile's settings with those of ``-E``."""
    location = SourceLocation("the profile") if node is None else node.location
    entries = dict(node.entries) if isinstance(node, MapNode) else {}
    rule = "a setting must be written key=value, as in time=8h"
    for change in read_overrides(changes, diagnostics, option="-E", rule=rule):
        if change.path in section.keys:
            entries[change.path] = change.value
        else:
            message = unknown_name("key", change.path, section.keys, diagnostics)
            diagnostics.add(change.value.location, change.path, str(message))
    return MapNode(location, entries)
