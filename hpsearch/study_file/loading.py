"""From a file (or a stored document) to a checked study, and where study files are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from hpsearch.errors import UnknownName, UserError
from hpsearch.regular_file import open_regular
from hpsearch.study_file import recipes
from hpsearch.study_file.assemble import assemble
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation, quote
from hpsearch.study_file.freezing import to_yaml
from hpsearch.study_file.inherit import (
    InheritedConfig,
    Origin,
    Resolve,
    complete,
    find,
    is_origin,
    read_origin,
)
from hpsearch.study_file.overrides import Override, apply_overrides, read_overrides
from hpsearch.study_file.plugins import Plugin, read_plugins
from hpsearch.study_file.schema import Registries as Registries
from hpsearch.study_file.schema import Section
from hpsearch.study_file.sections import LOOP, NO_HELP, SPACE, loop_schema, root_schema
from hpsearch.study_file.shipped import packaged
from hpsearch.study_file.shipped import shipped_studies as shipped_studies
from hpsearch.study_file.spelling import KeyFinder
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.syntax import (
    MapNode,
    ScalarNode,
    YamlNode,
    from_plain,
    read_yaml,
    to_plain,
)

#: Most characters of a study file; a file with the most allowed values has fewer.
MOST_TEXT = 400_000


@dataclass(frozen=True, kw_only=True)
class StudyDict:
    """A study as a Python dict: the content of a study file, without the file."""

    content: Mapping[str, Any]
    #: The folder that its relative paths start from, absolute.
    folder: Path

    @property
    def name(self) -> str:
        """The study's name; the text is empty if there is none."""
        return str(self.content.get("study") or "")


RegistriesOf = Callable[[Iterable[Path]], Registries]


def load_study(
    path: Path,
    registries: RegistriesOf,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    resolve: Resolve | None = None,
) -> StudyFile:
    """Read and check a study file.

    Args:
        path: The study file.
        registries: Called with the paths of the plug-ins, after the text was parsed; loads them
            and returns the registries of the components that the file may name.
        overrides: ``path=value`` texts; later ones take precedence.
        name: Replaces the study's name; ``None`` keeps it.
        resolve: Finds the trial of a stored study that ``from`` names; with ``None``, ``from`` may
            only name a frozen file.

    Raises:
        StudyFileError: The file or an override is invalid; contains every problem.
    """
    return _load(path, registries, overrides, name, resolve, inside=())


def load_study_dict(
    study_dict: StudyDict,
    registries: RegistriesOf,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    resolve: Resolve | None = None,
) -> StudyFile:
    """Read and check a study that is a dict, as ``load_study`` does with a file.

    Args:
        study_dict: The dict.
        registries: As for ``load_study``.
        overrides: ``path=value`` texts; later ones take precedence.
        name: Replaces the study's name; ``None`` keeps it.
        resolve: As for ``load_study``.

    Raises:
        StudyFileError: The dict or an override is invalid; contains every problem.
        UserError: A value is of a type that no study file can contain.
    """
    diagnostics = Diagnostics()
    node = from_plain(
        study_dict.content, SourceLocation("the study's dict", folder=study_dict.folder)
    )
    changes = _changes(overrides, name, diagnostics)
    _refuse_planned(node, changes, diagnostics)
    text = to_yaml(to_plain(node))

    def find_it(origin: Origin) -> InheritedConfig:
        return find(
            origin, resolve, lambda other: _load(other, registries, (), None, resolve, ()), ()
        )

    return _study(node, registries, changes, text, diagnostics, find_it)


def load_components(
    study: Path | Mapping[str, Any], registries: RegistriesOf, *, resolve: Resolve | None = None
) -> Registries:
    """Return the components that a study may name, those of its plug-ins among them.

    The study need not be valid, as its author may still be writing it.

    Args:
        study: The study file, or the document of a stored study.
        registries: As for ``load_study``.
        resolve: As for ``load_study``.

    Raises:
        StudyFileError: The file can't be read, or a plug-in is missing, has changed or fails.
    """
    diagnostics = Diagnostics()
    inside: tuple[Path, ...] = ()
    if isinstance(study, Path):
        inside = (study.resolve(),)
        node = read_yaml(read_text(study), _place(study), diagnostics)
    else:
        node = from_plain(study, SourceLocation("stored study"))

    def find_it(origin: Origin) -> InheritedConfig:
        return find(
            origin,
            resolve,
            lambda other: _load(other, registries, (), None, resolve, inside),
            inside,
        )

    named_components = _named_components(
        _require_mapping(node, diagnostics), registries, (), diagnostics, find_it
    )
    if len(diagnostics):
        raise diagnostics.error()
    return named_components.components


