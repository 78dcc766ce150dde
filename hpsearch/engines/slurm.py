"""Slurm: each worker is a task of a job array.

A worker whose time limit comes submits its task anew: a requeued task waits for about two minutes,
a new one starts at once. Jobs are found by their name, the fleet's key, so
nothing has to be remembered between two commands.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import NonNegativeInt, PositiveInt

from hpsearch.durable_files import write_file
from hpsearch.engines.engine import (
    ENGINES,
    WORKER,
    FleetWorker,
    Variables,
    fleet_folder,
    follow_lines,
    problems_of_storage,
    worker_command,
    worker_environment,
)
from hpsearch.errors import UserError
from hpsearch.import_path import own_command
from hpsearch.search.database.environment import URL, environment_with
from hpsearch.search.ledger.fleets import Fleet
from hpsearch.study_file.durations import Duration, parse_duration
from hpsearch.study_file.schema import Matching

#: Seconds before the time limit at which a worker is told to leave.
_NOTICE = 120

#: Seconds that one of Slurm's commands may take.
_PATIENCE = 60.0

#: Starts of a worker that ends by a crash; a time limit doesn't count.
_MOST_CRASHES = 20

#: The columns of ``squeue``: job, task, state, reason, nodes, start, comment.
_COLUMNS = "%F|%K|%T|%r|%N|%S|%k"

_PENDING = {"PENDING", "REQUEUED", "SUSPENDED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
_RUNNING = {"RUNNING", "CONFIGURING", "RESIZING", "STOPPED", "SIGNALING", "STAGE_OUT"}

_SCRIPT = """\
{command} &
worker=$! cancelled=
trap 'kill -TERM $worker' USR1               # the time limit comes
trap 'cancelled=1; kill -TERM $worker' TERM  # scancel; after a preemption Slurm itself requeues
while kill -0 $worker 2>/dev/null; do wait $worker; code=$?; done

submit_anew() {{
    export HPSEARCH_RESTARTS=$((${{HPSEARCH_RESTARTS:-0}} + 1))
    local noted="restarts=$HPSEARCH_RESTARTS${{HPSEARCH_EXCLUDED:+ excluded=$HPSEARCH_EXCLUDED}}"
    sbatch --quiet --array=$SLURM_ARRAY_TASK_ID --comment="$noted" \\
        ${{HPSEARCH_EXCLUDED:+--exclude=$HPSEARCH_EXCLUDED}} {script}
}}
again() {{  # a site may forbid sbatch in a job; a requeued task waits for two minutes
    submit_anew || scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
}}
if [ -z "$cancelled" ]; then
    case $code in
        0|2) ;;     # the study is finished or was stopped; the input is wrong
        75) again ;;
        69)         # this machine can't train, another may; without another one this task ends
            export HPSEARCH_EXCLUDED="${{HPSEARCH_EXCLUDED:+$HPSEARCH_EXCLUDED,}}$SLURMD_NODENAME"
            submit_anew ;;
        *)
            export HPSEARCH_CRASHES=$((${{HPSEARCH_CRASHES:-0}} + 1))
            [ $((HPSEARCH_CRASHES + ${{SLURM_RESTART_COUNT:-0}})) -lt {most_crashes} ] && again ;;
    esac
