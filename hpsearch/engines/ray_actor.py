"""One worker of a fleet on a Ray cluster: an actor that keeps a worker's process alive.

The worker is a process of its own: its signal handlers need a main thread, and memory that runs out
ends it and not the actor. Ray starts the actor again on another node if its node dies. Nothing here
needs the process that launched the fleet.

What has to outlast an actor is in Ray's key-value store, below the fleet's key: how many workers
are wanted, which nodes can't train, and a record of each worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from shutil import which
from typing import Any
from uuid import uuid4

from hpsearch.exit_codes import DONE, MORE_TO_DO, NODE_UNUSABLE, WRONG
from hpsearch.import_path import own_command

#: Ray's namespace of the actors and of their keys.
NAMESPACE = "hpsearch"

#: The most lines of a worker's output that its actor keeps, and that stay after its end.
_KEPT_LINES, _LAST_LINES = 2_000, 200

#: The most characters of one line that are kept.
_LONGEST_LINE = 4_096

#: Crashes in a row after which a worker isn't started again.
MOST_CRASHES = 8

#: A worker that ran for so many seconds before it crashed begins a new count.
_LONG_RUN = 600.0

#: Seconds before a worker starts again: after its first crash, and the most.
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

#: Seconds that a worker may take to save its checkpoint when it must leave.
_GRACE = 120.0

#: Becomes the command that follows; SIGTERM if the thread that started it ends, as by SIGKILL.
#: (Set in the new process itself: between fork and exec, threads of Ray may have locks.)
_WRAPPER = """\
import ctypes, os, sys
tie = getattr(ctypes.CDLL(None), "prctl", None)
if tie is not None:
    tie(1, 15)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, kw_only=True)
class WorkerTask:
    """What an actor has to keep alive, and where."""

    #: The key of the fleet.
    fleet: str
    #: 1 to the number of workers.
    number: int
    #: What starts hpsearch; empty: Python of the node's environment.
    command: tuple[str, ...]
    #: The words of its command line after ``hpsearch``.
    words: tuple[str, ...]
    #: Its variables; the URL of the database is among them. Never shown.
    environment: Mapping[str, str] = field(repr=False)
    #: Ray's options of the actor: resources and runtime environment.
    options: Mapping[str, Any]
    #: Numbers the actors of one worker, whose names differ in it: a replacement on another node is
    #: created while the former actor still has its name.
    generation: int = 1

    @property
    def name(self) -> str:
        """The name of its actor."""
        suffix = "" if self.generation == 1 else f".{self.generation}"
        return f"{self.fleet}-{self.number}{suffix}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is stored of a worker that has started."""

    host: str
    node: str
    #: How often it was started again, here and on other nodes.
    restarts: int = 0
    #: How it ended; ``None``: it hasn't.
    ended: int | None = None
    reason: str | None = None
    #: The last lines of an ended worker, and the number of lines before them.
    lines: tuple[str, ...] = ()
    skipped: int = 0
    #: The actor that wrote it, and its lines.
    origin: str = ""


