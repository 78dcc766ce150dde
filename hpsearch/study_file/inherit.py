"""``from``: an earlier study's result is used for the keys that this file leaves out.

The earlier study is a stored one, by name (its best complete trial, or the one that ``trial``
names), or a frozen file. Only keys that can be searched are taken over, and the ``metrics`` of a
study with a loop of its own. The file takes precedence, key by key: if both name the same
component, it gets the keys that the file leaves out; any other value of the file stays as it is
written. As the name of a component, ``found`` means the earlier study's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hpsearch.errors import UserError
from hpsearch.study_file.compare import fingerprint
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation
from hpsearch.study_file.overrides import Override, apply_overrides
from hpsearch.study_file.schema import ComponentChoice, Schema, Section, Switches
from hpsearch.study_file.sections import FROM, LOOP, SEARCHED
from hpsearch.study_file.space import Group, join
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.syntax import ListNode, MapNode, ScalarNode, YamlNode, from_plain
from hpsearch.study_file.walk import FOUND, as_entries, is_null, parse, plain


@dataclass(frozen=True, kw_only=True)
class InheritedConfig:
    """The configuration that a study takes over from an earlier one."""

    #: The earlier study's name.
    study: str
    #: Its trial number there; ``None`` if a frozen file doesn't record it.
    trial: int | None
    #: The fingerprint of that study; for a file that doesn't record one, the file's own.
    fingerprint: str
    #: The trial's value of that study's objective; ``None`` if unknown.
    value: float | None
    #: A study document without ranges (``freezing.freeze``).
    document: Mapping[str, Any]

    @property
    def has_loop(self) -> bool:
        """Whether that study has a training loop of its own."""
        return LOOP in self.document

    def record(self) -> dict[str, Any]:
        """Return the record of it in the later study's document."""
        return {
            "study": self.study,
            "trial": self.trial,
            "fingerprint": self.fingerprint,
            "value": self.value,
        }


#: Finds a stored study's winner, or the trial of a number: ``resolve(study, trial)``. Raises
#: ``UserError`` if there is none.
Resolve: TypeAlias = Callable[[str, int | None], InheritedConfig]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The value of ``from``."""

    study: str
    trial: int | None
    location: SourceLocation

    @property
    def file(self) -> Path | None:
        """The frozen file; ``None`` for a stored study."""
        if self.study.endswith((".yaml", ".yml")) or "/" in self.study or "\\" in self.study:
            return self.location.folder / Path(self.study).expanduser()
        return None


def is_origin(path: str) -> bool:
    """Whether an override's path is that of ``from``, or inside it."""
    return path.partition(".")[0] == "from"


def read_origin(root: MapNode, changes: list[Override], diagnostics: Diagnostics) -> Origin | None:
    """Return the value of ``from``, or ``None`` if it is missing or null.

    Args:
        root: The tree of the file.
        changes: The overrides that ``is_origin`` selects.
        diagnostics: Receives problems.

    Raises:
        StudyFileError: ``from`` is invalid. Loading can't continue, as nearly every required key
            would be reported as missing.
    """
    schema = Section(keys={"from": FROM})
    from_entry = {"from": root.entries["from"]} if "from" in root.entries else {}
    before = len(diagnostics)
    node = apply_overrides(MapNode(root.location, from_entry), schema, changes, diagnostics)
    written = node.entries.get("from")
    tree = None if written is None else parse(FROM, written, "from", diagnostics, searchable=False)
    if len(diagnostics) > before:
        raise diagnostics.error()
    if written is None or not isinstance(tree, Group):
        return None
    keys = plain(tree)
    entries = as_entries(FROM, written) or {}
    return Origin(study=keys["study"], trial=keys["trial"], location=entries["study"].location)


