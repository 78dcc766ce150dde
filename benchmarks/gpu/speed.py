"""An epoch of hpsearch against the reports' loop, bare steps, and bare steps in CUDA graphs.

Each loop runs in its own process, and they take turns; the results are medians of the wall time of
some epochs, in seconds. The column of a loop that can't run on this device is empty.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from benchmarks.epoch_speed import ADAM, DILATED, SGD
from benchmarks.gpu.configs import gray, trial
from benchmarks.gpu.settings import Finding, Settings
from benchmarks.loops import bare_epochs, graph_epochs, our_epochs, reports_epochs
from benchmarks.turns import Contender
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.plan import plan

#: (model, optimizer, batch size).
CASES = (
    (Component("mlp", {"hidden": [120]}), SGD, 64),
    (DILATED, SGD, 128),
    (Component("resnet18"), ADAM, 128),
)
QUICK = ((Component("mlp", {"hidden": [16]}), SGD, 64),)

LOOPS: dict[str, Callable[[TrialConfig, str], Iterator[float]]] = {
    "reports": reports_epochs,
    "bare": bare_epochs,
    "CUDA graphs": graph_epochs,
    "hpsearch": our_epochs,
}


def measure(settings: Settings) -> Finding:
    """Time every loop in each case."""
    rows = []
    for model, optimizer, batch in settings.of(CASES, QUICK):
        config = trial(
            gray(settings),
            model=model,
            epochs=10**6,
            batch_size=batch,
            optimizer=optimizer,
        )
        medians = seconds_of(config, settings)
        ours, reports, bare = (medians[name] for name in ("hpsearch", "reports", "bare"))
        rows.append(
            {
                "model": f"{model.name}, batch {batch}",
                "precision": plan(config, device=settings.device).precision,
                **{
                    name: None if seconds is None else round(seconds, 4)
                    for name, seconds in medians.items()
                },
                "x faster than reports": _ratio(reports, ours),
                "x bare": _ratio(ours, bare),
            }
        )
    faster = [row["x faster than reports"] for row in rows if row["x faster than reports"]]
    share = [row["x bare"] for row in rows if row["x bare"]]
    if not faster or not share:
        return Finding(
            verdict="wrong", said="hpsearch or the loops beside it didn't run", rows=rows
        )
    return Finding(
        verdict="measured",
        said=f"{statistics.geometric_mean(faster):.1f} times faster than the reports' loop, "
        f"{statistics.geometric_mean(share):.2f} of the bare steps' time",
        rows=rows,
    )


def seconds_of(config: TrialConfig, settings: Settings) -> dict[str, float | None]:
    """Return each loop's median seconds per epoch, or ``None`` if it died."""
    running = {
        name: Contender(loop, (config, settings.device), threads=1)
        for name, loop in LOOPS.items()
        if loop is not graph_epochs or settings.where.type == "cuda"
    }
    times: dict[str, list[float]] = {name: [] for name in running}
    try:
        # The first epoch builds, chooses kernels and captures graphs
        for turn in range(1 + settings.of(5, 2)):
            for name in list(running):
                try:
                    seconds = running[name].turn().wall
                except (EOFError, OSError):
                    running.pop(name).stop()
                    times[name] = []
                    continue
                if turn:
                    times[name].append(seconds)
    finally:
        for contender in running.values():
            contender.stop()
    return {name: statistics.median(times[name]) if times.get(name) else None for name in LOOPS}


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or under is None else round(over / under, 2)
