"""A real Slurm of two nodes on this machine: its daemons, on loopback, as root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdTimeout=15
KillWait=30
# Slurm itself looks for what may start only every 30 and 60 seconds
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=500
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=500
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=n[1-2] MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF
"""

NODES = ("n1", "n2")

_CONTROLLER = ("slurmctld", "-D", "-c", "-i")

#: Seconds that a daemon may take, on a busy machine.
PATIENCE = 120.0


@dataclass
class Slurm:
    """A running cluster."""

    config: Path
    daemons: dict[str, subprocess.Popen[bytes]]

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which commands find the cluster."""
        return {"SLURM_CONF": str(self.config)}

    def kill_daemon(self, node: str) -> None:
        """Kill the daemon of a node; its tasks go on."""
        self.daemons[node].kill()

    def restore(self) -> None:
        """Leave no job and two idle nodes to the next test."""
        # Quiet: a job that ends meanwhile is no error
        self.run("scancel", "--quiet", "--user=root")
        for node in NODES:
            self._bring_back(node)
        folder = self.config.parent
        wait_until(lambda: _idle(self.config) == "idle 2", "two idle nodes", folder)

    def jobs_from(self, folder: Path) -> list[str]:
        """Return the jobs that were submitted in a folder, ended ones too."""
        lines = self.run("squeue", "--noheader", "--states=all", "--format=%A %Z").splitlines()
        return [line.split()[0] for line in lines if line.split()[1] == str(folder)]

    def start(self, daemon: str) -> None:
        """Start the controller, or the daemon of a node."""
        command = _CONTROLLER if daemon == "slurmctld" else ("slurmd", "-D", "-N", daemon)
        with (self.config.parent / f"{daemon}.log").open("a") as log:
            self.daemons[daemon] = subprocess.Popen(
                [*command, "-f", self.config], stdout=log, stderr=log
            )

    def _bring_back(self, node: str) -> None:
        """Start the daemon of a node again if it was killed."""
        if self.daemons[node].poll() is None:
            return
        self.start(node)
        self.run("scontrol", "update", f"nodename={node}", "state=resume")

    def cut_power(self, node: str) -> None:
        """Kill everything of a node, and let Slurm see that it is down."""
        self.kill_daemon(node)
        scripts = [
            int(each.name) for each in Path("/proc").glob("[0-9]*")
            if f"{self.config.parent}/spool.{node}/".encode() in _read(each / "cmdline")
        ]  # fmt: skip
        # The step's daemon first: it would report how its script ended
        daemons = [int(_read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[1])
                   for pid in scripts]  # fmt: skip
        wanted = f"SLURMD_NODENAME={node}\0".encode()
        of_node = [int(each.name) for each in Path("/proc").glob("[0-9]*")
                   if wanted in _read(each / "environ")
                   and str(self.config).encode() in _read(each / "environ")]  # fmt: skip
        for pid in (*daemons, *scripts, *of_node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def run(self, *command: str, **environment: str) -> str:
        """Run one of Slurm's commands; returns its output."""
        ran = subprocess.run(
            command, env={**os.environ, **environment, **self.environment},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.strip()

    def states(self, job: str) -> dict[str, str]:
        """Return task -> state of a job array."""
        lines = self.run("squeue", "--noheader", "--array", "--job", job, "--states=all",
                         "--format=%K %T").splitlines()  # fmt: skip
        return dict(line.split() for line in lines)

    def field(self, task: str, name: str) -> str:
        """Return one field of a task, as ``scontrol show job`` prints it."""
        shown = self.run("scontrol", "show", "job", task)
        return next(word.partition("=")[2] for word in shown.split() if word.startswith(f"{name}="))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


@contextmanager
def running_cluster(folder: Path) -> Iterator[Slurm]:
    """Run a cluster; skips the test if Slurm isn't installed or this isn't root."""
    if shutil.which("slurmctld") is None or shutil.which("slurmd") is None or os.getuid() != 0:
        pytest.skip("needs Slurm (slurmctld, slurmd, slurm-client) and root")
    (folder / "state").mkdir(parents=True)
    config = folder / "slurm.conf"
    ports = _free_ports(3)
    config.write_text(_CONFIG.format(folder=folder, host=socket.gethostname(), ports=ports))
    slurm = Slurm(config, {})
    with ExitStack() as stack:
        for daemon in ("slurmctld", *NODES):
            slurm.start(daemon)
            # One that a test has killed has another process by then
            stack.callback(lambda name: _end(slurm.daemons[name]), daemon)
        try:
            wait_until(lambda: _idle(config) == "idle 2", "two idle nodes", folder)
        except AssertionError as error:  # a sandbox may forbid what the daemons need
            pytest.skip(f"Slurm's daemons don't run on this machine: {error}")
        yield slurm


def wait_until(condition, what: str, folder: Path) -> None:
    """Wait for ``condition``; a failure shows the daemons' logs."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            logs = "\n".join(f"{log}\n{log.read_text()[-2000:]}" for log in folder.glob("*.log"))
            raise AssertionError(f"no {what} within {PATIENCE:g} s\n{logs}")
        time.sleep(0.25)  # a look is a process of its own


def _idle(config: Path) -> str:
    ran = subprocess.run(
        ["sinfo", "--noheader", "--format=%T %D"], capture_output=True, text=True, check=False,
        env={**os.environ, "SLURM_CONF": str(config)},
    )  # fmt: skip
    return ran.stdout.strip()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
