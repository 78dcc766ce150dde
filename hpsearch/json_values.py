"""Values as JSON stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def json_safe(value: Any) -> Any:
    """Return ``value`` as JSON can store it.

    Numbers that aren't finite become null, dataclasses and mappings objects with text as keys,
    sequences, sets and arrays lists; anything else, such as a path, becomes text.
    """
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): json_safe(child) for key, child in value.items()}
        case _ if is_dataclass(value):
            return {field.name: json_safe(getattr(value, field.name)) for field in fields(value)}
        case Sequence() | set() | frozenset():
            return [json_safe(child) for child in value]
        case _ if hasattr(value, "tolist"):  # NumPy's arrays and numbers
            return json_safe(value.tolist())
        case _:
            return str(value)
