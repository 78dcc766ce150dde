"""Ray: each worker is a detached actor, which no driver has to stay for.

The actors of a fleet are found by their names, the fleet's key and a number, from any process that
reaches the cluster. ``ray_actor`` is what runs on its nodes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from typing import Annotated, Any

from pydantic import Field, JsonValue, PositiveInt

from hpsearch.engines.engine import (
    ENGINES,
    WORKER,
    FleetWorker,
    Variables,
    fleet_folder,
    problems_of_storage,
    require_extra,
    worker_command,
    worker_environment,
)
from hpsearch.engines.ray_actor import NAMESPACE, FleetStore, Record, WorkerTask, create_actor
from hpsearch.errors import UserError
from hpsearch.exit_codes import NODE_UNUSABLE
from hpsearch.search.database.environment import URL, URL_FILE
from hpsearch.search.ledger.fleets import Fleet
from hpsearch.study_file.schema import Matching
from hpsearch.workers.runs_place.place import is_shared, parse_runs

#: Seconds that actors may take to answer whether they run, and to take an order.
_ANSWER_SECONDS, _ORDER_SECONDS = 5.0, 15.0

#: Seconds that a connection to the cluster may take.
_CONNECT_SECONDS = 10.0

#: Seconds between two looks for new output.
_FOLLOW_SECONDS = 1.0

_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T"))}

#: The address that this process has connected to; ``None``: it hasn't, or others did.
_connected: str | None = None


Memory = Annotated[
    str, Matching(r"^[0-9]+(\.[0-9]+)?[KMGT]?(i?B)?$", "an amount of memory, as in 16G")
]


@ENGINES.register("ray")
class RayEngine:
    """Workers are detached actors on a Ray cluster."""

    def __init__(
        self,
        fleet: Fleet,
        storage: str,
        /,
        *,
        address: str = "auto",
        gpus: Annotated[float, Field(ge=0, le=1)] = 0.0,
        cpus: PositiveInt = 1,
        memory: Memory | None = None,
        device: str = "auto",
        resources: dict[str, Annotated[float, Field(gt=0)]] = {},  # noqa: B006 - never changed
        env: Variables = {},  # noqa: B006
        runtime_env: dict[str, JsonValue] = {},  # noqa: B006
        autoscaling: bool = False,
        command: str | None = None,
    ) -> None:
        """Make the engine of one fleet.

        Args:
            fleet: The fleet.
            storage: The URL of the database; the actors get it, and Ray shows it nowhere.
            address: The cluster: ``auto`` (that of this host, or of ``RAY_ADDRESS``) or
                ``host:port``.
            gpus: The share of a GPU that a worker gets, 0 to 1.
            cpus: CPUs of each worker, and the threads of its trials.
            memory: Memory of each worker, such as ``8G``, by which Ray places workers; ``None``:
                any.
            device: The device that a worker trains on; ``auto``: a GPU if ``gpus`` isn't 0.
            resources: Further resources of Ray: ``{accelerator_type:A100: 0.01}``.
            env: Further variables of the worker.
            runtime_env: Ray's runtime environment: ``{pip: [hpsearch]}``.
            autoscaling: Whether the cluster adds nodes on demand, so that a worker may need what no
                node has yet.
            command: What starts hpsearch on a node; ``None``: Python of the runtime environment.
        """
        self._fleet = fleet
        self._address = address
        self._autoscaling = autoscaling
        self._demand = {
            "CPU": float(cpus),
            **({"GPU": gpus} if gpus else {}),
            **({} if memory is None else {"memory": float(_bytes(memory))}),
            **resources,
        }
        self._options: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            **({} if memory is None else {"memory": _bytes(memory)}),
            **({"resources": resources} if resources else {}),
            **({"runtime_env": runtime_env} if runtime_env else {}),
        }
        # A worker that got a GPU but sees none must not train on the CPU
        trains_on = "cuda" if device == "auto" and gpus else device
        self._words = worker_command(fleet, device=trains_on, threads=cpus)
        self._command = () if command is None else tuple(shlex.split(command))
        self._environment = {**worker_environment(fleet, storage), **env}
        if URL_FILE in env:
            del self._environment[URL]
        self._storage = storage

    def check(self) -> list[str]:
        """Return why the cluster, or the database, can't have a worker."""
        problems = problems_of_storage(self._storage)
        try:
            with self._cluster() as ray:
                if not self._autoscaling and not self._fitting(ray.nodes()):
                    problems.append(self._too_small(ray.nodes()))
                try:
                    ray.runtime_env.RuntimeEnv(**self._options.get("runtime_env", {}))
                except (TypeError, ValueError) as error:
                    problems.append(
                        "runtime_env of a profile must be what Ray accepts, but Ray reports: "
                        f"{' '.join(str(error).split())}"
                    )
        except UserError as error:
            problems.append(str(error))
        return problems

    def render(self) -> str:
        """Return the actors as JSON: their names, resources, command and variables."""
        numbers = range(1, self._fleet.workers + 1)
        document = {
            "address": self._address,
            "namespace": NAMESPACE,
            "actors": [self._task(number).name for number in numbers],
            "options": {"lifetime": "detached", "max_restarts": -1, **self._options},
            "command": shlex.join([*(self._command or ("hpsearch",)), *self._words]),
            "environment": {k: v for k, v in self._environment.items() if k != URL},
        }
        return json.dumps(document, indent=2)

    def apply(self) -> None:
        """Start the missing actors, and have those above the wanted number leave."""
        workers = self._fleet.workers
        if not is_shared(parse_runs(self._fleet.runs)):
            # By it, workers see whether the folder is shared
            fleet_folder(self._fleet).mkdir(parents=True, exist_ok=True)
        with self._cluster() as ray:
            store = FleetStore(self._fleet.key)
            # Before all else: actors that begin from now on compare their numbers with it
            store.set_worker_count(workers)
            names = self._names(ray)
            stays = self._order(ray, store, names, workers)
            for number in range(1, workers + 1):
                if stays.get(number):
                    continue
                # One that is about to end has its name still
                generation = _generation(names[number]) + 1 if number in names else 1
                store.forget(number)
                create_actor(self._task(number, generation=generation))

    def look(self) -> list[FleetWorker]:
        """Return the workers by the cluster's actors, and by what those stored."""
        with self._cluster() as ray:
            store = FleetStore(self._fleet.key)
            names = self._names(ray)
            records = store.records()
            excluded = store.excluded()
            running = self._running(ray, names, records)
            waiting = set(names) - running
            reason = self._reason(ray, excluded) if waiting else None
        hosts = tuple(sorted(set(excluded.values())))
        return [
            self._worker(
                number, names.get(number), records.get(number), number in running, reason, hosts
            )
            for number in sorted({*names, *records})
        ]

    def stop(self) -> None:
        """End actors that wait for a node; the others end when their workers have left."""
        with self._cluster() as ray:
            store = FleetStore(self._fleet.key)
            store.set_worker_count(0)
            self._order(ray, store, self._names(ray), 0)
            store.include_all()

    def log(self, worker: int, *, follow: bool) -> Iterator[str]:
        """Yield what a worker has printed on its present node; of an ended one, its last lines.

        Raises:
            UserError: It has printed nothing yet, or the cluster can't be reached.
        """
        origin, printed = "", 0
        while True:
            with self._cluster() as ray:
                name = self._names(ray).get(worker)
                record = FleetStore(self._fleet.key).read(worker)
                if record is None:
                    if origin:  # it had to leave
                        return
                    raise UserError(
                        f"worker {worker} of fleet {self._fleet.key} must have begun to have "
                        "output, but it hasn't; `hpsearch status` shows what it waits for"
                    )
                if record.ended is None and name is not None:
                    read = self._lines(ray, name, origin, printed)
                else:
                    after = printed if record.origin == origin else 0
                    read = (
                        record.origin,
                        record.skipped + len(record.lines),
                        list(record.lines[max(0, after - record.skipped) :]),
                    )
            if read is not None:
                origin, printed, lines = read
                yield from lines
            if not follow or name is None:
                return
            time.sleep(_FOLLOW_SECONDS)

    def _task(self, number: int, *, generation: int = 1) -> WorkerTask:
        return WorkerTask(
            fleet=self._fleet.key,
            number=number,
            command=self._command,
            words=self._words,
            environment={**self._environment, WORKER: str(number)},
            options=self._options,
            generation=generation,
        )

    def _worker(
        self,
        number: int,
        name: str | None,
        record: Record | None,
        runs: bool,
        waits_for: str | None,
        excluded: tuple[str, ...],
    ) -> FleetWorker:
        restarts = 0 if record is None else record.restarts
        native = name or self._task(number).name
        if runs and record is not None:
            return FleetWorker(
                number=number,
                state="running",
                native_id=native,
                host=record.host,
                restarts=restarts,
                excluded=excluded,
            )
        if name is not None:
            return FleetWorker(
                number=number,
                state="pending",
                native_id=native,
                reason=waits_for,
                restarts=restarts,
                excluded=excluded,
            )
        assert record is not None
        lost = "its actor was ended, not by hpsearch"
        return FleetWorker(
            number=number,
            state="ended",
            native_id=native,
            host=record.host,
            reason=record.reason or lost,
            restarts=restarts,
            excluded=excluded,
        )

    def _names(self, ray: Any) -> dict[int, str]:
        """Return the names of the fleet's actors that haven't ended, the newest of each number."""
        form = re.compile(rf"{re.escape(self._fleet.key)}-(\d+)(?:\.\d+)?")
        names: dict[int, str] = {}
        for actor in ray.util.list_named_actors(all_namespaces=True):
            match = form.fullmatch(actor["name"])
            if match is None or actor["namespace"] != NAMESPACE:
                continue
            number, name = int(match[1]), actor["name"]
            if number not in names or _generation(name) > _generation(names[number]):
                names[number] = name
        return names

    def _running(
        self, ray: Any, names: Mapping[int, str], records: Mapping[int, Record]
    ) -> set[int]:
        """Return the numbers of the actors that answer."""
        references = {}
        for number, name in names.items():
            record = records.get(number)
            if record is not None and record.ended is None:
                actor = _actor(ray, name)
                if actor is not None:
                    references[number] = actor.is_there.remote()
        answers = _answers(ray, references, _ANSWER_SECONDS)
        return {number for number, answer in answers.items() if answer is True}

    def _order(
        self, ray: Any, store: FleetStore, names: Mapping[int, str], workers: int
    ) -> dict[int, bool]:
        """Tell every actor whether it is wanted; return which of them stay.

        Those that wait for a node and aren't wanted end at once. One that doesn't answer is
        starting on another node, and reads how many are wanted before it does anything.
        """
        records = store.records()
        stays = dict.fromkeys(names, True)
        references = {}
        for number, name in names.items():
            actor = _actor(ray, name)
            record = records.get(number)
            if actor is None:
                stays[number] = False
            elif record is not None and record.ended is None:
                references[number] = actor.keep.remote(number <= workers)
            elif record is not None and record.ended != NODE_UNUSABLE:
                stays[number] = False
            elif number > workers:
                ray.kill(actor, no_restart=True)
                store.forget(number)
        for number, answer in _answers(ray, references, _ORDER_SECONDS).items():
            stays[number] = answer is not False
        return stays

    def _lines(
        self, ray: Any, name: str, origin: str, printed: int
    ) -> tuple[str, int, list[str]] | None:
        actor = _actor(ray, name)
        if actor is None:
            return None
        references = {0: actor.lines.remote(origin, printed)}
        answer: tuple[str, int, list[str]] | None = _answers(ray, references, _ANSWER_SECONDS)[0]
        return answer

    def _fitting(
        self, nodes: list[Mapping[str, Any]], excluded: Mapping[str, str] = {}
    ) -> list[Mapping[str, Any]]:
        """Return the nodes that can have a worker when they are idle."""
        return [
            node
            for node in nodes
            if node["Alive"]
            and node["NodeID"] not in excluded
            and all(node["Resources"].get(name, 0) >= n for name, n in self._demand.items())
        ]

    def _too_small(self, nodes: list[Mapping[str, Any]]) -> str:
        hosts = "; ".join(
            f"{node['NodeManagerHostname']}: {self._amounts(node['Resources'])}"
            for node in nodes
            if node["Alive"]
        )
        return (
            f"a worker needs {self._amounts(self._demand)} of one node, but no node of the cluster "
            f"has that ({hosts}); change gpus, cpus, memory or resources, or set "
            "autoscaling=true if the cluster adds nodes on demand"
        )

    def _reason(self, ray: Any, excluded: Mapping[str, str]) -> str:
        """Return why an actor waits."""
        need = f"needs {self._amounts(self._demand)}"
        if self._fitting(ray.nodes(), excluded):
            return f"{need}; free in the cluster: {self._amounts(ray.available_resources())}"
        if excluded:
            return f"{need}; no node has that but those excluded"
        return f"{need}; no node has that"

    def _amounts(self, resources: Mapping[str, float]) -> str:
        parts = []
        for name in self._demand:
            amount = resources.get(name, 0)
            if name == "memory":
                parts.append(f"{amount / 1024**3:.3g} GiB memory")
            else:
                parts.append(f"{amount:g} {name}")
        return ", ".join(parts)

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Yield Ray, connected to the cluster.

        Raises:
            UserError: It isn't installed, or the cluster can't be reached or refuses an order.
        """
        require_extra("ray", "ray")
        # Otherwise it tries a cluster that is gone for a quarter of an hour
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        import ray

        try:
            self._connect(ray)
            yield ray
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise UserError(
                f"the Ray cluster at {self._address} must be reachable from this host, one of its "
                f"nodes, but Ray reports: {text or type(error).__name__}"
            ) from error

    def _connect(self, ray: Any) -> None:
        global _connected
        if ray.is_initialized() and _connected in (None, self._address):
            return
        address = self._address
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS", address)
        _require_listening(address)
        if ray.is_initialized():
            ray.shutdown()
        handler = signal.getsignal(signal.SIGTERM)
        # Ray puts the current folder into every actor's sys.path, in front
        with chdir("/"):
            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        _connected = self._address
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        # What the cluster reports of nodes that die would be printed into a command's output
        printing = sys.modules["ray._private.worker"]
        if "print_to_stdstream" in vars(printing):
            vars(printing)["print_to_stdstream"] = lambda *words, **options: None


def _require_listening(address: str) -> None:
    """Check that something listens at ``host:port``: Ray itself waits for it for minutes.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            pass


