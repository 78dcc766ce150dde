"""Why a trial failed, in one line; the ledger keeps the whole story."""

from __future__ import annotations

_TRACEBACK = "Traceback "


def in_short(error: str) -> str:
    """Return the line of a stored error that says most: a traceback ends with it, others begin."""
    lines = error.strip().splitlines()
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith(_TRACEBACK) else lines[0]
