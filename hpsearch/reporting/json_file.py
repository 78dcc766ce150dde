"""The content of a report as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from hpsearch.metrics import EpochResult


def as_json(value: Any) -> Any:
    """Return ``value`` JSON-like: dataclasses as objects, numbers that aren't finite as null."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case np.ndarray():
            return as_json(value.tolist())
        case Mapping():
            return {str(key): as_json(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return {each.name: as_json(getattr(value, each.name)) for each in _told(value)}
        case Sequence() | set() | frozenset():
            return [as_json(each) for each in value]
        case np.generic():
            return as_json(value.item())
        case _:
            return str(value)


def _told(value: Any) -> list[Any]:
    # An epoch's fields that aren't metrics are for resuming
    return [
        each for each in fields(value) if not (isinstance(value, EpochResult) and not each.compare)
    ]
