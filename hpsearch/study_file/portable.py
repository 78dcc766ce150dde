"""Paths of a study in a form that a file can use on other machines.

In memory, every path of a study is absolute, as workers may have any current folder. In a file, a
path is relative to that file if both are in one folder that can be copied or moved as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class PathText(str):
    """The text of an absolute path in a study's document, if the key's type is a path."""

    __slots__ = ()


def is_path_key(name: str) -> bool:
    """Whether a data source's key of this name is a path, whatever its annotation."""
    return name == "path" or name.endswith("_path")


def portable(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a study's document with its paths as a file in ``folder`` writes them.

    Reading that file on this machine gives the same paths, unless ``path_from`` shortened one.
    Paths are ``PathText``; in a stored document, which is plain JSON, they are found by the keys of
    data sources and plug-ins.
    """
    folder = folder.resolve()
    written: dict[str, Any] = _rewritten(document, folder)
    for key, value in written.items():
        if key == "plugins" or (key == "data" and isinstance(value, Mapping)):
            inside = value if key == "plugins" else value.get("source")
            rewritten = _by_keys(inside, folder)
            written[key] = rewritten if key == "plugins" else {**value, "source": rewritten}
    return written


def path_from(path: str, folder: Path) -> str:
    """Return an absolute ``path`` as a file in ``folder`` (absolute, too) writes it.

    The result is relative, if that path leads neither through the root nor into a home folder; else
    it begins with ``~``, if it is in the caller's home. Of a path in another home only the last
    part is left, as a published file must not contain user names. Any other path stays absolute,
    such as one on a disk that several machines share.
    """
    target = Path(os.path.normpath(path))
    common = Path(os.path.commonpath([target, folder]))
    entered = [
        ancestor
        for ancestor in (target, *target.parents)
        if ancestor != common and common in ancestor.parents
    ]
    if common != Path(common.anchor) and not any(_is_home(ancestor) for ancestor in entered):
        return os.path.relpath(target, folder)
    own = _home()
    if own is not None and target.is_relative_to(own):
        return str("~" / target.relative_to(own))
    if any(_is_home(ancestor) for ancestor in (target, *target.parents)):
        return target.name
    return str(target)


def without_home(text: str) -> str:
    """Return ``text`` with ``~`` in place of the caller's home folder."""
    own = _home()
    return text if own is None else text.replace(f"{own}{os.sep}", f"~{os.sep}")


def missing_paths(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths of a checked study's data sources that don't exist here: key -> path."""
    return {
        f"data.source.{name}.{key}": str(value)
        for name, settings in document.get("data", {}).get("source", {}).items()
        if isinstance(settings, Mapping)
        for key, value in settings.items()
        if isinstance(value, PathText) and not os.path.lexists(value)
    }


def only_sets_path(override: str) -> bool:
    """Whether a ``path=value`` text only sets the path of data or plug-ins."""
    key = override.partition("=")[0].strip()
    parts = key.split(".")
    source = len(parts) == 4 and parts[:2] == ["data", "source"] and is_path_key(parts[3])
    return source or key == "plugins"


def _rewritten(value: Any, folder: Path) -> Any:
    match value:
        case PathText():
            return path_from(value, folder)
        case Mapping():
            return {key: _rewritten(item, folder) for key, item in value.items()}
        case list() | tuple():
            return [_rewritten(item, folder) for item in value]
    return value


def _by_keys(value: Any, folder: Path, *, is_path: bool = False) -> Any:
    match value:
        case Mapping():
            return {
                key: _by_keys(item, folder, is_path=is_path or is_path_key(str(key)))
                for key, item in value.items()
            }
        case list() | tuple():
            return [_by_keys(item, folder, is_path=is_path) for item in value]
        case str() if is_path and os.path.isabs(value):  # noqa: PTH117 - text, not yet a path
            return path_from(value, folder)
    return value


def _home() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # the user has no home folder
        return None
    # A service's home may be the root, which names no user
    return None if home == Path(home.anchor) else home


def _is_home(path: Path) -> bool:
    return path == _home() or str(path) == "/root" or str(path.parent) in ("/home", "/Users")
