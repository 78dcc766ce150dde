"""Whether `launch --for` ends in time, with noisy epochs, kills and more workers.

    python -m benchmarks.deadlines --runs 20 --seconds 120 --side-by-side 4

The launches are forked from one process that has imported torch, and the epochs of a study's own
training loop sleep (lognormal times), so the runs use little of the processor. A run of the kind
``kill`` ends the launch with SIGKILL in the middle and starts it again without the option; ``join``
adds a second launch in the middle. ``--answer`` asks what ``shape`` changes, which is worth a point
a step.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.forked_command import ForkedCommand

from hpsearch.errors import HpsearchError
from hpsearch.results.ablation.stored import read_results
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.stored import newest, progress_of
from hpsearch.results.deadline.stored import deadline_of, paused_for_it
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database

LOOP = '''"""A loop whose epochs sleep."""

import math
import random
import sys
import time

from hpsearch.training.loops import LOOPS, Epoch


@LOOPS.register("sleeper")
def sleeper(context, /, *, level: float, seconds: float, spread: float, shape: int = 0):
    """Sleeps."""
    start = 0 if context.state is None else context.state["epoch"]
    noise = random.Random(context.seed).gauss(0, 0.02)
    if shape:
        noise += random.Random(f"{context.seed} {shape}").gauss(0, 0.015)
    for epoch in range(start, context.epochs):
        chance = random.Random(time.time_ns())
        end = time.monotonic() + seconds * chance.lognormvariate(-(spread**2) / 2, spread)
        while (left := end - time.monotonic()) > 0:
            if context.should_stop():
                return
            time.sleep(min(left, 0.05))
        reached = 1 - math.exp(-(epoch + 1) / 3)
        value = reached * (0.9 - (level - 0.3) ** 2) + noise + 0.01 * shape
        yield Epoch({"val_accuracy": min(1.0, max(0.0, value))}, state={"epoch": epoch + 1})
'''

STUDY = """study: sleepy
seed: {seed}
budget: {{epochs_per_trial: 9}}
plugins: [loop.py]
loop:
  sleeper: {{level: {{min: 0.0, max: 1.0}}, seconds: {seconds}, spread: {spread}}}
metrics: {{val_accuracy: maximize}}
"""

QUESTION = """question: {parameter: loop.sleeper.shape}
"""

#: Launches that the main thread starts.
_TO_START: SimpleQueue[tuple[Path, tuple[str, ...], Future[ForkedCommand]]] = SimpleQueue()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run."""

    kind: str
    #: Seconds from the deadline to the last file, and to the end of the launch; negative: before.
    written: float
    ended: float
    confirmed: bool
    finalists: int
    #: Seeds that chose and that reported.
    seeds: tuple[int, int]
    trials: int
    paused: int
    #: Seeds of the answer, and whether it is finished; ``None`` without one.
    answer: tuple[int, bool] | None


