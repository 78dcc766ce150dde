"""Do effects tell the truth? Searches whose truth is known, judged as a report judges them.

    python -m benchmarks.effects [--searches 40] [--world NAME]... [--processes 1]

``benchmarks.made_up_searches`` makes them with the real samplers and pruners. The truth of a
comparison is the mean, over the trials' other settings, of what configurations come to without any
noise (values beyond the fence counting as the fence, as in the estimate). Beside it the analysis
that one would do by hand: the complete trials alone, each level's mean, a t test of each two.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import ttest_ind

from benchmarks.made_up_searches import WORLDS, World, final, search
from hpsearch.reporting.analysis.design import Levels, levels
from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.findings import Contrast, Effect
from hpsearch.reporting.analysis.observations import AnalysisData
from hpsearch.reporting.analysis.outcomes import outcomes
from hpsearch.results.verdicts import Verdict
from hpsearch.search.samplers.enumerated import at_unit

#: A true difference below this, as a share, counts as none.
NOTHING = 1e-9


@dataclass(kw_only=True)
class Record:
    """The results of the searches of a world."""

    searches: int = 0
    #: Whether the intervals of a parameter's two reported comparisons contain the true values.
    contains_truth: list[bool] = field(default_factory=list)
    #: For parameters without effect: whether the answer was "yes"; and per search, for any of them.
    idle_yes: list[bool] = field(default_factory=list)
    any_idle_yes: list[bool] = field(default_factory=list)
    #: For parameters with an effect of 2 points or more: whether the answer was "yes".
    power: list[bool] = field(default_factory=list)
    #: For "yes": whether the level that was reported as better truly is.
    right: list[bool] = field(default_factory=list)
    #: For "no": whether no two levels truly differ by more than the margin.
    no_right: list[bool] = field(default_factory=list)
    #: Half widths of the intervals, in shares.
    reach: list[float] = field(default_factory=list)
    #: The same for the naive analysis: any false "yes", "yes" for real effects, and if it is right.
    naive_any: list[bool] = field(default_factory=list)
    naive_contains_truth: list[bool] = field(default_factory=list)
    #: Interactions: whether any was reported, and whether dilation x kernel was.
    claimed: list[bool] = field(default_factory=list)
    interaction_power: list[bool] = field(default_factory=list)

    def add(self, other: Record) -> None:
        """Add the results of another record."""
        self.searches += other.searches
        for name, values in vars(other).items():
            if isinstance(values, list):
                getattr(self, name).extend(values)


def judge(world: World, seed: int) -> Record:
    """Search once, and compare the analysis with the truth."""
    warnings.simplefilter("ignore")
    evidence = search(world, seed)
    return judged(world, evidence)


def judged(world: World, evidence: AnalysisData) -> Record:
    record = Record(searches=1)
    ends = outcomes(evidence)
    if isinstance(ends, str):
        return record
    analysis = effects(evidence)
    any_yes = naive_yes = False
    for effect in analysis.effects:
        if effect.p_value is None:
            continue
        parameter_levels = levels(evidence.parameters[effect.parameter], evidence.trials)
        true = truth(world, evidence, effect.parameter, parameter_levels, ends.fence)
        label = {cut.label: place for place, cut in enumerate(parameter_levels.cuts)}
        matters = float(true.max() - true.min())
        yes = effect.verdict is Verdict.YES
        for contrast in {effect.difference, effect.span}:
            if contrast is not None:
                lead = _lead(true, label, contrast)
                record.contains_truth.append(not contrast.ahead.excludes(lead))
                record.reach.append(contrast.ahead.half_width)
        if matters < NOTHING:
            record.idle_yes.append(yes)
            any_yes |= yes
        elif matters >= 0.02:
            record.power.append(yes)
        if yes and effect.span is not None and matters >= NOTHING:
            record.right.append(_lead(true, label, effect.span) > 0)
        if effect.verdict is Verdict.NO:
            record.no_right.append(matters < analysis.margin)
        naive_yes |= _by_hand(record, effect, parameter_levels, evidence, true)
    record.any_idle_yes.append(any_yes)
    record.naive_any.append(naive_yes)
    record.claimed.append(
        any(interaction.verdict is Verdict.YES for interaction in analysis.interactions)
    )
    record.interaction_power.append(
        any(
            interaction.verdict is Verdict.YES
            and {interaction.a, interaction.b} == {"kernel", "dilation"}
            for interaction in analysis.interactions
        )
    )
    return record


def truth(
    world: World, evidence: AnalysisData, path: str, parameter_levels: Levels, fence: float
) -> NDArray[np.float64]:
    """Return each level's true mean over the trials' other settings, float64 (levels,)."""
    placed = list(zip(evidence.trials, parameter_levels.place.tolist(), strict=True))
    trials = [trial for trial, at in placed if at >= 0]
    means = []
    for place in range(len(parameter_levels.cuts)):
        there = [trial.params for trial, at in placed if at == place]
        values = []
        for number, trial in enumerate(trials):
            # Several values of a bin, as in the trials; for a branch, also the parameters in it
            for donor in (number % len(there), (7 * number + 3) % len(there)):
                params = _with(trial.params, path, there[donor][path], evidence, number)
                values.append(max(final(world, params), fence))
        means.append(np.mean(values))
    return np.array(means)


def _with(
    params: Mapping[str, Any], path: str, value: Any, evidence: AnalysisData, number: int
) -> dict[str, Any]:
    """Give a configuration another value; another branch's parameters are drawn evenly."""
    changed = {key: setting for key, setting in params.items() if not key.startswith(f"{path}.")}
    changed[path] = value
    rng = np.random.default_rng(number)
    for inner, dimension in evidence.parameters.items():
        if dimension.branch.get(path) == value:
            changed[inner] = at_unit(dimension.parameter, float(rng.random()))
    return changed


