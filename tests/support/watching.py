"""What other users of a machine can see of a program: its processes' arguments and sockets."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from uuid import uuid4

_LISTENS = "0A"


class Watch:
    """Looks at every process that inherits ``environment``, again and again while it is open."""

    def __init__(self) -> None:
        self.environment = {"HPSEARCH_TEST_MARK": uuid4().hex}
        #: Every command line that was seen, and how many processes there were.
        self.command_lines: set[str] = set()
        self.pids: set[int] = set()
        #: ``(address as the kernel writes it, port)`` of every TCP socket that listened.
        self.listening: set[tuple[str, int]] = set()
        self._mark = f"HPSEARCH_TEST_MARK={self.environment['HPSEARCH_TEST_MARK']}".encode()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def alive(self) -> list[int]:
        """Return the processes that run now."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and int(folder.name) != os.getpid():
                content = _bytes(folder / "environ")
                if self._mark in content.split(b"\0"):
                    found.append(int(folder.name))
        return found

    def look(self) -> None:
        """Note what can be seen now."""
        inodes = set()
        for pid in self.alive():
            line = (
                _bytes(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode(errors="replace")
            )
            if line:
                self.command_lines.add(line)
                self.pids.add(pid)
            inodes |= _sockets(pid)
        self.listening |= {place for inode, place in _listening().items() if inode in inodes}

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            self.look()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets."""
    found = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def _listening() -> dict[str, tuple[str, int]]:
    """Return inode -> place of every TCP socket of this machine that listens."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                address, _, port = fields[1].partition(":")
                found[fields[9]] = (address, int(port, 16))
    return found
