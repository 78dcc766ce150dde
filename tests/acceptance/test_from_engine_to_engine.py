"""One study begun on this machine, copied, continued on Slurm and finished on Ray."""

from __future__ import annotations

from support.sites import Site, running_site, wait_for

from hpsearch.search.ledger.events import EventKind


def begin_on_sqlite(site: Site, storage: str) -> None:
    """Search on this machine until the second trial has an epoch, then stop."""
    here = Site(site.folder, storage, "local")
    here.hold.touch()
    held = {"HPSEARCH_WAIT_AT": f"epoch_reported:3:{here.hold}"}
    here.environment = held
    here.done(
        *("launch", "--study", "fleet.yaml", "--workers=1", "--detach"),
        *("--lease=3", "--checkpoint-interval=0"),
    )
    wait_for(lambda: here.epochs() == 4, "first epoch of the second trial")
    here.done("stop", "--study", "fleet")
    # The worker reads the stop with the renewal of its lease
    seen = here.renewals()
    wait_for(lambda: here.renewals() >= seen + 2, "two renewals")
    here.hold.unlink()
    wait_for(lambda: bool(here.events(EventKind.RELEASED)), "paused trial")
    # The launch removes its fleet when its workers have ended
    wait_for(lambda: "fleets" not in here.status(), "end of the launch")


def test_a_study_moves_from_this_machine_to_slurm_and_ray(slurm, ray_cluster, tmp_path, postgres):
    undisturbed = Site(tmp_path / "undisturbed", f"sqlite:///{tmp_path}/undisturbed.db", "local")
    undisturbed.done("launch", "--study", "fleet.yaml", "--workers=1")

    with running_site(tmp_path, postgres, "slurm", slurm.environment) as site:
        sqlite = f"sqlite:///{site.folder}/hpsearch.db"
        begin_on_sqlite(site, sqlite)
        site.done("storage", "copy", "--from-storage", sqlite)
        assert site.epochs() == 4

        site.hold.touch()
        site.launch(2)
        wait_for(lambda: site.epochs() == 6, "epoch of each worker")
        node = site.fleet()[1].host
        on_node = [number for number, each in site.fleet().items() if each.host == node]
        slurm.cut_power(node)
        site.start_requeued(slurm)
        wait_for(lambda: all(site.pids(number) for number in on_node), "workers on the other node")
        wait_for(lambda: site.epochs() == 6 + len(on_node), "epoch of each of them")
        site.done("stop", "--study", "fleet")
        site.hold.unlink()
        wait_for(lambda: not site.fleet(), "end of the fleet on Slurm")
        assert not site.is_finished()

        ray_cluster.require_nodes(2)
        site.engine, site.settings = "ray", (f"address={ray_cluster.address}",)
        site.launch(4)
        wait_for(site.is_finished, "end of the study")
        wait_for(lambda: not site.fleet(), "end of the fleet on Ray")
        site.require_exact()
        assert site.curves() == undisturbed.curves()