def _lead(true: NDArray[np.float64], label: Mapping[str, int], contrast: Contrast) -> float:
    return float(true[label[contrast.level]] - true[label[contrast.other]])


def _by_hand(
    record: Record,
    effect: Effect,
    parameter_levels: Levels,
    evidence: AnalysisData,
    true: NDArray[np.float64],
) -> bool:
    """Compare the clearest two levels by complete trials only; return whether "yes" is false."""
    groups = [
        np.array(
            [
                trial.value
                for trial, at in zip(evidence.trials, parameter_levels.place, strict=True)
                if at == place and trial.value is not None
            ]
        )
        for place in range(len(parameter_levels.cuts))
    ]
    tests = [
        (ttest_ind(groups[one], groups[other], equal_var=False), one, other)
        for one in range(len(groups))
        for other in range(one)
        if min(len(groups[one]), len(groups[other])) >= 3
        and groups[one].std() + groups[other].std() > 0
    ]
    if not tests:
        return False
    clearest, one, other = min(tests, key=lambda test: test[0].pvalue)
    interval = clearest.confidence_interval()
    record.naive_contains_truth.append(
        bool(interval.low <= true[one] - true[other] <= interval.high)
    )
    return bool(clearest.pvalue < 0.05 and true.max() - true.min() < NOTHING)


def run(world: World, searches: int, *, first: int = 0, processes: int = 1) -> Record:
    """Evaluate so many searches of a world."""
    record = Record()
    if processes == 1:
        for seed in range(first, first + searches):
            record.add(judge(world, seed))
        return record
    with ProcessPoolExecutor(processes, mp_context=get_context("forkserver")) as pool:
        for search_record in pool.map(partial(judge, world), range(first, first + searches)):
            record.add(search_record)
    return record


def rows(worlds: Mapping[str, Record]) -> list[tuple[str, ...]]:
    """Return the table: a head, then one row per world."""
    table: list[tuple[str, ...]] = [
        (
            "world", "searches", "intervals hold the truth", "their ±, points",
            "false yes, of idle parameters", "in any search", "yes, of what matters by 2 points",
            "yes is right", "no is right", "by hand: false yes in any search",
            "by hand: intervals hold", "interaction claimed", "dilation x kernel found",
        )
    ]  # fmt: skip
    for name, record in worlds.items():
        table.append(
            (
                name,
                str(record.searches),
                share(record.contains_truth),
                f"{100 * np.mean(record.reach):.1f}" if record.reach else "-",
                share(record.idle_yes),
                share(record.any_idle_yes),
                share(record.power),
                share(record.right),
                share(record.no_right),
                share(record.naive_any),
                share(record.naive_contains_truth),
                share(record.claimed),
                share(record.interaction_power),
            )
        )
    return table


def share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.1%} of {len(values)}" if values else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--world", action="append", choices=[world.name for world in WORLDS])
    parser.add_argument("--trials", type=int, help="of each search, in place of the world's own")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    records = {}
    for world in WORLDS:
        if options.world and world.name not in options.world:
            continue
        sized_world = world if options.trials is None else replace(world, trials=options.trials)
        records[world.name] = run(sized_world, options.searches, processes=options.processes)
    table = Table(*["figure", *records])
    for figure, *values in list(zip(*rows(records), strict=True))[1:]:
        table.add_row(figure, *values)
    Console(width=40 + 26 * len(records)).print(table)


if __name__ == "__main__":
    main()
