"""What JSON can't store becomes what it can."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from hpsearch.json_values import json_safe
from hpsearch.study_file.portable import PathText


class Kind(Enum):
    PLAIN = "plain"


@dataclass(frozen=True)
class Point:
    x: float
    labels: tuple[str, ...]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (True, True),
        (1.5, 1.5),
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32(0.5), 0.5),
        (np.float64("inf"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan], [2.0, np.inf]]), [[1.0, None], [2.0, None]]),
        ((1, ("a", Path("b/c"))), [1, ["a", "b/c"]]),
        (frozenset({"a"}), ["a"]),
        (MappingProxyType({1: Kind.PLAIN}), {"1": "plain"}),
        (Point(float("nan"), ("a",)), {"x": None, "labels": ["a"]}),
    ],
)
def test_it_becomes_what_json_can_store(value: Any, stored: Any) -> None:
    safe = json_safe(value)
    assert safe == stored
    assert type(safe) is type(stored)
    assert json.loads(json.dumps(safe, allow_nan=False)) == stored


def test_a_path_of_a_study_stays_one() -> None:
    """A frozen config writes it relative to its own folder."""
    assert type(json_safe({"path": PathText("/data")})["path"]) is PathText