fi
exit $code
"""


#: The name of an option of ``sbatch``.
LongOption = Annotated[str, Matching("^[a-z][a-z-]*$", "a long option of sbatch, without --")]


@ENGINES.register("slurm")
class SlurmEngine:
    """Workers are the tasks of a Slurm job array."""

    def __init__(
        self,
        fleet: Fleet,
        storage: str,
        /,
        *,
        time: Duration | None = None,
        gpus: NonNegativeInt = 0,
        cpus: PositiveInt = 1,
        memory: str | None = None,
        partition: str | None = None,
        account: str | None = None,
        at_once: PositiveInt | None = None,
        device: str = "auto",
        setup: list[str] = [],  # noqa: B006 - a default of a profile, never changed
        env: Variables = {},  # noqa: B006
        extra: dict[LongOption, str | int | bool] = {},  # noqa: B006
        command: str | None = None,
    ) -> None:
        """Make the engine of one fleet.

        Args:
            fleet: The fleet.
            storage: The URL of the database; the jobs get it by their environment.
            time: The time limit of a job; ``None``: the partition's.
            gpus: GPUs of each worker.
            cpus: CPUs of each worker, and the threads of its trials.
            memory: Memory of each worker, as ``--mem`` takes it; ``None``: the site's default.
            partition: The partition; ``None``: the site's default.
            account: The account that pays; ``None``: the user's default.
            at_once: The most workers that run at the same time; ``None``: no limit.
            device: The device that a worker trains on.
            setup: Lines of the job script before the worker: modules, environments.
            env: Further variables of the worker.
            extra: Further options of ``sbatch``, by long name: ``{constraint: a100}``.
            command: What starts hpsearch on a node; ``None``: Python of this environment.
        """
        self._fleet = fleet
        self._storage = storage
        self._time = time
        self._gpus = gpus
        self._cpus = cpus
        self._at_once = at_once
        self._device = device
        self._setup = setup
        self._env = env
        self._options: dict[str, Any] = {
            "partition": partition,
            "account": account,
            "mem": memory,
            **extra,
        }
        self._command = command
        self._folder = fleet_folder(fleet)
        self._script = self._folder / "worker.sh"

    def check(self) -> list[str]:
        """Return what ``sbatch --test-only`` and the database's place forbid."""
        problems = problems_of_storage(self._storage)
        try:
            self._run("sbatch", "--test-only", text=self.render())
        except UserError as error:
            problems.append(str(error))
        return problems

    def render(self) -> str:
        """Return the job script."""
        return "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {option}" for option in self._directives()),
                "",
                *self._setup,
                *(
                    f"export {name}={shlex.quote(value)}"
                    for name, value in {**self._environment(), **self._env}.items()
                ),
                f"export {WORKER}=$SLURM_ARRAY_TASK_ID",
                _SCRIPT.format(
                    command=self._worker(),
                    script=shlex.quote(str(self._script)),
                    most_crashes=_MOST_CRASHES,
                ),
            ]
        )

    def apply(self) -> None:
        """Submit the missing workers as one array, and cancel those above the wanted number."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_file(self._script, self.render().encode())
        jobs = self._jobs()
        # Two launches at the same moment may both have submitted
        for job in _duplicates(jobs):
            self._run("scancel", job.native_id)
        workers = _newest(jobs)
        alive = {worker.number: worker for worker in workers if worker.state != "ended"}
        all_numbers = range(1, self._fleet.workers + 1)
        for number in sorted(alive.keys() - set(all_numbers)):
            self._run("scancel", alive[number].native_id)
        numbers = [number for number in all_numbers if number not in alive]
        if numbers:
            self._run("sbatch", f"--array={self._array(numbers)}", str(self._script))

    def look(self) -> list[FleetWorker]:
        """Return the workers that ``squeue`` knows; Slurm forgets ended ones after minutes."""
        return _newest(self._jobs())

    def stop(self) -> None:
        """Cancel all jobs of the fleet; running ones get SIGTERM first."""
        self._run("scancel", f"--name={self._fleet.key}")

    def log(self, worker: int, *, follow: bool) -> Iterator[str]:
        """Yield the lines of a worker's output file, of all its jobs.

        Raises:
            UserError: There is no such output.
        """
        path = self._folder / f"worker-{worker}.txt"
        if not path.exists():
            raise UserError(
                f"worker {worker} of {self._fleet.engine}:{self._fleet.profile} must have begun to "
                f"have output, but there is no {path}; `hpsearch status` shows what it waits for"
            )

        def goes_on() -> bool:
            return follow and any(
                job.number == worker and job.state != "ended" for job in self.look()
            )

        yield from follow_lines(path, goes_on)

    def _directives(self) -> list[str]:
        numbers = range(1, max(1, self._fleet.workers) + 1)
        options = {
            "job-name": self._fleet.key,
            "array": self._array(numbers),
            "output": self._folder / "worker-%a.txt",
            "open-mode": "append",
            "export": "ALL",
            "signal": f"B:USR1@{_NOTICE}",
            "requeue": True,
            "time": None if self._time is None else _clock(parse_duration(self._time)),
            "gres": f"gpu:{self._gpus}" if self._gpus else None,
            "cpus-per-task": self._cpus,
            **self._options,
        }
        return [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in options.items()
            if value is not None and value is not False
        ]

    def _array(self, numbers: Sequence[int]) -> str:
        limit = "" if self._at_once is None else f"%{self._at_once}"
        return _ranges(numbers) + limit

    def _environment(self) -> Mapping[str, str]:
        """Return the variables that the script may show: the job inherits the database's URL."""
        environment = worker_environment(self._fleet, self._storage)
        del environment[URL]
        return environment

    def _worker(self) -> str:
        words = worker_command(self._fleet, device=self._device, threads=self._cpus)
        return f"{self._command or shlex.join(own_command())} {shlex.join(words)}"

    def _jobs(self) -> list[FleetWorker]:
        output = self._run(
            *("squeue", "--noheader", "--array", "--states=all"),
            *(f"--name={self._fleet.key}", f"--format={_COLUMNS}"),
        )
        return [_worker_of(line) for line in output.splitlines()]

    def _run(self, *command: str, text: str | None = None) -> str:
        """Run one of Slurm's commands; return its output.

        Raises:
            UserError: It isn't installed, failed, or didn't answer.
        """
        # A job of another job's would inherit its array and its limits
        own_environment = environment_with(self._storage)
        environment = {k: v for k, v in own_environment.items() if not k.startswith("SLURM_JOB")}
        try:
            process = subprocess.run(
                command,
                input=text,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except FileNotFoundError:
            raise UserError(
                f"engine slurm needs Slurm's programs, but {command[0]} isn't on this host's PATH; "
                "run this command on a login node of the cluster"
            ) from None
        except subprocess.TimeoutExpired:
            raise UserError(
                f"`{command[0]}` must answer within {_PATIENCE:g} s, but it didn't; see whether "
                "`squeue` works, and run this command again"
            ) from None
        if process.returncode != 0:
            message = " ".join((process.stderr or process.stdout).split())
            raise UserError(f"`{shlex.join(command[:2])}` failed: {message}")
        return process.stdout


def _worker_of(line: str) -> FleetWorker:
    """Return the worker of one line of ``squeue``."""
    job, task, state, reason, host, start, comment = line.split("|", maxsplit=6)
    notes = dict(word.partition("=")[::2] for word in comment.split())
    pending, running = state in _PENDING, state in _RUNNING
    return FleetWorker(
        number=int(task) if task.isdecimal() else 1,
        state="pending" if pending else "running" if running else "ended",
        native_id=f"{job}_{task}",
        host=host or None,
        reason=_reason(state, reason),
        expected=start if pending and start != "N/A" else None,
        restarts=int(notes.get("restarts", "0")),
        excluded=tuple(notes["excluded"].split(",")) if "excluded" in notes else (),
    )


def _reason(state: str, reason: str) -> str | None:
    """Return why a job waits, or how it ended."""
    if state in _PENDING:
        return None if reason == "None" else reason  # the scheduler hasn't looked at it yet
    return None if state in _RUNNING else state.lower()


def _age(worker: FleetWorker) -> int:
    return int(worker.native_id.partition("_")[0])


def _newest(jobs: Sequence[FleetWorker]) -> list[FleetWorker]:
    """Return one job of each worker: the newest one that hasn't ended, otherwise the newest."""
    by_number: dict[int, FleetWorker] = {}
    for job in sorted(jobs, key=lambda job: (job.state != "ended", _age(job))):
        by_number[job.number] = job
    return [by_number[number] for number in sorted(by_number)]


def _duplicates(jobs: Sequence[FleetWorker]) -> list[FleetWorker]:
    """Return first jobs of workers that have an older first job already."""
    first = [job for job in jobs if job.state != "ended" and job.restarts == 0]
    by_number: dict[int, FleetWorker] = {}
    for job in sorted(first, key=_age, reverse=True):
        by_number[job.number] = job
    return [job for job in first if by_number[job.number] is not job]


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ``sbatch --array`` takes them: ``1-4,7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _clock(seconds: float) -> str:
    """Return a time limit as ``sbatch --time`` takes it, rounded up to minutes."""
    minutes = max(1, -int(-seconds // 60))
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"
