"""hpsearch in a storm: a launch and two lone workers on a small study, and what became of it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from hpsearch.search.database.tables import epochs
from hpsearch.workers.checkup.examine import examine
from hpsearch.workers.threads import share_of_cores
from support.crews import Crew, Member
from support.launches import Launch
from support.storms import Storm
from support.weather import Weather, storm

#: Random draws and no pruning: each trial's curve follows from its ticket alone, whatever happens.
STUDY = """
study: storm
seed: 11
budget: {{trials: {trials}, epochs_per_trial: {epochs}}}
sampler: random
pruner: none
data: {{source: digits, input_size: 16}}
model: {{simple_cnn: {{}}}}
optimizer: {{sgd: {{lr: {{min: 1e-3, max: 0.1, log: true}}, momentum: 0.9}}}}
batch_size: {{values: [16, 32]}}
"""

Figures = dict[int, list[tuple[float, ...]]]


#: What a crew gets at least to end once the storm is over; a busy machine takes its time.
CALM_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How much work there is, and how hard it is hit."""

    trials: int
    epochs: int
    #: Seconds.
    lease: float
    #: Seconds between two checkpoints of a trial; 0: every epoch.
    checkpoint: float
    #: Shortest and longest time between two blows, in seconds.
    gap: tuple[float, float]
    #: So many blows, or for so many seconds; then the crew has as many again to end, or
    #: ``CALM_SECONDS``.
    blows: int
    longest: float


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a storm did, and what it cost."""

    kills: int
    stops: int
    outages: int
    seconds: float
    #: Whether every member of the crew came to a good end.
    ended: bool
    #: Ends of members that no kill explains: somebody had to start them again.
    gave_up: int
    asked: int
    finished: int
    #: Trials that never ended, and trials that ended or were counted twice.
    lost: int
    doubled: int
    failed: int
    #: Epochs that count, and reported epochs that had to be trained again.
    epochs: int
    redone: int
    #: Attempts that a death or an expired lease ended, and late writes that were refused.
    lost_attempts: int
    refused: int
    #: Seconds of reported training that the worst of them lost.
    worst_loss: float
    #: Trials whose curve differs from that of an undisturbed run.
    different: int
    #: What `hpsearch doctor` says.
    problems: tuple[str, ...]
    #: Tracebacks that were printed, by whoever.
    tracebacks: int = 0


def undisturbed(folder: Path, setting: Setting) -> Figures:
    """Run the study in peace; returns each ticket's curve."""
    launch = Launch(folder, f"sqlite:///{folder}/undisturbed.db", study_of(setting))
    try:
        launch.run_here()
        return launch.figures()
    finally:
        launch.end()


def weather_the_storm(
    folder: Path, url: str, weather: Weather, seed: int, setting: Setting, expected: Figures
) -> Tally:
    """Run the study in the storm of ``seed``; ``expected`` are the undisturbed curves."""
    launch = Launch(folder, url, study_of(setting))
    runs = folder / "runs"
    launch.store()
    crew = Crew(_members(launch, runs, setting))
    began = time.monotonic()
    try:
        blows = islice(storm(seed, lease=setting.lease, gap=setting.gap), setting.blows)
        raging = Storm(
            crew,
            weather,
            blows,
            spared=lambda: _owners(launch, failures=2),
            at_work=lambda: _owners(launch, failures=0),
            patience=4 * setting.lease,
        )
        try:
            raging.rage(
                lambda: any(each.epochs_done for each in launch.tickets()),
                lambda: _all_ended(launch, setting),
                seconds=setting.longest,
            )
        finally:
            raging.calm()
        ended = raging.wait_for_crew(max(setting.longest, CALM_SECONDS))
        seconds = time.monotonic() - began
        return tally_of(launch, runs, raging, setting, expected, ended=ended, seconds=seconds)
    finally:
        crew.end()
        launch.end()


def study_of(setting: Setting) -> str:
    """Return the study file's text."""
    return STUDY.format(trials=setting.trials, epochs=setting.epochs)