def _load(
    path: Path,
    registries: RegistriesOf,
    overrides: Sequence[str],
    name: str | None,
    resolve: Resolve | None,
    inside: tuple[Path, ...],
) -> StudyFile:
    """Read and check a study file; ``inside`` is the chain of ``from`` that leads to it."""
    diagnostics = Diagnostics()
    text = read_text(path)
    node = read_yaml(text, _place(path), diagnostics)
    changes = _changes(overrides, name, diagnostics)
    _refuse_planned(node, changes, diagnostics)

    def find_it(origin: Origin) -> InheritedConfig:
        files = (*inside, path.resolve())
        return find(
            origin, resolve, lambda other: _load(other, registries, (), None, resolve, files), files
        )

    return _study(node, registries, changes, text, diagnostics, find_it)


def study_from_document(
    document: Mapping[str, Any],
    registries: RegistriesOf,
    *,
    text: str = "",
    where: str = "stored study",
    overrides: Sequence[str] = (),
    name: str | None = None,
) -> StudyFile:
    """Return the study whose normal form is ``document``.

    Args:
        document: A ``StudyFile.document``.
        registries: As for ``load_study``.
        text: The text of the file that the document comes from.
        where: The source that messages name.
        overrides: ``path=value`` texts; later ones take precedence.
        name: Replaces the study's name; ``None`` keeps it.

    Raises:
        StudyFileError: The document or an override is invalid, or a plug-in is missing or has
            changed.
    """
    diagnostics = Diagnostics()
    changes = _changes(overrides, name, diagnostics)
    if "search" not in document:
        document = {**document, "search": NO_HELP}
    node = from_plain(document, SourceLocation(where))
    _refuse_planned(None, changes, diagnostics)
    for change in changes:
        if is_origin(change.path):
            diagnostics.add(
                change.value.location,
                "from",
                "a stored study already contains the earlier result; set the keys themselves, or "
                "write `from` in a study file",
            )
    return _study(node, registries, changes, text, diagnostics)


def require_yaml(path: Path) -> None:
    """Check only that a study file is a YAML mapping; needs no registries.

    Raises:
        StudyFileError: The file is missing, isn't YAML, or isn't a mapping.
    """
    diagnostics = Diagnostics()
    _require_mapping(read_yaml(read_text(path), _place(path), diagnostics), diagnostics)


def find_study(name_or_path: str) -> Path:
    """Return the study file that a name or a path means.

    Text that ends in .yaml or .yml or contains a separator is a path (which may not exist).

    Raises:
        UnknownName: It is a name, and none of ``shipped_studies``.
        UserError: A study comes with hpsearch under this name, and the current folder has a
            different file of that name. That file, which may be another user's, could run its own
            plug-ins.
    """
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path or "\\" in name_or_path:
        return Path(os.path.expanduser(name_or_path))  # noqa: PTH111
    studies = shipped_studies()
    if name_or_path not in studies:
        raise UnknownName(
            "study", name_or_path, studies, "You can also give the path of a .yaml file."
        )
    path, own = studies[name_or_path], packaged() / f"{name_or_path}.yaml"
    if own.exists() and not path.samefile(own) and read_text(path) != read_text(own):
        raise UserError(
            f"the name {name_or_path!r} must mean one study file, but {path} of the current "
            f"folder and {own}, which comes with hpsearch, differ; name the path of the one that "
            "you mean"
        )
    return path


def read_text(path: Path) -> str:
    """Return a study file's text.

    Raises:
        StudyFileError: The file is missing, can't be read, isn't UTF-8, or has more than
            ``MOST_TEXT`` characters.
    """
    diagnostics = Diagnostics()
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
            # Bounded, as the path may be that of a large data file
            text = file.read(MOST_TEXT + 1)
        if len(text) <= MOST_TEXT:
            return text
        problem = f"a study file has at most {MOST_TEXT:,} characters, but this one has more"
    except UnicodeDecodeError as error:
        problem = f"a study file must be UTF-8 text, but byte {error.start} is not"
    except FileNotFoundError:
        problem = "there is no such file; `hpsearch studies` lists the studies known by name"
    except OSError as error:
        problem = f"the file can't be read: {error.strerror}"
    except ValueError as error:
        problem = f"the file can't be read: {error}"  # a NUL in the path
    diagnostics.add(SourceLocation(str(path)), "", problem)
    raise diagnostics.error()


def _study(
    node: YamlNode | None,
    registries: RegistriesOf,
    changes: Sequence[Override],
    text: str,
    diagnostics: Diagnostics,
    find_it: Callable[[Origin], InheritedConfig] | None = None,
) -> StudyFile:
    node = _require_mapping(node, diagnostics)
    named_components = _named_components(node, registries, changes, diagnostics, find_it)
    origin, inherited = named_components.origin, named_components.inherited
    schema = _schema(node, named_components, diagnostics)
    diagnostics.places_of = KeyFinder(schema, node)
    if inherited is not None and origin is not None:
        node = complete(node, schema, inherited, origin.location, diagnostics)
    node, recipe = recipes.expand(node, schema, changes, diagnostics)
    changes = [
        change for change in changes if not (is_origin(change.path) or change.path == recipes.KEY)
    ]
    node = apply_overrides(node, schema, changes, diagnostics)
    if recipe is not None:
        recipes.require_weights(recipe, node, schema, diagnostics)
    name = None if recipe is None else recipe.name
    study = assemble(schema, node, named_components.plugins, text, diagnostics)
    return replace(study, recipe=name)


