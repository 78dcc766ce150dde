"""Whether two study files define the same study, and how they differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from hpsearch.study_file.space import is_searched, join

#: Keys that don't change a trial's result (``pruner_audit`` only lets a few more trials run on).
_NEVER_COUNTED = frozenset({"description", "question", "confirm", "pruner_audit", "trackers"})


def fingerprint(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of everything that must be equal for trials to belong to one study.

    The number of trials, the time limits, the description and the question, the confirmation, the
    trackers and the share of the pruning audit don't count. A plug-in and a prior's file count by
    their contents, not by their paths.
    """
    text = json.dumps(_compared(document), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(stored: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a readable line, ``path: old -> new``, for each difference that counts."""
    lines: list[str] = []
    _walk(_compared(stored), _compared(new), "", lines)
    return lines


def as_stored(
    stored: Mapping[str, Any], new: Mapping[str, Any], auto_sections: Collection[str]
) -> dict[str, Any]:
    """Return ``new`` with the stored form of the sections that its file leaves to hpsearch.

    Args:
        stored: The stored study's document.
        new: The document of its file as it is now.
        auto_sections: Sections that the file leaves to hpsearch (``StudyFile.auto_sections``).
    """
    sections = {key: value for key, value in new.items() if key not in auto_sections}
    sections |= {key: stored[key] for key in auto_sections if key in stored}
    order = [*stored, *(key for key in new if key not in stored)]
    return {key: sections[key] for key in order if key in sections}


def _compared(document: Mapping[str, Any]) -> dict[str, Any]:
    counted = {key: value for key, value in document.items() if key not in _NEVER_COUNTED}
    counted["budget"] = {"epochs_per_trial": document["budget"]["epochs_per_trial"]}
    search = counted.get("search")
    if isinstance(search, Mapping) and search.get("sha256") is not None:
        counted["search"] = {"sha256": search["sha256"]}
    if "plugins" in counted:
        counted["plugins"] = [plugin["sha256"] for plugin in counted["plugins"]]
    return counted


def _walk(old: Any, new: Any, path: str, lines: list[str]) -> None:
    if isinstance(old, Mapping) and isinstance(new, Mapping) and not _searched(old, new):
        for key in [*old, *(key for key in new if key not in old)]:
            here = join(path, key)
            if key not in new:
                lines.append(f"{here}: {_flow(old[key])} -> (absent)")
            elif key not in old:
                lines.append(f"{here}: (absent) -> {_flow(new[key])}")
            else:
                _walk(old[key], new[key], here, lines)
        if set(old) == set(new) and list(old) != list(new):
            lines.append(f"{path}: the order {', '.join(old)} -> {', '.join(new)}")
    elif isinstance(old, list) and isinstance(new, list) and any(map(_is_map, [*old, *new])):
        for number in range(max(len(old), len(new))):
            here = f"{path}[{number}]"
            if number >= len(new):
                lines.append(f"{here}: {_flow(old[number])} -> (absent)")
            elif number >= len(old):
                lines.append(f"{here}: (absent) -> {_flow(new[number])}")
            else:
                _walk(old[number], new[number], here, lines)
    elif json.dumps(old) != json.dumps(new):  # in Python, 1, 1.0 and True are equal
        lines.append(f"{path}: {_flow(old)} -> {_flow(new)}")


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _searched(*values: Mapping[str, Any]) -> bool:
    """Whether one of them is a range or a list of values, which a message shows whole."""
    return any(is_searched(value) for value in values)


def _flow(value: Any) -> str:
    """Return a value as a study file writes it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
