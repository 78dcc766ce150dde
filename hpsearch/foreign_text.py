"""Untrusted text: errors of plug-ins, names of classes and files, messages of trackers.

It is cleaned here before it is shown in the terminal, ``launch.log``, reports, CSV files and the
dashboard.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: Characters that control a terminal, or are invisible and may deceive a reader:
_UNSAFE = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1: cursor, colours, titles, the bell
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of text
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f"
    r"\u3164\ufeff\uffa0"  # invisible: two different names would look the same
    r"\u2028\u2029"  # other line separators
    r"\ud800-\udfff"  # surrogates: bytes of a file name that aren't UTF-8
    r"\ufff0-\ufffb\ufffe\uffff"  # interlinear annotations, and code points without a character
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: Joiners and variation selectors are needed in some scripts and emoji, but not beside ASCII.
_HIDDEN = (
    r"(?<![^\x00-\xff\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\xff\u200c\u200d])"
    r"|(?<![^\x00-\xff\ufe00-\ufe0f])[\ufe00-\ufe0f](?!\u20e3)"
)
_UNWANTED_IN_OUTPUT = re.compile(f"[{_UNSAFE}]|{_HIDDEN}")
#: With the carriage return, which lets text overwrite its line.
_UNWANTED = re.compile(f"[\\r{_UNSAFE}]|{_HIDDEN}")


def clean(text: str) -> str:
    """Replace characters that control a terminal or may deceive a reader by U+FFFD.

    Tab and line feed stay.
    """
    return _UNWANTED.sub("\N{REPLACEMENT CHARACTER}", text)


def clean_output(text: str) -> str:
    """Clean the output of a program: the carriage return of a progress bar stays as well."""
    return _UNWANTED_IN_OUTPUT.sub("\N{REPLACEMENT CHARACTER}", text)


def escape_json(text: str) -> str:
    """Return JSON text with such characters as ``\\u`` escapes, with the same meaning."""
    return _UNWANTED.sub(_escape, text)


def escape_yaml(text: str) -> str:
    """Return YAML text with such characters as ``\\U`` escapes; they must be in double quotes."""
    return _UNWANTED.sub(lambda match: f"\\U{ord(match[0]):08X}", text)


def is_clean(text: str) -> bool:
    """Whether ``clean`` would change nothing."""
    return _UNWANTED.search(text) is None


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def clean_value(value: Any) -> Any:
    """Return a JSON-like value with every text in it cleaned, also the keys of objects."""
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(key): clean_value(child) for key, child in value.items()}
        case list() | tuple():
            return [clean_value(child) for child in value]
        case _:
            return value