class FleetStore:
    """What is stored of a fleet in Ray's key-value store, which lives as long as the cluster."""

    def __init__(self, fleet: str) -> None:
        from ray.experimental import internal_kv

        self._fleet = fleet
        self._kv = internal_kv

    def set_worker_count(self, workers: int) -> None:
        """Set how many workers are wanted; an actor that starts later ends if it is one more."""
        self._put("wanted", str(workers))

    def worker_count(self) -> int:
        """Return how many workers are wanted."""
        return int(self._get("wanted") or 0)

    def exclude(self, node: str, host: str) -> None:
        """Use a node no more."""
        self._put(f"excluded/{node}", host)

    def excluded(self) -> dict[str, str]:
        """Return the hosts of excluded nodes, by Ray's id of the node."""
        return {node: self._get(f"excluded/{node}") or "" for node in self._names("excluded/")}

    def write(self, number: int, record: Record) -> None:
        """Store a worker's record."""
        self._put(f"worker/{number}", json.dumps(asdict(record)))

    def read(self, number: int) -> Record | None:
        """Return a worker's record, if it has started."""
        text = self._get(f"worker/{number}")
        if text is None:
            return None
        values = json.loads(text)
        return Record(**{**values, "lines": tuple(values["lines"])})

    def records(self) -> dict[int, Record]:
        """Return the records of all workers, by number."""
        numbers = sorted(int(name) for name in self._names("worker/"))
        stored_records = {number: self.read(number) for number in numbers}
        return {number: record for number, record in stored_records.items() if record is not None}

    def forget(self, number: int) -> None:
        """Delete a worker's record."""
        self._delete(f"worker/{number}")

    def include_all(self) -> None:
        """Use all nodes again."""
        for node in self._names("excluded/"):
            self._delete(f"excluded/{node}")

    def _key(self, name: str) -> bytes:
        return f"{self._fleet}/{name}".encode()

    def _put(self, name: str, value: str) -> None:
        self._kv._internal_kv_put(self._key(name), value.encode(), namespace=NAMESPACE)

    def _get(self, name: str) -> str | None:
        value = self._kv._internal_kv_get(self._key(name), namespace=NAMESPACE)
        return None if value is None else bytes(value).decode()

    def _delete(self, name: str) -> None:
        self._kv._internal_kv_del(self._key(name), namespace=NAMESPACE)

    def _names(self, prefix: str) -> list[str]:
        whole = self._key(prefix)
        keys = self._kv._internal_kv_list(whole, namespace=NAMESPACE)
        return [bytes(key)[len(whole) :].decode() for key in keys]


def create_actor(task: WorkerTask) -> None:
    """Start an actor that nobody has to stay for; nothing happens if its name is taken."""
    import ray
    from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

    options: dict[str, Any] = {**task.options, "name": task.name, "namespace": NAMESPACE}
    excluded = FleetStore(task.fleet).excluded()
    # The label of a node's id, which has another name in older versions
    labels = {
        label
        for node in ray.nodes()
        for label, value in node.get("Labels", {}).items()
        if value == node["NodeID"]
    }
    if excluded and labels:
        options["scheduling_strategy"] = NodeLabelSchedulingStrategy(
            hard={labels.pop(): NotIn(*excluded)}
        )
    remote = ray.remote(WorkerActor).options(lifetime="detached", max_restarts=-1, **options)
    try:
        remote.remote(task)
    except ValueError as error:
        if "already taken" not in str(error):
            raise


