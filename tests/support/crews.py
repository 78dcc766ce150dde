"""Processes that work on a study while a storm hits them, and are started again when they die."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hpsearch.exit_codes import MORE_TO_DO

#: Bad ends of one member after which its command must be wrong.
HOPELESS = 60

#: What a command says if it can't begin because the database is away.
UNREACHABLE = b"the database must be reachable"


@dataclass
class Member:
    """One command that runs until it ends well; in a session of its own, so that all its
    processes can be found whatever becomes of their parents."""

    command: Sequence[str]
    env: dict[str, str]
    folder: Path
    #: Whether it has workers of its own (`hpsearch launch`).
    supervises: bool
    process: subprocess.Popen[bytes] | None = None
    sessions: list[int] = field(default_factory=list)
    #: Exit codes of ends that no kill of ours explains.
    gave_up: list[int] = field(default_factory=list)
    #: How many of these ended because the database was away when they began, and said so.
    could_not_begin: int = 0
    #: Size of the log when it was started.
    log_begins_at: int = 0
    done: bool = False

    def start(self) -> None:
        """Start it, or start it again."""
        with (self.folder / "crew.log").open("ab") as log:
            self.log_begins_at = log.tell()
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.sessions.append(self.process.pid)


class Crew:
    """All members, and who of them can be hit."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.killed: set[int] = set()
        for member in members:
            member.start()

    def tend(self) -> None:
        """Start again who has died; who has ended well is done."""
        for member in self.members:
            assert member.process is not None
            code = member.process.poll()
            if code is None or member.done:
                continue
            if code == 0:
                member.done = True
                continue
            if member.process.pid not in self.killed:
                member.gave_up.append(code)
                log = (member.folder / "crew.log").read_bytes()[member.log_begins_at :]
                # A launch then ends with 2; a worker with 75, so that an engine starts it again
                member.could_not_begin += code == 2 or (code == MORE_TO_DO and UNREACHABLE in log)
                if len(member.gave_up) > HOPELESS:
                    log = (member.folder / "crew.log").read_text(errors="replace")
                    raise RuntimeError(f"{member.command} never stays up:\n{log[-3000:]}")
            member.start()

    def tracebacks(self) -> int:
        """Return how many tracebacks the members have printed."""
        logs = {member.folder / "crew.log" for member in self.members}
        return sum(
            log.read_text(errors="replace").count("Traceback (most recent call last)")
            for log in logs
            if log.exists()
        )

    @property
    def done(self) -> bool:
        """Whether every member has ended well."""
        return all(member.done for member in self.members)

    def gave_up(self) -> int:
        """Return how often a member at work ended badly by itself: somebody had to restart it.

        One that was started while the database was away, and said so, isn't counted.
        """
        return sum(len(each.gave_up) - each.could_not_begin for each in self.members)

    def workers(self) -> list[int]:
        """Return the processes that train, oldest first."""
        found = []
        for member in self.members:
            if not member.supervises:
                found += [each for each in self._alive(member) if each == member.sessions[-1]]
                continue
            # launch -> fork server -> workers; a fork server outlives its launch for a moment.
            pids = set(self._alive(member))
            for pid in sorted(pids):
                with suppress(psutil.Error):
                    parent = psutil.Process(pid).ppid()
                    if parent in pids and parent not in member.sessions:
                        found.append(pid)
        return found

    def fork_servers(self) -> list[int]:
        """Return the fork servers of launches that are alive: the children of launches."""
        found = []
        for launch in self.supervisors():
            with suppress(psutil.Error):
                children = [each.pid for each in psutil.Process(launch).children()]
                found += [pid for pid in children if "forkserver" in _command(pid)]
        return sorted(found)

    def supervisors(self) -> list[int]:
        """Return the launches that are alive."""
        return [
            member.process.pid
            for member in self.members
            if member.supervises and member.process is not None and member.process.poll() is None
        ]

    def session_of(self, member: int) -> list[int]:
        """Return every process of the launch that ``member`` is, or belongs to."""
        leader = _session(member)
        return [pid for pid in psutil.pids() if leader is not None and _session(pid) == leader]

    def kill(self, pid: int) -> None:
        """SIGKILL."""
        self.killed.add(pid)
        _send(pid, signal.SIGKILL)

    def stop(self, pid: int) -> None:
        """SIGSTOP."""
        _send(pid, signal.SIGSTOP)

    def go_on(self, pid: int) -> None:
        """SIGCONT."""
        _send(pid, signal.SIGCONT)

    def end(self) -> None:
        """Leave nothing behind."""
        for member in self.members:
            for pid in self._alive(member):
                self.kill(pid)
            if member.process is not None:
                member.process.wait()

    def _alive(self, member: Member) -> list[int]:
        sessions = set(member.sessions)
        return sorted(pid for pid in psutil.pids() if _session(pid) in sessions and _lives(pid))


def _command(pid: int) -> str:
    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
