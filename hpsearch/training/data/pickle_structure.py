"""A check of the opcodes of a pickle, before it is read.

Python's unpickler trusts the sizes in a file: ten bytes can make it fill 32 GB (a memo of two
billion entries). So every size is compared with the file's own size first. Nothing is executed
here.
"""

from __future__ import annotations

import pickletools
import re
from mmap import mmap
from pickle import UnpicklingError

_ARGUMENTS = {
    opcode.code.encode("latin1"): 0 if opcode.arg is None else opcode.arg.n
    for opcode in pickletools.opcodes
}
_STOP, _FRAME, _PUT, _LONG_BINPUT = b".", b"\x95", b"p", b"r"

#: Opcodes with an argument of two lines.
_TWO_LINES = (b"c", b"i")

#: How many bytes contain the length of the argument.
_LENGTH_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


def check_structure(content: mmap) -> None:
    """Require sizes in a pickle that fit its file.

    Other faults (unknown opcodes, a line without an end) are left to the unpickler.

    Args:
        content: The whole file.

    Raises:
        UnpicklingError: If an argument ends after the file, or a memo index isn't below the
            file's size.
    """
    size, at = len(content), 0
    while True:
        run = _HARMLESS.match(content, at)
        at = at if run is None else run.end()
        opcode = content[at : at + 1]
        argument = _ARGUMENTS.get(opcode)
        if argument is None or opcode == _STOP:
            return
        at += 1
        if opcode == _LONG_BINPUT:
            _check_entry(int.from_bytes(content[at : at + argument], "little"), size)
            at += argument
        elif argument == pickletools.UP_TO_NEWLINE:
            line = at
            for _ in range(2 if opcode in _TWO_LINES else 1):
                end = content.find(b"\n", at)
                if end < 0:
                    return
                at = end + 1
            if opcode == _PUT:
                _check_entry(_number(content[line : min(at, line + 20)]), size)
        else:
            count = _LENGTH_BYTES.get(argument, 0)
            if opcode == _FRAME:  # its length is checked, its contents are opcodes
                end = at + argument + int.from_bytes(content[at : at + argument], "little")
                at += argument
            else:
                at = end = at + count + int.from_bytes(content[at : at + count], "little")
            if end > size:
                raise UnpicklingError(f"it is {end - size:,} bytes too short")


def _check_entry(number: int, size: int) -> None:
    if number >= size:
        raise UnpicklingError(f"{number:,} entries don't fit in {size:,} bytes")


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        return 0  # the unpickler raises an error for it


def _runs() -> re.Pattern[bytes]:
    """Return a pattern of any number of harmless opcodes: it skips most of a file at C's speed."""
    by_size: dict[int, list[bytes]] = {}
    for opcode, size in _ARGUMENTS.items():
        if opcode not in (_STOP, _FRAME, _LONG_BINPUT, _PUT, *_TWO_LINES):
            by_size.setdefault(size, []).append(re.escape(opcode))
    kinds = [
        b"[%s].{%d}" % (b"".join(opcodes), size) for size, opcodes in by_size.items() if size >= 0
    ]
    kinds.append(b"[%s][^\\n]*+\\n" % b"".join(by_size[pickletools.UP_TO_NEWLINE]))
    kinds.append(b"%s[0-9]{1,6}\\n" % _PUT)  # a memo of a million entries is small
    return re.compile(b"(?:%s)*+" % b"|".join(kinds), re.DOTALL)


_HARMLESS = _runs()
