"""What every engine of a cluster must do: on a real Slurm and Ray, and a made-up Kubernetes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kubernetes import IMAGE, Cluster
from support.kubernetes_api import running_cluster
from support.sites import Site, running_site, wait_for

from hpsearch.search.ledger.events import EventKind

#: Engine -> the fixture of its cluster.
CLUSTERS = {"slurm": "slurm", "ray": "ray_cluster", "kubernetes": "kubernetes"}


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "cluster", monkeypatch) as cluster:
        yield cluster


@pytest.fixture(params=CLUSTERS)
def site(request: pytest.FixtureRequest, tmp_path: Path, postgres) -> Iterator[Site]:
    """A study on each engine in turn."""
    cluster = request.getfixturevalue(CLUSTERS[request.param])
    environment = {} if request.param == "kubernetes" else cluster.environment
    with running_site(tmp_path, postgres, request.param, environment) as site:
        if request.param == "ray":
            cluster.require_nodes(2)
        if request.param == "kubernetes":
            uri = b64encode(site.storage.encode()).decode()
            cluster.add("secrets", "hpsearch-database", data={"uri": uri})
            cluster.add("persistentvolumeclaims", "hpsearch")
            site.settings = (f"image={IMAGE}", "claim=hpsearch", f"mount={site.folder}")
        yield site


def test_a_fleet_is_one_and_loses_no_epoch(site):
    site.hold.touch()
    site.launch(2)
    wait_for(lambda: site.epochs() == 2, "epoch of each worker")
    first = site.fleet()
    assert {number: each.state for number, each in first.items()} == {1: "running", 2: "running"}

    # The same launch again, from any host, finds the workers
    site.launch(2)
    assert site.fleet() == first

    before = site.pids(1)
    site.kill(1)
    wait_for(lambda: bool(site.pids(1) - before), "worker in place of the killed one")

    assert "3 workers wanted" in site.done("scale", "--study", "fleet", "--workers", "3")
    wait_for(lambda: bool(site.pids(3)), "process of the third worker")
    wait_for(lambda: site.epochs() >= 4, "epoch of each worker")
    site.done("scale", "--study", "fleet", "--workers", "2")
    site.done("stop", "--study", "fleet")
    site.hold.unlink()
    wait_for(lambda: not site.fleet(), "end of the fleet")
    # Those that had to leave have saved checkpoints
    left = {each.owner.split(":")[1] for each in site.events(EventKind.RELEASED)}
    assert left == {"worker-1", "worker-2", "worker-3"}
    assert not site.is_finished()
    assert "fleets" not in site.status()

    site.launch(2)
    wait_for(site.is_finished, "end of the study")
    site.require_exact()
    assert "stopped working on study fleet" in site.done("logs", "--study", "fleet", "--worker=2")


def test_wrong_input_is_not_tried_again(site):
    told = site.launch(1, env={"HPSEARCH_DATA": "/dev/null/nowhere"})
    assert "1 worker wanted" in told
    wait_for(lambda: not site.fleet(), "end of the worker")
    assert site.epochs() == 0
    assert "error: " in site.done("logs", "--study", "fleet")
