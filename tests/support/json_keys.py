"""The keys of what hpsearch prints and writes as JSON: scripts of users read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: Command -> its keys in version f2ab8df, of 2026-11-30.
EARLIER = Path(__file__).resolve().parents[1] / "data" / "earlier_version" / "json_keys.json"

#: Those of a study called small, with a confirmation and an ablation.
COMMANDS = {
    "status": ["--study", "small"],
    "show": ["--study", "small", "0"],
    "confirm": ["--study", "small"],
    "ablate": ["--study", "small", "--question"],
    "studies": [],
    "check": ["small.yaml"],
    "doctor": ["--study", "small"],
}


def gone(documents: Mapping[str, Any]) -> list[str]:
    """Return the keys of the earlier version that ``documents`` (by command) lack."""
    earlier = json.loads(EARLIER.read_text())
    return [
        f"{name}: {key}"
        for name, keys in earlier.items()
        for key in sorted(set(keys) - set(keys_of(documents[name])))
    ]


def keys_of(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every key in a JSON value; ``[]`` is any element, ``#`` any number."""
    if isinstance(value, dict):
        for key, child in value.items():
            below = f"{path}.{'#' if key.isdecimal() else key}"
            yield below
            yield from keys_of(child, below)
    elif isinstance(value, list):
        for child in value:
            yield from keys_of(child, f"{path}[]")
