"""The Job of a fleet: one elastic Indexed Job, whose index 0 is worker 1.

It is elastic since its completions equal its parallelism, and both are changed together. Kubernetes
itself replaces pods; their exit codes decide whether it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.engines.engine import FLEET, WORKER, worker_command, worker_environment
from hpsearch.exit_codes import MORE_TO_DO, WRONG
from hpsearch.search.database.environment import URL, URL_FILE
from hpsearch.search.ledger.fleets import Fleet

#: The label with the fleet's key, of the Job and of its pods.
FLEET_LABEL = "app.kubernetes.io/instance"

#: The container of a pod; a profile's patch names it to change it.
CONTAINER = "worker"

#: The key of the Secret that contains the URL of the database.
URI = "uri"

#: The folder of its file in pods.
_SECRETS = "/var/run/hpsearch"

#: Failures of one worker after which it isn't started again; evictions and exit code 75 don't
#: count. Kubernetes waits longer after each, up to ten minutes.
_MOST_FAILURES = 100

#: Seconds that a worker has to end its batch and to save a checkpoint.
_GRACE = 120

#: Seconds after which Kubernetes deletes a Job that has ended, and what its workers printed.
_KEEP_SECONDS = 7 * 24 * 3600

#: The user of the images of ``docker/Dockerfile``.
_USER = 10001


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """The settings of the pods in a profile."""

    image: str
    gpus: int
    cpus: int
    memory: str
    device: str
    queue: str | None
    claim: str | None
    #: The folder at which the claim is mounted.
    mount: str
    secret: str
    env: Mapping[str, str]


def job_of(fleet: Fleet, pods: PodSettings, storage: str) -> dict[str, Any]:
    """Return the manifest of a fleet's Job; it contains no secret.

    Args:
        fleet: The fleet.
        pods: The settings of its profile.
        storage: The URL of the database, which isn't used: pods read theirs from the Secret.
    """
    labels = {"app.kubernetes.io/name": "hpsearch", FLEET_LABEL: fleet.key}
    queue = {} if pods.queue is None else {"kueue.x-k8s.io/queue-name": pods.queue}
    eviction = {"type": "DisruptionTarget", "status": "True"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": fleet.key, "labels": {**labels, **queue}},
        "spec": {
            "parallelism": fleet.workers,
            "completions": fleet.workers,
            "completionMode": "Indexed",
            "backoffLimitPerIndex": _MOST_FAILURES,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [eviction]},
                    {"action": "Ignore", "onExitCodes": _exit_code(MORE_TO_DO)},
                    {"action": "FailJob", "onExitCodes": _exit_code(WRONG)},
                ]
            },
            "ttlSecondsAfterFinished": _KEEP_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": _pod(fleet, pods, storage)},
        },
    }


def _exit_code(code: int) -> dict[str, Any]:
    return {"containerName": CONTAINER, "operator": "In", "values": [code]}


def _pod(fleet: Fleet, pods: PodSettings, storage: str) -> dict[str, Any]:
    database = {"secretName": pods.secret, "items": [{"key": URI, "path": URI}]}
    volumes: list[dict[str, Any]] = [{"name": "database", "secret": database}]
    if pods.claim is not None:
        claim = {"claimName": pods.claim}
        volumes.append({"name": "shared", "persistentVolumeClaim": claim})
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE,
        "automountServiceAccountToken": False,
        # For a Service named hpsearch, Kubernetes would set variables named HPSEARCH_..
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",  # else it visits every file of the runs
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(fleet, pods, storage)],
        "volumes": volumes,
    }


def _container(fleet: Fleet, pods: PodSettings, storage: str) -> dict[str, Any]:
    # Kubernetes counts from 0, and can't add 1 in the value of a variable
    start = f'export {WORKER}=$((JOB_COMPLETION_INDEX + 1)); exec hpsearch "$@"'
    shared = worker_environment(fleet, storage)
    del shared[URL]  # it may contain a password
    del shared[FLEET]  # a claim is shared, and the launch may be where it isn't mounted
    environment = {**shared, URL_FILE: f"{_SECRETS}/{URI}", **pods.env}
    command = worker_command(fleet, device=pods.device, threads=pods.cpus)
    limits = {"cpu": str(pods.cpus), "memory": pods.memory}
    mounts = [{"name": "database", "mountPath": _SECRETS, "readOnly": True}]
    if pods.claim is not None:
        mounts.append({"name": "shared", "mountPath": pods.mount})
    return {
        "name": CONTAINER,
        "image": pods.image,
        "command": ["sh", "-c", _literal(start), "hpsearch"],
        "args": [_literal(word) for word in command],
        "env": [{"name": name, "value": _literal(value)} for name, value in environment.items()],
        "resources": {
            "limits": {**limits, "nvidia.com/gpu": str(pods.gpus)} if pods.gpus else limits
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _literal(text: str) -> str:
    """Return a text in which Kubernetes replaces no ``$(NAME)``."""
    return text.replace("$", "$$")
