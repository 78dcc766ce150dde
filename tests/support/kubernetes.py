"""A made-up Kubernetes: its objects, a controller of Jobs, and nodes whose pods are real processes.

The real ``kubectl`` talks to it through ``support.kubernetes_api``. Jobs are checked against the
published schema. A pod runs what its container would run, with the variables and the files of the
manifest. The rules of Jobs are those of Kubernetes 1.33, without its waiting times.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

#: The only namespace.
NAMESPACE = "ml"

#: The image that nodes can pull.
IMAGE = "registry.example/hpsearch:1.2"

#: Seconds that anything may take, on a busy machine.
PATIENCE = 180.0

#: Resource -> API version and kind.
RESOURCES = {
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim"),
}

_PREFIX = "batch.kubernetes.io/"
_INDEX = f"{_PREFIX}job-completion-index"

_SCHEMA = Path(__file__).parents[1] / "data" / "kubernetes" / "job-batch-v1.json"

Object = dict[str, Any]


class Failure(Exception):
    """The server refuses a request."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class _Progress:
    """What the controller remembers of a Job."""

    succeeded: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    #: Index -> how often each action was taken.
    counts: dict[int, dict[str, int]] = field(default_factory=dict)
    #: The pods whose end was counted.
    counted: set[str] = field(default_factory=set)


