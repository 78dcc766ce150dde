"""The engine ray on a real cluster, whose nodes have two CPUs and a made-up GPU each."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from support.ray_cluster import RayCluster
from support.sites import Site, running_site, wait_for

from hpsearch.engines.engine import FleetWorker
from hpsearch.engines.ray import RayEngine
from hpsearch.engines.ray_actor import FleetStore
from hpsearch.search.ledger.fleets import Fleet

PASSWORD = "s3cr3t-of-the-database"
POSTGRES = f"postgresql://me:{PASSWORD}@db/search"

#: In place of hpsearch: exits with the next code of its list, and without one waits for SIGTERM.
WORKER = """\
#!/bin/sh
trap 'touch {codes}.left; echo asked to leave; exit 75' TERM
echo "worker $HPSEARCH_WORKER of actor $PPID, GPU $CUDA_VISIBLE_DEVICES"
code=$(sed -n 1p {codes} 2>/dev/null)
sed -i 1d {codes} 2>/dev/null
[ -n "$code" ] && echo "exits with $code" && exit $code
while true; do sleep 0.1; done
"""


class Made:
    """A fleet whose workers are a script that exits with the codes of a file."""

    def __init__(self, cluster: RayCluster, folder: Path) -> None:
        self.codes = folder / "codes"
        script = folder / "worker.sh"
        script.write_text(WORKER.format(codes=self.codes))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.settings = {"address": cluster.address, "gpus": 0.5, "command": str(script)}
        self.fleet = Fleet(
            key=f"hpsearch-made-{uuid4().hex[:8]}",
            study="made", engine="ray", profile="default", settings={}, workers=1,
            runs=str(folder / "runs"), data=None, lease_seconds=30, checkpoint_seconds=30,
        )  # fmt: skip

    def engine(self, workers: int) -> RayEngine:
        return RayEngine(replace(self.fleet, workers=workers), POSTGRES, **self.settings)

    def look(self) -> dict[int, FleetWorker]:
        return {each.number: each for each in self.engine(1).look()}

    def states(self) -> dict[int, str]:
        return {number: each.state for number, each in self.look().items()}

    def log(self, worker: int) -> list[str]:
        return list(self.engine(1).log(worker, follow=False))


@pytest.fixture
def made(ray_cluster, tmp_path: Path) -> Iterator[Made]:
    made = Made(ray_cluster, tmp_path)
    yield made
    made.engine(0).stop()
    wait_for(lambda: set(made.states().values()) <= {"ended"}, "end of the actors")


def test_actors_are_found_by_their_names_and_scaled(ray_cluster, made):
    ray_cluster.require_nodes(1)
    made.engine(2).apply()
    made.engine(2).apply()
    wait_for(lambda: made.states() == {1: "running", 2: "running"}, "two workers")
    wait_for(lambda: len(made.log(1)) == len(made.log(2)) == 1, "output of both")
    assert made.log(1)[0].endswith("GPU 0")  # half of it each
    assert made.log(2)[0].endswith("GPU 0")
    assert not password_is_shown()
    before = made.look()

    made.engine(3).apply()
    wait_for(lambda: 3 in made.look(), "third actor")
    assert {number: made.look()[number] for number in (1, 2)} == before
    third = made.look()[3]
    assert (third.state, third.host) == ("pending", None)
    assert third.reason == "needs 1 CPU, 0.5 GPU; free in the cluster: 0 CPU, 0 GPU"

    made.engine(1).apply()
    wait_for(lambda: made.states() == {1: "running", 2: "ended"}, "one worker")
    assert made.look()[2].reason == "left"
    assert made.log(2)[-1] == "asked to leave"
    # Told to leave, and wanted again before it has left
    made.engine(0).apply()
    made.engine(2).apply()
    wait_for(lambda: made.states() == {1: "running", 2: "running"}, "two workers again")


def test_a_worker_starts_again_by_its_exit_code(ray_cluster, made):
    ray_cluster.require_nodes(1)
    made.codes.write_text("75\n1\n0\n")
    engine = made.engine(1)
    engine.apply()
    wait_for(lambda: made.states() == {1: "ended"}, "end")
    (ended,) = engine.look()
    assert (ended.restarts, ended.reason) == (2, "done")
    told = list(engine.log(1, follow=True))
    assert [line for line in told if "exits" in line] == [f"exits with {n}" for n in (75, 1, 0)]

    made.codes.write_text("2\n")
    engine.apply()
    wait_for(lambda: made.look()[1].reason == "exit code 2: exits with 2", "end by wrong input")
    assert made.look()[1].restarts == 0


def test_a_worker_whose_actor_is_killed_leaves_and_is_replaced(ray_cluster, made):
    ray_cluster.require_nodes(1)
    made.engine(1).apply()
    wait_for(lambda: made.states() == {1: "running"} and bool(made.log(1)), "output")
    actor = int(made.log(1)[0].split()[4].rstrip(","))
    os.kill(actor, signal.SIGKILL)
    wait_for(lambda: Path(f"{made.codes}.left").exists(), "signal to the orphan")
    wait_for(lambda: made.look()[1].restarts == 1, "another actor")
    wait_for(lambda: made.states() == {1: "running"} and bool(made.log(1)), "output")
    assert int(made.log(1)[0].split()[4].rstrip(",")) != actor


def test_a_node_that_cannot_train_is_not_used_again(ray_cluster, made):
    ray_cluster.require_nodes(2)
    made.codes.write_text("69\n69\n")
    made.engine(1).apply()
    store = FleetStore(made.fleet.key)
    why = "needs 1 CPU, 0.5 GPU; no node has that but those excluded"
    wait_for(lambda: made.look()[1].reason == why, "wait for a third node")
    assert len(store.excluded()) == 2
    assert made.look()[1].restarts == 1
    ray_cluster.require_nodes(3)
    wait_for(lambda: made.states() == {1: "running"}, "worker on the third node")
    assert store.read(1).node not in store.excluded()
    assert made.look()[1].restarts == 2

    # A later launch uses all nodes again
    made.engine(1).stop()
    wait_for(lambda: made.states() == {1: "ended"}, "end")
    assert store.excluded() == {}


def test_what_cannot_run_is_refused_before_it_starts(ray_cluster, made, tmp_path):
    ray_cluster.require_nodes(1)
    assert made.engine(1).check() == []
    made.settings["cpus"] = 3
    (problem,) = made.engine(1).check()
    assert problem.startswith("a worker needs 3 CPU, 0.5 GPU of one node, but no node of the ")
    assert ": 2 CPU, 1 GPU" in problem
    made.settings["autoscaling"] = True
    assert made.engine(1).check() == []
    made.settings["runtime_env"] = {"pip": 5}
    (problem,) = made.engine(1).check()
    assert problem.startswith(
        "runtime_env of a profile must be what Ray accepts, but Ray reports: "
    )
    del made.settings["runtime_env"]
    assert PASSWORD not in made.engine(1).render()

    (problem,) = RayEngine(made.fleet, POSTGRES, address="127.0.0.1:1").check()
    assert "the Ray cluster at 127.0.0.1:1 must be reachable from this host" in problem
    sqlite = RayEngine(made.fleet, f"sqlite:///{tmp_path}/x.db", address=ray_cluster.address)
    (problem,) = sqlite.check()
    assert "`hpsearch storage copy`" in problem


def test_a_search_survives_its_node_and_needs_no_driver(ray_cluster, tmp_path, postgres):
    with running_site(tmp_path, postgres, "ray", ray_cluster.environment) as site:
        ray_cluster.require_nodes(1)
        (first,) = ray_cluster.nodes
        dry = site.done("launch", "--study", "fleet.yaml", "--workers", "8", "--engine", "ray",
                        "-E", "gpus=0.25", "--dry-run")  # fmt: skip
        assert json.loads(dry)["options"]["num_gpus"] == 0.25
        site.settings = ("gpus=0.5", "device=cpu")
        site.hold.touch()
        site.launch(2)  # it ends at once: the actors need no driver
        wait_for(lambda: site.epochs() == 2, "epoch of each worker")
        site.done("scale", "--study", "fleet", "--workers", "3")
        ray_cluster.require_nodes(2)
        wait_for(lambda: site.epochs() == 3, "epoch of the third worker")

        old = site.pids(1) | site.pids(2)
        ray_cluster.kill(first)
        # Its workers run on, in the middle of an epoch, and one has a copy on the other node
        wait_for(lambda: site.epochs() == 4, "epoch of the copy")
        copies = (site.pids(1) | site.pids(2)) - old
        site.hold.unlink()
        wait_for(lambda: not old & (site.pids(1) | site.pids(2)), "end of the old workers")
        wait_for(site.is_finished, "end of the study")
        wait_for(lambda: not site.fleet(), "end of the fleet")
        site.require_exact()
        assert len(copies) == 1
        told = site.done("logs", "--study", "fleet", "--worker", "3", "--follow")
        assert told.endswith("stopped working on study fleet: finished\n")
        assert site.curves() == undisturbed(site).curves()


def undisturbed(site: Site) -> Site:
    """Search the same study with one worker of this machine, on SQLite."""
    alone = Site(site.folder.parent / "alone", "", "local")
    alone.storage = f"sqlite:///{alone.folder}/alone.db"
    alone.done("launch", "--study", "fleet.yaml", "--workers=1", "--devices=cpu")
    return alone


def password_is_shown() -> bool:
    """Whether a command line on this machine, or what Ray lists of its actors, has the password."""
    import ray

    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if PASSWORD.encode() in each.read_bytes():
                return True
        except OSError:
            continue
    return PASSWORD in str(ray._private.state.actors())