def find(
    origin: Origin,
    resolve: Resolve | None,
    load: Callable[[Path], StudyFile],
    inside: Sequence[Path],
) -> InheritedConfig:
    """Return the configuration that ``origin`` means.

    Args:
        origin: The value of ``from``.
        resolve: Finds a stored study's trial; ``None`` if there is no database.
        load: Reads a study file.
        inside: The chain of files, each named by ``from`` of the one before, that led here.

    Raises:
        UserError: There is no such study, trial or file, the study has no complete trial yet, a
            trial is named for a file, or the file is invalid, isn't frozen or leads to itself.
    """
    path = origin.file
    if path is not None:
        if origin.trial is not None:
            raise UserError(
                "trial names one of a stored study's trials, and a frozen file contains only one, "
                f"but got trial {origin.trial} of {origin.study}; leave trial out"
            )
        if path.resolve() in inside:
            raise UserError(
                f"must be an earlier study, but {path} leads to itself; name another file"
            )
        return _in_file(path, load)
    if resolve is None:
        raise UserError(
            f"only a frozen file can be read here, without a database, but got {origin.study!r}; "
            "export that study and name the file"
        )
    return resolve(origin.study, origin.trial)


def _in_file(path: Path, load: Callable[[Path], StudyFile]) -> InheritedConfig:
    if not path.is_file():
        raise UserError(
            f"must be a stored study's name or a frozen file, but there is no file {path}; "
            "`hpsearch export` writes one"
        )
    study = load(path)
    if not study.is_frozen:
        searched = ", ".join(study.space.parameters())
        raise UserError(
            f"must be a frozen file, without ranges, but {path} searches {searched}; launch it and "
            "name its study, or export its winner"
        )
    content = study.provenance or {}
    document = {key: value for key, value in study.document.items() if key != "provenance"}
    return InheritedConfig(
        study=_of_kind(content.get("study"), str) or study.name,
        trial=_of_kind(content.get("trial"), int),
        fingerprint=_of_kind(content.get("fingerprint"), str) or fingerprint(document),
        value=_of_kind(content.get("value"), int | float),
        document=document,
    )


def _of_kind(value: Any, kind: Any) -> Any:
    """Return a value of a provenance if it is of this type, else ``None``."""
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def complete(
    root: MapNode,
    schema: Section,
    inherited: InheritedConfig,
    at: SourceLocation,
    diagnostics: Diagnostics,
) -> MapNode:
    """Return the file's tree, completed with the inherited keys and the record ``found``.

    Args:
        root: The tree of the file.
        schema: The root schema.
        inherited: The earlier study's configuration.
        at: The location of ``from``, which becomes that of every inherited value.
        diagnostics: Receives problems.
    """
    entries = {key: node for key, node in root.entries.items() if key != "from"}
    # Of a study with a loop of its own, its metrics are taken, too
    keys = (LOOP, "metrics") if inherited.has_loop else SEARCHED
    inherited_entries = {
        key: from_plain(inherited.document[key], at) for key in keys if key in inherited.document
    }
    entries = fill_in(entries, schema, inherited_entries, at, diagnostics)
    first = entries.get("try_first")
    if isinstance(first, ListNode):
        entries["try_first"] = _first_trials(first, schema, inherited_entries, at, diagnostics)
    entries["found"] = from_plain(inherited.record(), at)
    return MapNode(root.location, entries)


def fill_in(
    entries: Mapping[str, YamlNode],
    schema: Section,
    defaults: Mapping[str, YamlNode],
    at: SourceLocation,
    diagnostics: Diagnostics,
) -> dict[str, YamlNode]:
    """Return a file's entries with those that it leaves out; the file wins, key by key.

    Args:
        entries: The file's entries.
        schema: The root schema.
        defaults: The entries to fill in, each section with one component.
        at: The location that messages name for a filled-in value.
        diagnostics: Receives problems.
    """
    fill, all_entries = _Merge(at, diagnostics, fill=True), dict(entries)
    for key, node in defaults.items():
        # `node` is there, so there is a result
        all_entries[key] = fill.merge(schema.keys[key], all_entries.get(key), node, key) or node
    return all_entries


