"""The engine of Slurm, where it differs from others: time limits, nodes, preemption."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sites import Site, running_site, wait_for
from support.slurm import Slurm

from hpsearch.search.ledger.events import EventKind

#: The folder of the console script.
BIN = Path(sys.executable).parent

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()

#: What differs between the page's cluster and this one.
HERE = {
    "gpus: 1, cpus: 4, memory: 16G, partition: gpu": "cpus: 1, memory: 200M, partition: main",
    "gpus: 1\n": "gpus: 0\n",
    "cpus: 8": "cpus: 1",
    '"module load cuda", "source /shared/venv/bin/activate"': f'"export PATH={BIN}:$PATH"',
    "env: {HPSEARCH_DATA: /scratch/data}": "env: {OMP_NUM_THREADS: 1}",
    "extra: {constraint: a100, qos: preempt}": "extra: {nice: 1}",
}


@pytest.fixture
def site(slurm: Slurm, tmp_path: Path, postgres) -> Iterator[Site]:
    with running_site(tmp_path, postgres, "slurm", slurm.environment) as site:
        yield site


def test_a_dry_run_submits_nothing_and_asks_slurm(site, slurm):
    arguments = ("launch", "--study", "fleet.yaml", "--engine", "slurm", "--dry-run")
    script = site.done(*arguments, "-E", "time=90m", "-E", "extra={nice: 5}")
    assert "#SBATCH --time=01:30:00\n" in script
    assert "#SBATCH --nice=5\n" in script
    assert site.storage not in script
    refused = site.run(*arguments, "-E", "partition=nowhere")
    assert refused.returncode == 2
    assert "invalid partition specified: nowhere" in refused.stderr
    assert slurm.jobs_from(site.folder) == []


def launch_watched(site: Site, workers: int) -> Path:
    """Launch workers that wait after an epoch; returns the file that says that one was told."""
    told = site.folder / "told"
    # The job script's own: it hands a signal on to its worker by `kill -TERM`
    watched = (
        'kill() { builtin kill "$@"; local code=$?; '
        f'[ "$1" != -TERM ] || touch {told}; return $code; }}'
    )
    site.hold.touch()
    site.launch(workers, "-E", f"setup={json.dumps([watched])}")
    wait_for(lambda: site.epochs() == workers, "epoch of each worker")
    return told


def test_a_worker_that_has_to_leave_is_submitted_anew(site, slurm):
    told = launch_watched(site, 2)
    # What Slurm does two minutes before a time limit
    slurm.run("scancel", "--signal=USR1", "--batch", site.fleet()[1].native_id)
    wait_for(told.exists, "signal")
    site.hold.unlink()
    wait_for(lambda: site.restarts() == {1: 1, 2: 0}, "task that is submitted anew")
    wait_for(site.is_finished, "end of the study")
    site.require_exact()
    (left,) = site.events(EventKind.RELEASED)
    assert left.owner.split(":")[1] == "worker-1"


def test_a_preempted_worker_saves_a_checkpoint_and_comes_back(site, slurm):
    told = launch_watched(site, 1)
    urgent = ("--partition=urgent", "--ntasks=4", "--output=/dev/null")
    slurm.run("sbatch", *urgent, "--wrap=sleep 1")
    wait_for(told.exists, "signal")
    site.hold.unlink()
    wait_for(site.is_finished, "end of the study")
    site.require_exact()
    assert len(site.events(EventKind.RELEASED)) == 1
    assert site.restarts() == {1: 1}


def test_a_node_that_can_not_train_is_excluded(site, slurm):
    site.launch(1, "-E", "device=cuda:0")
    assert slurm.jobs_from(site.folder)
    wait_for(lambda: not site.fleet(), "end of the worker")
    told = site.done("logs", "--study", "fleet")
    assert told.count("error: device 'cuda:0' must exist") == 2  # once on each node
    (worker,) = site.workers()
    # Slurm may keep a record of the third job, which it refused
    assert (worker.restarts, worker.excluded) in [(1, ("n1",)), (2, ("n1", "n2"))]


def test_an_old_worker_beside_its_copy_changes_nothing(site, slurm):
    """A node that lost its daemon: Slurm starts its tasks elsewhere, and the old ones go on."""
    site.hold.touch()
    site.launch(1)
    wait_for(lambda: site.epochs() == 1, "epoch of the worker")
    node = site.fleet()[1].host
    (old,) = site.pids(1)
    slurm.kill_daemon(node)
    os.kill(old, signal.SIGSTOP)
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    site.start_requeued(slurm)
    wait_for(lambda: bool(site.pids(1) - {old}), "copy on the other node")
    site.hold.unlink()
    wait_for(site.is_finished, "end of the study")
    os.kill(old, signal.SIGCONT)
    wait_for(lambda: old not in site.pids(1), "end of the old worker")
    site.require_exact()
    assert site.events(EventKind.WRITE_REFUSED)


def commands(section: str) -> list[str]:
    """Return the commands of a part of the page, with fewer workers."""
    text = PAGE.partition(section)[2].partition("\n## ")[0]
    found = re.findall(r"^    hpsearch (.+)$", text, flags=re.MULTILINE)
    plain = [each.partition("#")[0].strip() for each in found]
    return [re.sub(r"--workers (?:8|16)", "--workers 2", each) for each in plain]


def test_the_commands_of_the_page_run_as_they_are(site, slurm):
    (profiles,) = re.findall(r"```yaml\n(slurm:.+?)```", PAGE, flags=re.DOTALL)
    for old, new in HERE.items():
        assert profiles.count(old) == 1, old
        profiles = profiles.replace(old, new)
    (site.folder / "engines.yaml").write_text(profiles)
    text = (site.folder / "fleet.yaml").read_text().replace("study: fleet", "study: my_study")
    (site.folder / "my_study.yaml").write_text(text)
    site.study = "my_study"
    wait = {"HPSEARCH_WAIT_AT": f"row_created:1:{site.hold}"}

    def run(command: str, **environment: str) -> str:
        site.environment = {**before, **environment}
        return site.done(*shlex.split(command))

    before = dict(site.environment)
    this_machine, on_slurm, big, *others = commands("# From a laptop to a cluster\n")
    status, scale, logs, stop, confirm = others
    # Each launch waits, so that there is something to scale and to stop
    site.hold.touch()
    detach, fewer = commands("## This machine\n")
    run(detach, **wait)
    wait_for(lambda: site.status()["trials"]["running"] == 4, "trial of each worker")
    assert "(before: 4)" in run(fewer)
    run(stop)
    # A worker reads the stop with the renewal of its lease, and each renews it as often
    seen = site.renewals()
    wait_for(lambda: site.renewals() >= seen + 4, "renewal of each worker")
    site.hold.unlink()
    wait_for(lambda: "fleets" not in site.status(), "end of the launch")

    dry, submit, more = commands("## Slurm\n")
    assert run(dry).startswith("#!/bin/bash")
    # The jobs inherit it
    site.hold.touch()
    run(submit, **wait)
    assert "(before: 2)" in run(more)
    assert "2 workers wanted on slurm:big" in run(big, **wait)
    wait_for(lambda: len(site.processes()) == 2, "workers of a fleet")
    assert "slurm:default: " in run(status)
    assert "(before: 2)" in run(f"{scale} --engine slurm:big")
    # Two nodes of two CPUs are full: the third has nothing to show yet
    wait_for(lambda: " 2 pending (Resources" in run(status), "reason")
    logs = logs.replace("--worker 3", "--worker 1")
    wait_for(lambda: "study my_study: on" in run(f"{logs} --engine slurm:big"), "output")
    run(stop)
    site.hold.unlink()
    wait_for(lambda: not site.fleet(), "end of both fleets")
    assert "my_study: finished; 8 of 8 trials" in run(on_slurm)
    assert "my_study: finished; 8 of 8 trials" in run(this_machine)
    site.require_exact()

    told = run(confirm)
    assert "workers wanted on slurm:default: hpsearch-my-study-confirm" in told
    assert "The winner is mlp (trial " in told
