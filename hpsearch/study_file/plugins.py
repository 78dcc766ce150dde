"""``plugins``: the user's own Python files that register components.

A file names them by path; a stored study contains each with the hash of its contents, so that it
can't continue with a changed plug-in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpsearch.regular_file import sha256_of_file
from hpsearch.study_file.diagnostics import Diagnostics, quote
from hpsearch.study_file.syntax import ListNode, MapNode, YamlNode, to_plain


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A Python file and the SHA-256 (hex) of its contents."""

    path: Path
    sha256: str


def read_plugins(node: YamlNode | None, diagnostics: Diagnostics) -> list[Plugin]:
    """Return the plug-ins that exist and are unchanged, and report the others."""
    if node is None or to_plain(node) is None:
        return []
    if not isinstance(node, ListNode):
        diagnostics.add(
            node.location, "plugins", f"must be a list of Python files, but got {_quote(node)}"
        )
        return []
    plugins = []
    for number, item in enumerate(node.items):
        plugin = _read(item, f"plugins[{number}]", diagnostics)
        if plugin is not None:
            plugins.append(plugin)
    return plugins


def _read(node: YamlNode, key: str, diagnostics: Diagnostics) -> Plugin | None:
    value = to_plain(node)
    written, expected = value, None
    if isinstance(node, MapNode) and set(value) <= {"path", "sha256"}:
        written, expected = value.get("path"), value.get("sha256")
    if not isinstance(written, str) or not isinstance(expected, str | None):
        diagnostics.add(
            node.location, key, f"must be the path of a Python file, but got {_quote(node)}"
        )
        return None
    path = (node.location.folder / Path(written).expanduser()).resolve()
    try:
        digest = sha256_of_file(path)
    except OSError:
        diagnostics.add(
            node.location,
            key,
            f"must be a Python file that exists, but got {quote(written)}; put it there, or "
            "give its path on this machine",
        )
        return None
    if expected is not None and digest != expected:
        diagnostics.add(
            node.location,
            key,
            f"must be the file that the study was made with (SHA-256 {expected[:12]}..), but "
            f"{written} has changed ({digest[:12]}..); restore it, or start a study of another "
            "name",
        )
        return None
    return Plugin(path=path, sha256=digest)


def _quote(node: YamlNode) -> str:
    return quote(to_plain(node))