def _first_trials(
    node: ListNode,
    schema: Section,
    inherited_entries: Mapping[str, YamlNode],
    at: SourceLocation,
    diagnostics: Diagnostics,
) -> ListNode:
    """Return the entries with ``found`` replaced; missing keys aren't filled in."""
    names = _Merge(at, diagnostics, fill=False)
    items: list[YamlNode] = []
    for number, item in enumerate(node.items):
        if isinstance(item, MapNode):
            entries = {
                key: names.merge(
                    schema.keys[key],
                    value,
                    inherited_entries[key],
                    join(f"try_first[{number}]", key),
                )
                or value
                if key in inherited_entries
                else value
                for key, value in item.entries.items()
            }
            item = MapNode(item.location, entries)
        items.append(item)
    return ListNode(node.location, tuple(items))


class _Merge:
    """Walks the file's tree along the inherited one."""

    def __init__(self, location: SourceLocation, diagnostics: Diagnostics, *, fill: bool) -> None:
        self.location, self.diagnostics = location, diagnostics
        #: Whether missing keys are filled in; if not, only ``found`` is replaced by its name.
        self.fill = fill

    def merge(
        self, schema: Schema, node: YamlNode | None, inherited: YamlNode | None, key: str
    ) -> YamlNode | None:
        if node is None:
            return inherited if self.fill else None
        if inherited is None:
            return node
        match schema:
            case Switches():
                return self.switches(schema, node, inherited, key)
            case ComponentChoice():
                return self.branch(schema, node, inherited, key)
            case Section() if not (schema.nullable and is_null(node)):
                return self.group(schema, node, inherited, key)
        return node

    def group(self, schema: Section, node: YamlNode, inherited: YamlNode, key: str) -> YamlNode:
        own, theirs = as_entries(schema, node), as_entries(schema, inherited)
        if own is None or theirs is None:
            return node  # not a mapping: reported later
        merged: dict[str, YamlNode] = {}
        file_keys = {name for name, entry in own.items() if not is_null(entry)}
        for name in [*own, *(name for name in theirs if name not in own)]:
            if name not in own and file_keys.intersection(schema.against(name)):
                continue  # the file gives the key that replaces this one
            value = own.get(name)
            if name in schema.keys:
                value = self.merge(schema.keys[name], value, theirs.get(name), join(key, name))
            if value is not None:
                merged[name] = value
        return MapNode(node.location, merged)

    def branch(
        self, schema: ComponentChoice, node: YamlNode, inherited: YamlNode, key: str
    ) -> YamlNode:
        own, theirs = as_entries(schema, node), as_entries(schema, inherited)
        if not own or not theirs:
            return node
        ((winner, settings),) = theirs.items()
        merged: dict[str, YamlNode] = {}
        for written, entry in own.items():
            if written == "prior" and isinstance(entry, ScalarNode) and entry.value == FOUND:
                entry = ScalarNode(entry.location, winner)
            name = winner if written == FOUND else written
            if name in merged:
                self.diagnostics.add(
                    entry.location,
                    key,
                    f"a name must appear once, but found means {winner}, which is listed too",
                )
            elif name == winner and name in schema.registry:
                option = self.merge(schema.option(name), entry, settings, join(key, name))
                merged[name] = entry if option is None else option
            else:
                merged[name] = entry
        return MapNode(node.location, merged)

    def switches(self, schema: Switches, node: YamlNode, inherited: YamlNode, key: str) -> YamlNode:
        own, theirs = as_entries(schema, node), as_entries(schema, inherited)
        if own is None or theirs is None:
            return node
        first = [name for name in theirs if name not in own] if self.fill else []
        merged: dict[str, YamlNode] = {name: theirs[name] for name in first}
        for name, entry in own.items():
            settings = theirs.get(name)
            on = isinstance(entry, ScalarNode) and entry.value is True
            searched = isinstance(entry, MapNode) and "values" in entry.entries
            if isinstance(settings, MapNode) and name in schema.registry and not searched:
                own_entry = MapNode(entry.location, {}) if on and self.fill else entry
                if isinstance(own_entry, MapNode) or is_null(own_entry):
                    own_entry = self.group(
                        schema.option(name), own_entry, settings, join(key, name)
                    )
                merged[name] = own_entry
            else:
                merged[name] = entry
        return MapNode(node.location, merged)
