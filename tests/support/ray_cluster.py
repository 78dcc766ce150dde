"""A real Ray cluster of several nodes on this machine, with made-up GPUs."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class RayCluster:
    """A running cluster; its head has no resources for workers."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which commands find the cluster."""
        return {"RAY_ADDRESS": self.address}

    def require_nodes(self, count: int) -> None:
        """Have so many nodes, each with two CPUs and a made-up GPU; waits until they live."""
        while len(self.nodes) < count:
            self.nodes.append(self.cluster.add_node(num_cpus=2, num_gpus=1))
        for node in list(self.nodes[count:]):
            self.kill(node)

    def kill(self, node: Any) -> None:
        """Kill a node's processes, as a power cut does: neither actors nor raylet end cleanly."""
        raylet = node.all_processes["raylet"][0].process.pid
        parents = {int(each.name): _parent(each) for each in Path("/proc").glob("[0-9]*")}
        of_node = [pid for pid, parent in parents.items() if parent == raylet]
        for pid in [raylet, *of_node]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return None


@contextmanager
def running_cluster() -> Iterator[RayCluster]:
    """Run a cluster; skips the test if Ray isn't installed or doesn't start here."""
    pytest.importorskip("ray", reason="needs Ray (the `dev` extra)", exc_type=ImportError)
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - not the last in line
    # Nobody looks at its dashboard, a process that computes all the time
    head = {"num_cpus": 0, "include_dashboard": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        try:
            cluster = Cluster(initialize_head=True, head_node_args=head)
        except Exception as error:  # a sandbox may forbid what its processes need
            pytest.skip(f"Ray doesn't start on this machine: {error}")
    try:
        yield RayCluster(cluster)
    finally:
        import ray

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.shutdown()
            cluster.shutdown()
