"""JSON in rows. A damaged value is named in a warning, and everything else is read.

A person may edit a row, a disk lose a page, a copy be incomplete: only that row must be lost, not
the study.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution

logger = logging.getLogger(__name__)


class Damaged(ValueError):
    """A text that isn't the expected JSON."""


def decode(text: Any, shape: type = dict) -> Any:
    """Return the JSON value of ``text``.

    Args:
        text: The value that the database returned.
        shape: The type that the value must have; ``object`` takes any.

    Raises:
        Damaged: It isn't JSON, or has another type.
    """
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):  # TypeError: NULL, or a blob
        raise Damaged("is no JSON") from None
    if not isinstance(value, shape):
        raise Damaged(f"isn't a JSON {'object' if shape is dict else shape.__name__}")
    return value


def decode_or(default: Any, text: Any, column: str, row: object, shape: type = dict) -> Any:
    """Return the JSON value of ``text``, or ``default`` with a warning if it is damaged.

    Args:
        default: The result if ``text`` is damaged.
        text: The value that the database returned.
        column: ``table.column``, for the warning.
        row: Identifies the row in that table, for the warning.
        shape: The type that the value must have; ``object`` takes any.
    """
    try:
        return decode(text, shape)
    except Damaged as damage:
        warn(f"{column} of {row} {damage}")
        return default


@lru_cache(maxsize=1024)
def warn(what: str) -> None:
    """Log once per process that a stored value is damaged."""
    logger.warning("damaged in the database: %s; everything else can be read", what)


@lru_cache(maxsize=4096)
def decode_distribution(text: str) -> BaseDistribution | None:
    """Return Optuna's distribution; ``None``, with a warning, if the text is damaged."""
    try:
        return json_to_distribution(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        warn(f"trial_params.distribution_json {str(text)[:40]!r} isn't a distribution")
        return None


def drawn_value(text: str, stored: Any) -> tuple[BaseDistribution, Any] | None:
    """Return a parameter's distribution and value as samplers see it; ``None`` if damaged."""
    distribution = decode_distribution(text)
    if distribution is None:
        return None
    try:
        return distribution, distribution.to_external_repr(stored)
    except (ValueError, TypeError, IndexError, OverflowError):
        warn(f"trial_params.param_value {stored!r} isn't in its distribution")
        return None