def _schema(node: MapNode, named_components: _NamedComponents, diagnostics: Diagnostics) -> Section:
    """Return the root schema: that of a study with a loop of its own if it has or inherits one."""
    origin, inherited = named_components.origin, named_components.inherited
    inherits = inherited is not None and inherited.has_loop
    if LOOP not in node.entries and not inherits:
        return root_schema(named_components.components)
    if inherited is not None and origin is not None and not inherits:
        diagnostics.add(
            origin.location,
            "from",
            "a study with a training loop of its own (`loop`) can be based only on one that has "
            f"such a loop, too, but {inherited.study} has none; remove `from`, or `loop`",
        )
    for key in SPACE:
        if key in node.entries:
            diagnostics.add(
                node.entries[key].location,
                key,
                "a study with a training loop of its own (`loop`) has no such key, because the "
                "loop loads its data and builds its model; remove it, or make it a key of the loop",
            )
    if len(diagnostics):
        raise diagnostics.error()
    written = None if inherited is None else inherited.document.get("metrics")
    if "metrics" in node.entries:
        written = to_plain(node.entries["metrics"])
    metrics = written if isinstance(written, Mapping) else {}
    return loop_schema(named_components.components, metrics)


@dataclass(frozen=True, kw_only=True)
class _NamedComponents:
    """What a study may name, and the files that register it."""

    components: Registries
    plugins: Sequence[Plugin]
    #: The value of ``from`` and what it means; both are ``None`` without it.
    origin: Origin | None
    inherited: InheritedConfig | None


def _named_components(
    node: MapNode,
    registries: RegistriesOf,
    changes: Sequence[Override],
    diagnostics: Diagnostics,
    find_it: Callable[[Origin], InheritedConfig] | None,
) -> _NamedComponents:
    origin = read_origin(
        node, [change for change in changes if is_origin(change.path)], diagnostics
    )
    inherited = None
    if origin is not None and find_it is not None:
        try:
            inherited = find_it(origin)
        except UserError as error:
            diagnostics.add(origin.location, "from", str(error))
            raise diagnostics.error() from error
    overrides = [change.value for change in changes if change.path == "plugins"]
    plugins = (
        overrides[-1] if overrides else node.entries.get("plugins", ScalarNode(node.location, None))
    )
    files = read_plugins(plugins, diagnostics)
    if inherited is not None and origin is not None:
        files = _with_plugins_of(inherited, origin, files, diagnostics)
    try:
        components = registries([plugin.path for plugin in files])
    except UserError as error:
        diagnostics.add(plugins.location, "plugins", str(error))
        raise diagnostics.error() from error
    return _NamedComponents(
        components=components, plugins=files, origin=origin, inherited=inherited
    )


def _require_mapping(node: YamlNode | None, diagnostics: Diagnostics) -> MapNode:
    if node is None:
        raise diagnostics.error()
    if not isinstance(node, MapNode):
        got = quote(to_plain(node))
        diagnostics.add(
            node.location, "", f"a study file must be a mapping of its keys, but got {got}"
        )
        raise diagnostics.error()
    return node


def _place(path: Path) -> SourceLocation:
    return SourceLocation(str(path), line=1, folder=path.resolve().parent)


def _changes(
    overrides: Sequence[str], name: str | None, diagnostics: Diagnostics
) -> list[Override]:
    """Return the overrides and, last, the change of the name."""
    changes = read_overrides(overrides, diagnostics)
    if name is not None:
        location = SourceLocation("--name", order=len(overrides) + 1)
        changes.append(Override("study", ScalarNode(location, name)))
    return changes


def _refuse_planned(
    node: YamlNode | None, changes: list[Override], diagnostics: Diagnostics
) -> None:
    """Report ``confirms`` or ``ablates`` in a file or an override: only a stored study has them."""
    entries = node.entries if isinstance(node, MapNode) else {}
    for key, what, command in (
        ("confirms", "confirms a winner", "confirm"),
        ("ablates", "compares a winner with changed configurations", "ablate"),
    ):
        nodes = [entries[key]] if key in entries else []
        nodes += [change.value for change in changes if change.path.partition(".")[0] == key]
        for written in nodes:
            if to_plain(written) is not None:
                diagnostics.add(
                    written.location,
                    key,
                    f"only hpsearch writes this key, for the study in which it {what}; leave it "
                    f"out, and run `hpsearch {command}`",
                )


def _with_plugins_of(
    inherited: InheritedConfig, origin: Origin, files: Sequence[Plugin], diagnostics: Diagnostics
) -> list[Plugin]:
    """Return the file's plug-ins and those of the inherited configuration."""
    needed = read_plugins(
        from_plain(inherited.document.get("plugins"), origin.location), diagnostics
    )
    own = {plugin.path for plugin in files}
    return [*files, *(plugin for plugin in needed if plugin.path not in own)]
