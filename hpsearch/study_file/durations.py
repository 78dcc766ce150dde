"""Durations as people write them: ``90s``, ``30m``, ``8h``, ``2d``, ``3h50m``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

from hpsearch.study_file.schema import Matching

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PARTS = [rf"[0-9]+(\.[0-9]+)?{unit}" for unit in _UNITS]
#: Each unit at most once, the largest first. (Without look-around, which pydantic doesn't know.)
PATTERN = "^({})$".format(
    "|".join(
        first + "".join(f"({part})?" for part in _PARTS[place + 1 :])
        for place, first in enumerate(_PARTS)
    )
)
RULE = "a duration with its unit, as in 90s, 30m, 8h or 2d"


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` means.

    Raises:
        ValueError: ``text`` isn't a duration, or it isn't longer than 0; the message is the rule.
    """
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"must be {RULE}, but got {text!r}")
    parts = re.findall(r"([0-9.]+)([dhms])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f"must be longer than 0, but got {text!r}")
    return seconds


def format_duration(seconds: float) -> str:
    """Return ``seconds`` in the largest unit that represents them exactly: ``8h``, ``90s``."""
    for unit, size in _UNITS.items():
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{Decimal(str(seconds)):f}s"


#: The annotation of a key that takes a duration; the value is in its shortest form.
Duration = Annotated[
    str,
    AfterValidator(lambda text: format_duration(parse_duration(text))),
    Matching(PATTERN, f"{RULE}, longer than 0"),
]