class Cluster:
    """A cluster in this process; ``work`` must be called again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = "v1.33.0"
        self.lock = threading.RLock()
        self.objects: dict[tuple[str, str], Object] = {}
        #: Resources that this user may not read.
        self.forbidden: set[str] = set()
        #: Node -> how many pods fit on it.
        self.nodes = {"node-a": 8}
        #: Pod -> its process; also of pods that don't exist any more.
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._progress: dict[str, _Progress] = {}
        self._numbers = itertools.count(1)

    # What a test does, and asks

    def add(self, resource: str, name: str, **content: Any) -> None:
        """Create an object of a cluster's user."""
        self.create(resource, {"metadata": {"name": name}, **content}, dry=False)

    def job(self, name: str) -> Object:
        """Return a copy of a Job."""
        return self.get("jobs", name)

    def pods(self, index: int | None = None) -> list[Object]:
        """Return copies of the pods, or those of one index, in the order of their creation."""
        found = self.listed("pods", {}, "")
        return [each for each in found if index is None or _index(each) == index]

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until a condition is true; returns its value. A failure shows the pods' logs."""
        until = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > until:
                logs = [f"{log}\n{log.read_text()[-2000:]}" for log in self.folder.glob("*.log")]
                state = json.dumps([*self.objects.values()], indent=1)
                raise AssertionError("\n".join([f"no {what} in {PATIENCE:g} s", state, *logs]))
            time.sleep(0.05)
        return value

    def evict(self, name: str) -> None:
        """Evict a pod, as a preemption does."""
        with self.lock:
            pod = self.objects["pods", name]
            _disrupt(pod, "EvictionByEvictionAPI")
            self._terminate(pod)

    def drain(self, node: str) -> None:
        """Let nothing new run on a node, and evict what does."""
        with self.lock:
            self.nodes[node] = 0
            for pod in self.pods():
                if pod["spec"].get("nodeName") == node:
                    self.evict(pod["metadata"]["name"])

    def lose_node_of(self, name: str) -> None:
        """Delete the node of a pod, which can't be reached any more; its process goes on."""
        with self.lock:
            pod = self.objects["pods", name]
            _disrupt(pod, "DeletionByPodGC")
            pod["status"]["phase"] = "Failed"
            pod["metadata"]["deletionTimestamp"] = _now()

    # What the API does

    def create(self, resource: str, body: Object, *, dry: bool) -> Object:
        """Check an object and store it, unless it is a dry run."""
        version, kind = RESOURCES[resource]
        made = {**copy.deepcopy(body), "apiVersion": version, "kind": kind}
        if resource == "jobs":
            _require_valid(made)
        name = made["metadata"]["name"]
        with self.lock:
            if (resource, name) in self.objects:
                raise Failure(409, "AlreadyExists", f'{resource} "{name}" already exists')
            if not dry:
                uid = f"uid-{next(self._numbers)}"
                made["metadata"] |= {
                    "namespace": NAMESPACE,
                    "uid": uid,
                    "creationTimestamp": _now(),
                }
                made.setdefault("status", {})
                self.objects[resource, name] = made
            return copy.deepcopy(made)

    def get(self, resource: str, name: str) -> Object:
        """Return a copy of an object."""
        with self.lock:
            return copy.deepcopy(self._found(resource, name))

    def listed(self, resource: str, labels: Mapping[str, str], name: str) -> list[Object]:
        """Return copies of the objects with these labels, or with a name."""
        with self.lock:
            return [
                copy.deepcopy(each)
                for (what, named), each in self.objects.items()
                if what == resource
                and name in ("", named)
                and labels.items() <= each["metadata"].get("labels", {}).items()
            ]

    def patch(self, name: str, change: Object) -> Object:
        """Merge a change into a Job (RFC 7386)."""
        with self.lock:
            job = self._found("jobs", name)
            changed = _merged(job, change)
            _require_valid(changed)
            _require_allowed(job["spec"], changed["spec"])
            self.objects["jobs", name] = changed
            return copy.deepcopy(changed)

    def delete(self, resource: str, name: str) -> Object:
        """Delete an object; a Job exists until its pods have ended (foreground)."""
        with self.lock:
            found = self._found(resource, name)
            if resource == "jobs":
                found["metadata"].setdefault("deletionTimestamp", _now())
            elif resource == "pods":
                self._terminate(found)
            else:
                del self.objects[resource, name]
            return copy.deepcopy(found)

    def log(self, name: str, *, follow: bool) -> Iterator[bytes]:
        """Yield what a pod has printed; with ``follow`` until it ends."""
        self.get("pods", name)
        if name not in self.processes:
            message = f'container "worker" in pod "{name}" is waiting to start'
            raise Failure(400, "BadRequest", message)
        with (self.folder / f"{name}.log").open("rb") as file:
            while True:
                has_ended = self.processes[name].poll() is not None
                yield file.read()
                if has_ended or not follow:
                    return
                time.sleep(0.05)

    def _found(self, resource: str, name: str) -> Object:
        if resource in self.forbidden:
            raise Failure(403, "Forbidden", f'{resource} "{name}" is forbidden')
        if (resource, name) not in self.objects:
            raise Failure(404, "NotFound", f'{resource} "{name}" not found')
        return self.objects[resource, name]

    # The controller of Jobs

    def work(self) -> None:
        """Do what is due: on the nodes, then for Jobs."""
        with self.lock:
            for pod in self._all("pods"):
                self._run(pod)
            for job in self._all("jobs"):
                self._control(job)

    def _all(self, resource: str) -> list[Object]:
        return [each for (what, _), each in self.objects.items() if what == resource]

    def _control(self, job: Object) -> None:
        uid, spec = job["metadata"]["uid"], job["spec"]
        progress = self._progress.setdefault(uid, _Progress())
        for pod in self._pods_of(uid):
            if pod["status"]["phase"] in ("Succeeded", "Failed"):
                self._count(job, pod, progress)
        pods = self._pods_of(uid)
        if "deletionTimestamp" in job["metadata"]:
            for pod in pods:
                self._terminate(pod)
            if not pods:
                del self.objects["jobs", job["metadata"]["name"]]
            return
        ends = "conditions" in job["status"]
        for pod in pods:
            if pod["status"]["phase"] in ("Pending", "Running") and (
                ends or _index(pod) >= spec["completions"]
            ):
                self._terminate(pod)
        if ends or spec.get("suspend"):
            return
        job["status"]["failedIndexes"] = ",".join(map(str, sorted(progress.failed)))
        left = {*range(spec["completions"])} - progress.succeeded - progress.failed
        if not left:
            _end(job, *(("Failed", "FailedIndexes") if progress.failed else
                        ("Complete", "CompletionsReached")))  # fmt: skip
        # podReplacementPolicy Failed: a pod that is leaving isn't replaced yet
        for index in left - {_index(pod) for pod in pods if pod["status"]["phase"] != "Failed"}:
            self._create_pod(job, index, progress.counts.get(index, {}))

    def _pods_of(self, uid: str) -> list[Object]:
        return [pod for pod in self._all("pods")
                if pod["metadata"]["ownerReferences"][0]["uid"] == uid]  # fmt: skip

    def _count(self, job: Object, pod: Object, progress: _Progress) -> None:
        """Apply the failure policy to a pod that has ended, once."""
        name, index = pod["metadata"]["name"], _index(pod)
        if "deletionTimestamp" in pod["metadata"]:
            del self.objects["pods", name]
        if name in progress.counted:
            return
        progress.counted.add(name)
        if pod["status"]["phase"] == "Succeeded":
            progress.succeeded.add(index)
            return
        action = _action(job["spec"], pod)
        if action == "FailJob":
            message = (f"Container worker for pod {NAMESPACE}/{name} failed with exit code "
                       f"{_exit_code(pod)} matching FailJob rule")  # fmt: skip
            _end(job, "Failed", "PodFailurePolicy", message)
            return
        counts = progress.counts.setdefault(index, {"Count": 0, "Ignore": 0})
        counts[action] += 1
        if counts["Count"] > job["spec"]["backoffLimitPerIndex"]:
            progress.failed.add(index)

    def _create_pod(self, job: Object, index: int, counts: Mapping[str, int]) -> None:
        name = f"{job['metadata']['name']}-{index}-{next(self._numbers):05}"
        template = copy.deepcopy(job["spec"]["template"])
        annotations = {
            _INDEX: str(index),
            f"{_PREFIX}job-index-failure-count": str(counts.get("Count", 0)),
            f"{_PREFIX}job-index-ignored-failure-count": str(counts.get("Ignore", 0)),
        }
        metadata = {**template.get("metadata", {}), "name": name, "annotations": annotations,
                    "ownerReferences": [{"uid": job["metadata"]["uid"]}]}  # fmt: skip
        body = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        self.create("pods", body, dry=False)

    # The nodes

    def _run(self, pod: Object) -> None:
        """Start the process of a pod, or see that it has ended."""
        name, status = pod["metadata"]["name"], pod["status"]
        if status["phase"] == "Pending" and "deletionTimestamp" not in pod["metadata"]:
            self._start(pod)
        elif status["phase"] == "Running" and self.processes[name].poll() is not None:
            code = self.processes[name].returncode
            code = 128 - code if code < 0 else code
            status["phase"] = "Failed" if code else "Succeeded"
            reason = "Error" if code else "Completed"
            _set_state(pod, {"terminated": {"exitCode": code, "reason": reason}})

    def _start(self, pod: Object) -> None:
        spec, status = pod["spec"], pod["status"]
        running = [each["spec"].get("nodeName") for each in self._all("pods")
                   if each["status"]["phase"] in ("Pending", "Running")]  # fmt: skip
        free = [node for node, places in self.nodes.items() if running.count(node) < places]
        if "nodeName" not in spec:
            if not free:
                message = f"0/{len(self.nodes)} nodes are available: Insufficient cpu."
                waits = {"reason": "Unschedulable", "message": message}
                status["conditions"] = [{"type": "PodScheduled", "status": "False", **waits}]
                return
            status["conditions"] = [{"type": "PodScheduled", "status": "True"}]
            spec["nodeName"] = free[0]
        (container,) = spec["containers"]
        if container["image"] != IMAGE:
            message = f'Back-off pulling image "{container["image"]}"'
            _set_state(pod, {"waiting": {"reason": "ImagePullBackOff", "message": message}})
            return
        folder = self.folder / pod["metadata"]["name"]
        places = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        mapped = {}
        for volume in spec["volumes"]:
            if "secret" in volume:
                (folder / volume["name"]).mkdir(parents=True, exist_ok=True)
                for item in volume["secret"]["items"]:
                    secret = self._found("secrets", volume["secret"]["secretName"])
                    content = b64decode(secret["data"][item["key"]])
                    (folder / volume["name"] / item["path"]).write_bytes(content)
                mapped[places[volume["name"]]] = str(folder / volume["name"])
            else:  # a claim is a folder of this machine, at its own path
                self._found("persistentvolumeclaims", volume["persistentVolumeClaim"]["claimName"])
        variables: dict[str, str] = {"JOB_COMPLETION_INDEX": str(_index(pod))}
        for each in container["env"]:
            value = _expanded(each["value"], variables)
            for place, real in mapped.items():
                value = value.replace(place, real) if value.startswith(place) else value
            variables[each["name"]] = value
        command = [_expanded(word, variables) for word in container["command"] + container["args"]]
        own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
        with (self.folder / f"{pod['metadata']['name']}.log").open("wb") as log:
            self.processes[pod["metadata"]["name"]] = subprocess.Popen(
                command, cwd=folder, env={**own, **variables}, stdout=log, stderr=log
            )
        status["phase"] = "Running"
        _set_state(pod, {"running": {"startedAt": _now()}})

    def _terminate(self, pod: Object) -> None:
        """Delete a pod: its process gets SIGTERM, and may end in peace."""
        name = pod["metadata"]["name"]
        if pod["status"]["phase"] != "Running":
            self.objects.pop(("pods", name), None)
        elif "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["deletionTimestamp"] = _now()
            self.processes[name].send_signal(signal.SIGTERM)

    def end_processes(self) -> None:
        """Kill what still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()


def _require_valid(job: Object) -> None:
    """Check a Job: its keys and types, then the rules that a schema can't express."""
    unfit = [f"{error.json_path}: {error.message}" for error in job_schema().iter_errors(job)]
    if unfit:
        raise Failure(400, "BadRequest", f"Job cannot be handled as a Job: {'; '.join(unfit)}")
    pod, name = job["spec"]["template"]["spec"], job["metadata"]["name"]
    if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", name):  # room for a pod's index
        raise Failure(422, "Invalid", f"metadata.name: Invalid value: {name!r}")
    containers = [each["name"] for each in pod["containers"]]
    rules = job["spec"].get("podFailurePolicy", {}).get("rules", ())
    named = [rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule]
    if not {*named} <= {*containers}:
        raise Failure(422, "Invalid", f"spec.podFailurePolicy: no container is one of {named}")
    if rules and pod.get("restartPolicy") != "Never":
        raise Failure(422, "Invalid", "spec.template.spec.restartPolicy: must be Never")


