"""How workers are, by the objects that a cluster returns."""

from __future__ import annotations

import pytest

from hpsearch.engines.kubernetes.pods import workers_of

PREFIX = "batch.kubernetes.io/job"


def job(completions=1, **status):
    return {"metadata": {"name": "fleet"}, "spec": {"completions": completions}, "status": status}


def pod(index=0, failures=0, ignored=0, **status):
    annotations = {
        f"{PREFIX}-completion-index": str(index),
        f"{PREFIX}-index-failure-count": str(failures),
        f"{PREFIX}-index-ignored-failure-count": str(ignored),
    }
    name = f"fleet-{index}-{failures + ignored}"
    return {
        "metadata": {"name": name, "annotations": annotations, "creationTimestamp": "2026-01-01"},
        "spec": {"nodeName": "node-a"}, "status": status,
    }  # fmt: skip


def ended(code, reason="Error", **status):
    state = {"terminated": {"exitCode": code, "reason": reason}}
    phase = "Failed" if code else "Succeeded"
    return {"phase": phase, "containerStatuses": [{"name": "worker", "state": state}], **status}


FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (ended(0, "Completed"), "exit code 0"),
        (ended(2), "exit code 2"),
        (ended(137, "OOMKilled"), "exit code 137 (OOMKilled)"),
        (ended(75, conditions=[{"type": "DisruptionTarget", "status": "True",
                                "reason": "PreemptionByScheduler"}]),
         "exit code 75 (PreemptionByScheduler)"),
        ({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
         "Evicted: The node was low on memory."),
        ({"phase": "Failed"}, "an unknown end"),
    ],
)  # fmt: skip
def test_why_a_worker_ended(status, reason):
    (worker,) = workers_of(job(**FAILED), [pod(**status)])
    assert (worker.state, worker.reason, worker.host) == ("ended", reason, "node-a")


def test_a_worker_that_will_be_started_again_is_pending():
    (worker,) = workers_of(job(), [pod(failures=2, **ended(69))])
    assert (worker.state, worker.restarts, worker.host) == ("pending", 3, None)
    assert worker.reason == "starts again after exit code 69"


def test_a_worker_that_failed_too_often_has_ended():
    own = [pod(index, **ended(1)) for index in range(5)]
    workers = workers_of(job(5, failedIndexes="0,2-3"), own)
    assert [worker.number for worker in workers if worker.state == "ended"] == [1, 3, 4]


def test_the_newest_pod_of_a_worker_counts():
    pods = [pod(ignored=1, failures=9, phase="Running"), pod(ignored=1, failures=1, **ended(1))]
    (worker,) = workers_of(job(), pods)
    assert (worker.state, worker.native_id, worker.restarts) == ("running", "fleet-0-10", 10)


def test_workers_without_pods_wait_or_have_ended():
    assert [fleet_worker.state for fleet_worker in workers_of(job(2), [])] == ["pending", "pending"]
    (worker,) = workers_of(job(**FAILED), [])
    assert (worker.state, worker.reason) == ("ended", "PodFailurePolicy")


def test_of_fewer_workers_those_that_leave_are_still_shown():
    leaving = pod(1, phase="Running")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01"
    workers = workers_of(job(1), [pod(0, phase="Running"), leaving, pod(2, **ended(75))])
    assert [(worker.number, worker.reason) for worker in workers] == [
        (1, None),
        (2, "told to leave"),
    ]
    assert [worker.number for worker in workers_of(None, [leaving])] == [2]