def _members(launch: Launch, runs: Path, setting: Setting) -> list[Member]:
    common = ["--lease", str(setting.lease), "--checkpoint-interval", str(setting.checkpoint)]
    hpsearch = [sys.executable, "-m", "hpsearch"]
    supervised = [*hpsearch, "launch", "--study", str(launch.file), "--workers", "2", *common]
    # The same number of threads everywhere: it decides the last digits.
    threads = str(share_of_cores(2))
    lone = [*hpsearch, "worker", "--study", launch.name, "--threads", threads, *common]
    env = {**os.environ, "HPSEARCH_STORAGE": launch.storage, "HPSEARCH_RUNS": str(runs)}
    return [
        Member(command, env, launch.folder, supervises=command is supervised)
        for command in (supervised, lone, list(lone))
    ]


def _all_ended(launch: Launch, setting: Setting) -> bool:
    tickets = launch.tickets()
    return len(tickets) >= setting.trials and all(each.state.is_finished for each in tickets)


def _owners(launch: Launch, *, failures: int) -> frozenset[int]:
    """Return the processes whose trial has died so often since its last epoch, or more often."""
    return frozenset(
        launch.pid_of(each.ticket)
        for each in launch.tickets()
        if each.state == "running" and each.failures >= failures
    )


def is_exact(tally: Tally, setting: Setting) -> bool:
    """Whether a storm left exactly what was asked for, and cost no more than is promised."""
    wrong = (tally.lost, tally.doubled, tally.failed, tally.different, tally.gave_up)
    return (
        tally.ended
        and not any(wrong)
        and tally.epochs == setting.trials * setting.epochs
        # A kill loses less than what is trained between two checkpoints
        and tally.worst_loss <= setting.checkpoint
        and not tally.problems
        and not tally.tracebacks
    )


def tally_of(
    launch: Launch,
    runs: Path,
    raging: Storm,
    setting: Setting,
    expected: Figures,
    *,
    ended: bool,
    seconds: float,
) -> Tally:
    """Count what a storm left.

    Args:
        launch: The study.
        runs: The folder with its files.
        raging: The storm that is over.
        setting: What was asked for.
        expected: The undisturbed curves.
        ended: Whether every member of the crew came to a good end.
        seconds: How long it took.
    """
    tickets, events = launch.tickets(), launch.events()
    kinds = [event.kind for event in events]
    done = [event.ticket for event in events if event.kind in ("complete", "pruned", "failed")]
    health = examine(launch.database, launch.name, runs)
    problems = [f"{each.where}: {each.what}" for each in health.broken]
    problems += [f"{each.finding.where}: {each.finding.what}" for each in health.files.findings]
    figures = launch.figures()
    finished = sum(each.state.is_finished for each in tickets)
    return Tally(
        kills=raging.kills,
        stops=raging.stops,
        outages=raging.outages,
        seconds=seconds,
        ended=ended,
        gave_up=raging.crew.gave_up(),
        asked=setting.trials,
        finished=finished,
        lost=setting.trials - finished,
        doubled=len(done) - len(set(done)) + max(0, len(tickets) - setting.trials),
        failed=sum(each.state == "failed" for each in tickets),
        epochs=sum(map(len, figures.values())),
        redone=kinds.count("epoch_redone"),
        lost_attempts=kinds.count("worker_died") + kinds.count("lease_expired"),
        refused=kinds.count("write_refused"),
        worst_loss=_worst_loss(launch),
        different=sum(figures.get(ticket) != expected.get(ticket) for ticket in expected | figures),
        problems=tuple(problems),
        tracebacks=raging.crew.tracebacks(),
    )


def _worst_loss(launch: Launch) -> float:
    """Return the most seconds of reported epochs that the end of one attempt lost.

    Epochs that an earlier attempt had reported already count for that one alone.
    """
    query = sa.select(epochs.c.ticket, epochs.c.epoch, epochs.c.attempt, epochs.c.seconds).where(
        epochs.c.study_id == launch.study_id
    )
    rows = launch.database.read(lambda connection: connection.execute(query).all())
    worst = 0.0
    for event in launch.events(kind="resumed"):
        kept, done = event.detail["checkpoint_epoch"] or 0, event.detail["epochs_done"]
        lost = [
            row.seconds
            for row in rows
            if row.ticket == event.ticket
            and kept < row.epoch <= done
            and row.attempt == (event.attempt or 0) - 1
        ]
        worst = max(worst, sum(lost))
    return worst