def main() -> None:
    """Run all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="the deadline of each run")
    parser.add_argument("--epoch", type=float, default=0.4, help="mean seconds of an epoch")
    parser.add_argument("--spread", type=float, default=0.6, help="sigma of the lognormal times")
    parser.add_argument("--kinds", default="plain,plain,plain,kill,join")
    parser.add_argument("--side-by-side", type=int, default=2)
    parser.add_argument("--answer", action="store_true")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",")
    print("| run | kind | written | ended | confirmed | finalists | seeds | trials", end="")
    print(f" | stopped | answer |\n|{' --- |' * 10}", flush=True)

    def run(number: int) -> Outcome:
        outcome = one(number, kinds[number % len(kinds)], arguments)
        print(
            f"| {number} | {outcome.kind} | {outcome.written:+.1f} s | {outcome.ended:+.1f} s | "
            f"{'yes' if outcome.confirmed else 'no'} | {outcome.finalists} | "
            f"{outcome.seeds[0]}+{outcome.seeds[1]} | {outcome.trials} | {outcome.paused} | "
            f"{_answered(outcome)} |",
            flush=True,
        )
        return outcome

    with ThreadPoolExecutor(arguments.side_by_side) as pool:
        running = [pool.submit(run, number) for number in range(arguments.runs)]
        while not all(future.done() for future in running):
            with suppress(Empty):
                folder, options, started = _TO_START.get(timeout=0.2)
                started.set_result(_start(folder, *options))
        outcomes = [future.result() for future in running]
    late = max(outcome.written for outcome in outcomes)
    confirmed = sum(outcome.confirmed for outcome in outcomes)
    print(
        f"\n{confirmed} of {len(outcomes)} confirmed; the last file was written {abs(late):.1f} s "
        f"{'after' if late > 0 else 'before'} the deadline at worst"
    )


def one(number: int, kind: str, arguments: argparse.Namespace) -> Outcome:
    """Run one launch to its end."""
    folder = Path(mkdtemp(prefix=f"deadline-{number}-"))
    (folder / "loop.py").write_text(LOOP)
    study = STUDY.format(seed=number, seconds=arguments.epoch, spread=arguments.spread)
    if arguments.answer:
        study = study.replace("sleeper: {", "sleeper: {shape: {values: [0, 1, 2]}, ") + QUESTION
    (folder / "study.yaml").write_text(study)
    chance = random.Random(number)
    answer = ["--answer"] if arguments.answer else []
    first = start(folder, "--workers=2", f"--for={arguments.seconds:g}s", *answer)
    others = []
    if kind != "plain":
        # On a busy machine a launch takes long to begin
        time.sleep(max(0.0, chance.uniform(0.2, 0.9) * (begun(folder) - time.time())))
    if kind == "kill":
        first.kill()
        first.wait()
        first = start(folder, "--workers=2")
    elif kind == "join":
        others.append(start(folder, "--workers=2"))
    printed, _ = first.communicate()
    ended = time.time()
    (folder / "launch.log").write_text(printed)
    for other in others:
        other.wait()
    files = [folder / "sleepy-report" / "report.html", folder / "sleepy-best.yaml"]
    with closing(Database(f"sqlite:///{folder / 'hpsearch.db'}")) as database:
        record = read_study(database, "sleepy")
        deadline = deadline_of(database, record.study)
        if deadline is None or deadline.at is None:
            raise SystemExit(f"{folder}: no deadline was stored")
        confirmation = newest(database, "sleepy")
        spec = None if confirmation is None else spec_of(confirmation.study)
        now = None if confirmation is None else progress_of(confirmation)
        return Outcome(
            kind=kind,
            written=max((file.stat().st_mtime for file in files if file.exists()), default=ended)
            - deadline.at,
            ended=ended - deadline.at,
            confirmed=now is not None and now.finished and now.winner is not None,
            finalists=0 if spec is None else len(spec.trials),
            seeds=(0, 0) if spec is None else (len(spec.selection_seeds), len(spec.report_seeds)),
            trials=record.counts.total,
            paused=len(paused_for_it(database, record.study.study_id, deadline)),
            answer=next(
                (
                    (result.spec.seeds, result.progress.finished)
                    for _, result in read_results(database, "sleepy")
                ),
                None,
            ),
        )


def _answered(outcome: Outcome) -> str:
    if outcome.answer is None:
        return "-"
    seeds, finished = outcome.answer
    return f"{seeds} seeds" if finished else "not finished"


def begun(folder: Path) -> float:
    """Return the deadline as soon as it is stored, in seconds since 1970."""
    while True:
        time.sleep(0.5)
        with (
            suppress(HpsearchError),
            closing(Database(f"sqlite:///{folder / 'hpsearch.db'}")) as database,
        ):
            deadline = deadline_of(database, read_study(database, "sleepy").study)
            if deadline is not None and deadline.at is not None:
                return deadline.at


def start(folder: Path, *options: str) -> ForkedCommand:
    """Let the main thread start a launch in a folder; others can't."""
    started: Future[ForkedCommand] = Future()
    _TO_START.put((folder, options, started))
    return started.result()


def _start(folder: Path, *options: str) -> ForkedCommand:
    arguments = ["launch", "--study=study.yaml", "--storage=sqlite:///hpsearch.db", *options]
    return ForkedCommand(arguments, folder, {**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