def _generation(name: str) -> int:
    """Return the generation of an actor by its name (see ``WorkerTask``)."""
    return int(name.rpartition(".")[2]) if "." in name else 1


def _actor(ray: Any, name: str) -> Any:
    """Return the actor with a name; ``None`` if it has ended."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _answers(ray: Any, references: Mapping[int, Any], seconds: float) -> dict[int, Any]:
    """Return what actors answered by number; ``None`` if one didn't in time, ``False`` if it ended.

    Args:
        ray: Ray, connected.
        references: Those of their answers.
        seconds: How long to wait for all of them.
    """
    if not references:
        return {}
    ready, _ = ray.wait(list(references.values()), num_returns=len(references), timeout=seconds)
    answers: dict[int, Any] = dict.fromkeys(references)
    for number, reference in references.items():
        if reference in ready:
            try:
                answers[number] = ray.get(reference)
            except ray.exceptions.ActorUnavailableError:
                answers[number] = None
            except ray.exceptions.RayActorError:
                answers[number] = False
    return answers


def _bytes(size: str) -> int:
    """Return a size such as ``8G`` or ``512MiB`` in bytes; units are powers of 1024."""
    match = re.fullmatch(r"([0-9.]+)([KMGT]?)(?:i?B)?", size)
    assert match is not None
    return int(float(match[1]) * _UNITS[match[2]])
