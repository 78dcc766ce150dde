"""Text that others wrote: errors of plug-ins, names of classes and files, words of trackers.

Whatever shows such text cleans it here first: the terminal, ``launch.log``, reports, CSV files and
the dashboard.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: What takes no place of its own and steers whoever shows it, or deceives who reads it:
_UNSAFE = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1: cursor, colours, titles, the bell
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of writing
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f"
    r"\u3164\ufeff\uffa0"  # nothing to see: two names that look alike
    r"\u2028\u2029"  # further ends of a line
    r"\ud800-\udfff"  # half a character: bytes of a file's name that aren't UTF-8
    r"\ufff0-\ufffb\ufffe\uffff"  # notes between lines, and no characters at all
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: Joiners and variation selectors belong to some scripts and emoji. Beside ASCII they only hide.
_HIDDEN = (
    r"(?<![^\x00-\xff\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\xff\u200c\u200d])"
    r"|(?<![^\x00-\xff\ufe00-\ufe0f])[\ufe00-\ufe0f](?!\u20e3)"
)
_UNWANTED_IN_OUTPUT = re.compile(f"[{_UNSAFE}]|{_HIDDEN}")
#: A carriage return goes back to overwrite the line.
_UNWANTED = re.compile(f"[\\r{_UNSAFE}]|{_HIDDEN}")


def clean(text: str) -> str:
    """Replace each character that steers a terminal or deceives the reader by U+FFFD.

    Tab and line feed stay.
    """
    return _UNWANTED.sub("\N{REPLACEMENT CHARACTER}", text)


def clean_output(text: str) -> str:
    """The same of what a program prints: the carriage return of a progress bar stays, too."""
    return _UNWANTED_IN_OUTPUT.sub("\N{REPLACEMENT CHARACTER}", text)


def escape_json(text: str) -> str:
    """Return text with such characters written as ``\\u`` escapes; JSON then says the same."""
    return _UNWANTED.sub(_escaped, text)


def escape_yaml(text: str) -> str:
    """Return YAML that says the same; what is escaped must stand in double quotes."""
    return _UNWANTED.sub(lambda match: f"\\U{ord(match[0]):08X}", text)


def is_clean(text: str) -> bool:
    """Whether ``clean`` would change nothing."""
    return _UNWANTED.search(text) is None


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def clean_value(value: Any) -> Any:
    """Return what JSON holds with every text in it cleaned, also the keys of objects."""
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(key): clean_value(each) for key, each in value.items()}
        case list() | tuple():
            return [clean_value(each) for each in value]
        case _:
            return value
