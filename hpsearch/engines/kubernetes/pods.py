"""How the workers of a Job are, by the objects that the cluster returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from hpsearch.engines.engine import FleetWorker
from hpsearch.engines.kubernetes.job import CONTAINER

#: An object of Kubernetes' API, as JSON.
Object: TypeAlias = Mapping[str, Any]

_PREFIX = "batch.kubernetes.io/"
_INDEX = f"{_PREFIX}job-completion-index"

#: How often an index has failed before this pod; those that a rule ignores are counted apart.
_FAILED, _IGNORED = f"{_PREFIX}job-index-failure-count", f"{_PREFIX}job-index-ignored-failure-count"


def has_ended(job: Object) -> bool:
    """Whether a Job is complete or has failed: it makes no more pods."""
    return _ending(job) is not None


def is_leaving(job: Object) -> bool:
    """Whether a Job is being deleted."""
    return "deletionTimestamp" in job["metadata"]


def workers_of(job: Object | None, pods: Sequence[Object]) -> list[FleetWorker]:
    """Return the workers of a fleet, by number.

    Args:
        job: The fleet's Job; ``None`` if there is none (any more).
        pods: All its pods that still exist: several of one worker, if it was started again.
    """
    newest = {_index(pod): pod for pod in sorted(pods, key=_starts)}
    indexes = range(0 if job is None else job["spec"]["completions"])
    workers = [_with_pod(pod, job) for pod in newest.values()]
    # After a scale to fewer, those that still leave
    workers = [
        worker for worker in workers if worker.number - 1 in indexes or worker.state == "running"
    ]
    if job is not None:
        workers += [_without_pod(index, job) for index in indexes if index not in newest]
    return sorted(workers, key=lambda worker: worker.number)


def _index(pod: Object) -> int:
    return int(pod["metadata"]["annotations"][_INDEX])


def _starts(pod: Object) -> tuple[int, str]:
    return _restarts(pod), pod["metadata"]["creationTimestamp"]


def _restarts(pod: Object) -> int:
    annotations = pod["metadata"]["annotations"]
    return sum(int(annotations.get(name, 0)) for name in (_FAILED, _IGNORED))


def _with_pod(pod: Object, job: Object | None) -> FleetWorker:
    status, index = pod["status"], _index(pod)
    state: Literal["pending", "running", "ended"]
    reason: str | None
    match status.get("phase", "Pending"):
        case "Pending":
            state, reason = "pending", _why_pending(status)
        case "Failed" if job is not None and _makes_new_pods(job, index):
            return FleetWorker(
                number=index + 1,
                state="pending",
                native_id=pod["metadata"]["name"],
                reason=f"starts again after {_why_ended(status)}",
                restarts=_restarts(pod) + 1,
            )
        case "Succeeded" | "Failed":
            state, reason = "ended", _why_ended(status)
        case _:
            state, reason = "running", "told to leave" if is_leaving(pod) else None
    return FleetWorker(
        number=index + 1,
        state=state,
        native_id=pod["metadata"]["name"],
        host=pod["spec"].get("nodeName"),
        reason=reason,
        restarts=_restarts(pod),
    )


def _without_pod(index: int, job: Object) -> FleetWorker:
    ending = _ending(job)
    reason = None if ending is None else _with_message(ending)
    if ending is None and job["spec"].get("suspend"):
        reason = "the Job is suspended: its queue hasn't admitted it"
    return FleetWorker(
        number=index + 1,
        state="pending" if _makes_new_pods(job, index) else "ended",
        native_id=f"{job['metadata']['name']}-{index}",
        reason=reason,
    )


def _makes_new_pods(job: Object, index: int) -> bool:
    failed_indexes = _indexes(job.get("status", {}).get("failedIndexes", ""))
    return not (has_ended(job) or is_leaving(job) or index in failed_indexes)


def _indexes(text: str) -> set[int]:
    """Return the indexes of a list such as ``1,3-5``."""
    indexes: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        indexes |= {*range(int(first), int(last or first) + 1)}
    return indexes


def _ending(job: Object) -> Object | None:
    """Return the condition by which a Job has ended, or will when its pods have."""
    ends = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] in ends and condition["status"] == "True":
            return {"reason": condition["type"], **condition}
    return None


def _why_pending(status: Object) -> str | None:
    """Return why a pod waits: the scheduler's reason, or that of its container."""
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _with_message(condition)
    waiting = _container(status).get("waiting")
    return waiting and _with_message(waiting)


def _why_ended(status: Object) -> str:
    """Return the exit code of a worker, and what Kubernetes adds."""
    termination = _container(status).get("terminated")
    if termination is None:  # evicted before it started, or its node is gone
        return _with_message(status) or "an unknown end"
    reason = termination.get("reason", "Error")
    eviction = status.get("reason") or next(
        (condition["reason"] for condition in status.get("conditions", ())
         if condition["type"] == "DisruptionTarget" and condition["status"] == "True"), None,
    )  # fmt: skip
    more = [eviction, reason if reason not in ("Error", "Completed") else None]
    details = ", ".join(part for part in more if part)
    return f"exit code {termination['exitCode']}" + (f" ({details})" if details else "")


def _container(status: Object) -> Object:
    for container in status.get("containerStatuses", ()):
        if container["name"] == CONTAINER:
            state: Object = container.get("state", {})
            return state
    return {}


def _with_message(condition: Object) -> str | None:
    parts = [str(condition[key]) for key in ("reason", "message") if condition.get(key)]
    return ": ".join(parts) or None
