"""The console script in a folder of its own, a small study that it has searched, and clusters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from support import ray_cluster as ray_clusters
from support import slurm as slurm_clusters
from support.browser import chromium
from support.commands import Ran
from support.processes import _without_main_module
from support.ray_cluster import RayCluster
from support.shared import shared_folder
from support.slurm import Slurm

#: Half a minute on two cores: six trials on real images, some of them pruned.
STUDY = """\
study: small
seed: 5
budget: {trials: 6, epochs_per_trial: 3}
sampler: random
pruner: {asha: {reduction_factor: 2, startup_trials: 2}}
data: {source: digits, limit: 600}
model:
  mlp: {hidden: {values: [[16], [32]]}}
  simple_cnn: {conv1_channels: 8, conv2_channels: 8, hidden: [16]}
optimizer: {adam: {lr: {min: 1e-4, max: 3e-2, log: true}}}
batch_size: {values: [16, 32]}
"""


@dataclass(frozen=True)
class Shell:
    """Runs ``hpsearch ARGUMENTS`` as a person would, in ``folder``; ``data`` has the images."""

    folder: Path
    data: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hpsearch", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def done(self, *arguments: str) -> str:
        """Run it, require exit code 0, return what it printed."""
        ran = self.run(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))

    def environment(self, **extra: str) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH")}
        return {**clean, "HPSEARCH_DATA": str(self.data), **extra}


@pytest.fixture
def here(here: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and images that are prepared already."""
    monkeypatch.setenv("HPSEARCH_DATA", str(shared_data))
    return here


@pytest.fixture
def shell(tmp_path: Path, shared_data: Path) -> Shell:
    """An empty folder."""
    folder = tmp_path / "here"
    folder.mkdir(exist_ok=True)
    return Shell(folder, shared_data)


@pytest.fixture(scope="session")
def searched_shell(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Shell:
    """A folder in which ``small.yaml`` was launched to its end and its winner exported.

    Tests must only read it.
    """

    def fill(folder: Path) -> None:
        (folder / "small.yaml").write_text(STUDY)
        shell = Shell(folder, shared_data)
        shell.done("launch", "--study", "small.yaml", "--workers", "2")
        told = shell.done("export", "--study", "small", "--out", "winner.yaml")
        assert "No fresh seed has confirmed it" in told

    return Shell(shared_folder(tmp_path_factory, "searched", fill), shared_data)


@pytest.fixture
def searched(
    searched_shell: Shell, hpsearch: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run ``hpsearch ARGUMENTS`` in this process, in the folder of ``searched_shell``.

    A process of its own would import torch for each command.
    """
    monkeypatch.chdir(searched_shell.folder)

    def run(*arguments: str) -> Ran:
        with _without_main_module():
            return hpsearch(*arguments)

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium; each test opens pages of its own, or shares those of its module.

    Not for the session: Playwright keeps an event loop in this thread as long as it runs.
    """
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def _running_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm_clusters.running_cluster(tmp_path_factory.mktemp("slurm") / "slurm") as cluster:
        yield cluster


@pytest.fixture
def slurm(_running_slurm: Slurm) -> Iterator[Slurm]:
    """A Slurm of two idle nodes, as it is again after the test."""
    yield _running_slurm
    _running_slurm.restore()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A Ray cluster; each test requires its nodes, and ends its actors."""
    with ray_clusters.running_cluster() as cluster:
        yield cluster


@pytest.fixture
def threads_restored() -> Iterator[None]:
    """Restore torch's number of threads, which a command in the test's process sets."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