def _require_allowed(before: Object, after: Object) -> None:
    """Check an update: a Job is elastic if its completions stay equal to its parallelism."""
    fixed = {*before, *after} - {"parallelism", "completions", "suspend"}
    changed = [key for key in fixed if before.get(key) != after.get(key)]
    if after["completions"] not in (before["completions"], after["parallelism"]):
        changed.append("completions")
    if changed:
        told = f"spec.{sorted(changed)[0]}: Invalid value: field is immutable"
        raise Failure(422, "Invalid", told)


@cache
def job_schema() -> jsonschema.Draft202012Validator:
    """Return the published schema of a Job; a key that it doesn't know breaks it."""
    return jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text()))


def _action(spec: Object, pod: Object) -> str:
    """Return the action of the first rule of the failure policy that applies."""
    conditions = {(each["type"], each["status"]) for each in pod["status"].get("conditions", ())}
    for rule in spec["podFailurePolicy"]["rules"]:
        on = rule.get("onExitCodes")
        if on is not None and _exit_code(pod) in on["values"]:
            assert on["operator"] == "In"
            return rule["action"]
        patterns = rule.get("onPodConditions", ())
        if any((each["type"], each["status"]) in conditions for each in patterns):
            return rule["action"]
    return "Count"


def _exit_code(pod: Object) -> int | None:
    for each in pod["status"].get("containerStatuses", ()):
        if "terminated" in each["state"]:
            return each["state"]["terminated"]["exitCode"]
    return None


def _set_state(pod: Object, state: Object) -> None:
    name = pod["spec"]["containers"][0]["name"]
    pod["status"]["containerStatuses"] = [{"name": name, "state": state}]


def _disrupt(pod: Object, reason: str) -> None:
    pod["status"].setdefault("conditions", []).append(
        {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": ""}
    )


def _end(job: Object, kind: str, reason: str, message: str = "") -> None:
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    job["status"]["conditions"] = [condition]


def _index(pod: Object) -> int:
    return int(pod["metadata"]["annotations"][_INDEX])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _merged(value: Any, change: Any) -> Any:
    if not (isinstance(value, dict) and isinstance(change, dict)):
        return copy.deepcopy(change)
    merged = {**value, **{key: _merged(value.get(key), each) for key, each in change.items()}}
    return {key: each for key, each in merged.items() if each is not None}


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` as Kubernetes does; ``$$`` is one ``$``."""
    made, rest = "", text
    while rest:
        if rest.startswith("$$"):
            made, rest = f"{made}$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            name, _, rest = rest[2:].partition(")")
            made += variables.get(name, f"$({name})")
        else:
            made, rest = made + rest[0], rest[1:]
    return made
