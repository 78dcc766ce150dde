"""Why a trial failed, in one line; the ledger has the whole text."""

from __future__ import annotations

from hpsearch.study_file.portable import without_home

_TRACEBACK = "Traceback "

#: Largest length of a reason on one line, and of its beginning if it is cut.
_LINE, _BEGINNING = 300, 200


def first_line(error: str) -> str:
    """Return the most informative line of a stored error, cut in the middle if it is long.

    In a traceback, this is the line after its frames, with the type and the message of the
    exception. In any other text, it is the first line. The user's home folder is replaced by ``~``,
    since reports are published.
    """
    lines = error.strip().splitlines()
    if not lines:
        return ""
    line = _exception_line(lines) if lines[0].startswith(_TRACEBACK) else lines[0]
    return shorten(without_home(line), _LINE, beginning=_BEGINNING).replace("\n", " ")


def shorten(text: str, most: int, *, beginning: int) -> str:
    """Return ``text`` with at most ``most`` characters: its beginning, a note, and its end.

    Args:
        text: The text.
        most: Largest length.
        beginning: Length of the beginning if the text is cut.
    """
    if len(text) <= most:
        return text
    note = f"\n[... {len(text) - most:,} characters or more left out ...]\n"
    end = max(0, most - beginning - len(note))
    return text[:beginning] + note + text[len(text) - end :]


def _exception_line(lines: list[str]) -> str:
    """Return the line of a traceback that names the exception: the first one after its frames."""
    frames = [at for at, line in enumerate(lines) if line.startswith("  File ")]
    after = lines[frames[-1] + 1 :] if frames else []
    return next((line for line in after if line and not line[0].isspace()), lines[-1])
