"""stdout and stderr that don't end a long run if they are closed, full or not UTF-8."""

from __future__ import annotations

import codecs
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from hpsearch.errors import HpsearchError
from hpsearch.foreign_text import clean, clean_output

#: Replacements of characters that the terminal's encoding doesn't have.
_INSTEAD = {
    "\N{PLUS-MINUS SIGN}": "+/-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{MIDDLE DOT}": "*",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{LEFTWARDS ARROW}": "<-",
    "\N{BULLET}": "*",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True)),
    **dict(zip("━─╸╺│", "----|", strict=True)),
}
_ERRORS = "hpsearch"


class OutputLost(HpsearchError):
    """The output can't be written any more; ``reader_left``: its reader closed the pipe."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the output must be writable, but that failed ({error.strerror})")
        self.reader_left = isinstance(error, BrokenPipeError)


class OutputStream:
    """A text stream around stdout or stderr.

    If a write fails, all further output is dropped. ``required`` is whether that is an error.
    """

    def __init__(
        self, stream: TextIO, *, required: bool, filtered: Callable[[str], str] | None = None
    ) -> None:
        self._stream = stream
        self._filtered = filtered
        self.required = required
        #: The error of the first failed write, and whether output was required then.
        self.lost: OSError | None = None
        self.lost_required = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text``; return the number of its characters."""
        output = text if self._filtered is None else self._filtered(text)
        self._try(lambda: self._stream.write(output))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        self._try(self._stream.flush)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            self.lost, self.lost_required = self.lost or error, self.required
            # Otherwise the buffer would be written again and again, last when the process ends
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            with suppress(OSError):
                self._stream.flush()
            if self.required:
                raise OutputLost(error) from error


def replace_streams(*, foreign: bool = False) -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` by such streams, once per process.

    Args:
        foreign: Whether untrusted text is written to them, as by plug-ins in a worker process.
            Control characters are then replaced.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next file that is opened, such as the database, gets this descriptor
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    for name, required in (("stdout", not foreign), ("stderr", False)):
        stream: Any = getattr(sys, name)
        if isinstance(stream, OutputStream):
            continue
        if stream is None:
            descriptor = 1 if name == "stdout" else 2
            stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)
        filtered = clean_output if foreign else None
        setattr(sys, name, OutputStream(stream, required=required, filtered=filtered))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_CleanFormatter())


class _CleanFormatter(logging.Formatter):
    """Cleans log messages, which quote servers, trackers and plug-ins."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


@contextmanager
def optional_output() -> Iterator[None]:
    """Continue without stdout if it is lost, for commands whose purpose isn't their output."""
    stream: Any = sys.stdout
    if not isinstance(stream, OutputStream):
        yield
        return
    stream.required = False
    try:
        yield
        stream.flush()
    finally:
        stream.required = True
        if stream.lost is not None and not isinstance(stream.lost, BrokenPipeError):
            print(f"warning: {OutputLost(stream.lost)}; it is incomplete", file=sys.stderr)


def require_output(*, whole: bool = False) -> None:
    """Write what is buffered for stdout.

    Args:
        whole: Whether output that was printed within ``optional_output`` is required as well.

    Raises:
        OutputLost: Required output can't be written.
    """
    stream: Any = sys.stdout
    stream.flush()
    if isinstance(stream, OutputStream) and stream.lost and (whole or stream.lost_required):
        raise OutputLost(stream.lost)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    """Return replacements of characters that the encoding lacks: an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    encoding = error.encoding
    replacement = "".join(
        _spelling(char, encoding) for char in error.object[error.start : error.end]
    )
    return replacement, error.end


def _spelling(char: str, encoding: str) -> str:
    # é becomes an e without its accent
    plain = unicodedata.normalize("NFKD", char)
    for candidate in (_INSTEAD.get(char), plain, plain[:1]):
        with suppress(UnicodeError):
            if candidate:
                candidate.encode(encoding)
                return candidate
    return "?"


codecs.register_error(_ERRORS, _replacement)