class WorkerActor:
    """Starts a worker's process, and starts it again, until it is done or has to leave."""

    def __init__(self, task: WorkerTask) -> None:
        import ray

        context = ray.get_runtime_context()
        self._task = task
        self._self = context.current_actor
        self._store = FleetStore(task.fleet)
        previous = self._store.read(task.number)
        is_restart = previous is not None and previous.ended in (None, NODE_UNUSABLE)
        self._record = Record(
            host=os.uname().nodename,
            node=context.get_node_id(),
            restarts=previous.restarts + 1 if previous is not None and is_restart else 0,
            origin=uuid4().hex,
        )
        self._lock = threading.Lock()
        self._changed = threading.Event()
        # It may start again long after the fleet became smaller
        self._is_needed = task.number <= self._store.worker_count()
        self._notice_at = time.monotonic()
        self._over = self._left = False
        self._child: subprocess.Popen[str] | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._printed = 0
        threading.Thread(target=self._keep, name="worker", daemon=True).start()

    def keep(self, is_needed: bool) -> bool:
        """Go on, or have the worker leave at its next batch; returns whether this actor stays."""
        with self._lock:
            if not is_needed and self._is_needed:
                self._notice_at = time.monotonic()
                if self._child is not None and self._child.poll() is None:
                    self._child.send_signal(signal.SIGTERM)
            self._is_needed = is_needed
            self._changed.set()
            return not self._over

    def lines(self, origin: str, after: int) -> tuple[str, int, list[str]]:
        """Return lines that the worker printed.

        Args:
            origin: The first part of the last answer; empty: none.
            after: The second part of the last answer.

        Returns:
            What identifies this actor, how many lines there were, and those after ``after``.
        """
        with self._lock:
            previous = after if origin == self._record.origin else 0
            new = max(0, self._printed - previous)
            lines = list(self._lines)
            return self._record.origin, self._printed, lines[max(0, len(lines) - new) :]

    def is_there(self) -> bool:
        """Answer, as only an actor that runs can."""
        return True

    def _keep(self) -> None:
        try:
            code = self._run()
            self._end(code)
        except Exception:  # noqa: BLE001 - Ray starts a new actor
            traceback.print_exc()
            time.sleep(_PAUSE)
            os._exit(1)

    def _run(self) -> int | None:
        """Start the worker again and again; return how it ended, ``None`` if it never began."""
        crashes, code = 0, None
        while True:
            with self._lock:
                self._over = self._left = not self._is_needed
                if self._over:
                    return code
                self._store.write(self._task.number, self._record)
                self._child = self._start()
                self._changed.clear()
            start = time.monotonic()
            code = self._wait(self._child)
            is_crash = code not in (DONE, WRONG, NODE_UNUSABLE, MORE_TO_DO)
            long = time.monotonic() - start > _LONG_RUN
            crashes = (0 if long else crashes) + 1 if is_crash else 0
            with self._lock:
                self._left = not self._is_needed
                for_good = code in (DONE, WRONG, NODE_UNUSABLE) or crashes >= MOST_CRASHES
                self._over = self._left or for_good
                if self._over:
                    return code
                self._record = replace(self._record, restarts=self._record.restarts + 1)
            self._changed.wait(min(_LONGEST_PAUSE, _PAUSE * 2 ** max(0, crashes - 1)))

    def _start(self) -> subprocess.Popen[str]:
        command = self._task.command or own_command()
        wrapper = (sys.executable, "-I", "-S", "-c", _WRAPPER, str(os.getpid()))
        # The database is the fleet's, not one that the node's own environment names
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HPSEARCH_STORAGE")}
        if not self._task.options.get("num_gpus"):
            # Some versions of Ray leave all GPUs visible
            environment["CUDA_VISIBLE_DEVICES"] = ""
        child = subprocess.Popen(
            [*wrapper, which(command[0]) or command[0], *command[1:], *self._task.words],
            env={**environment, **self._task.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        self._reader.start()
        return child

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        while line := child.stdout.readline(_LONGEST_LINE):
            with self._lock:
                self._lines.append(line.rstrip("\n"))
                self._printed += 1

    def _wait(self, child: subprocess.Popen[str]) -> int:
        """Return the exit code of a worker, which is killed if it had to leave but hangs."""
        while True:
            try:
                code = child.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                with self._lock:
                    hangs = not self._is_needed and time.monotonic() - self._notice_at > _GRACE
                if hangs:
                    child.kill()
            else:
                # Not forever: a process of the worker's may have its output open
                self._reader.join(timeout=5.0)
                return code

    def _end(self, code: int | None) -> None:
        """End this actor for good, after what ``_run`` returned."""
        import ray

        task = self._task
        try:
            if code is None:
                self._store.forget(task.number)
                return
            self._store.write(task.number, self._last_record(code))
            if code == NODE_UNUSABLE and not self._left:
                self._store.exclude(self._record.node, self._record.host)
                create_actor(replace(task, generation=task.generation + 1))
        finally:
            # Not an exit of its own: Ray would start it again
            ray.kill(self._self, no_restart=True)

    def _last_record(self, code: int) -> Record:
        with self._lock:
            lines = tuple(self._lines)[-_LAST_LINES:]
            return replace(
                self._record,
                ended=code,
                reason="left" if self._left else _reason(code, lines),
                lines=lines,
                skipped=self._printed - len(lines),
            )


def _reason(code: int, lines: Sequence[str]) -> str:
    if code == DONE:
        return "done"
    last = next((line for line in reversed(lines) if line.strip()), "no output").strip()
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    if code not in (WRONG, NODE_UNUSABLE):
        how = f"{MOST_CRASHES} crashes in a row, the last with {how}"
    return f"{how}: {last}"
